"""The conversation."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable
from functools import partial, reduce
from operator import add
from os import PathLike
from typing import Self, Unpack, cast

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rxollama._checks import check_text
from rxollama._invalid_value import invalid_value
from rxollama._runtime import Stream
from rxollama._tool_loop import ConverseOptions
from rxollama.client import Ollama
from rxollama.conversation._file import Saved, read, write
from rxollama.conversation._limits import Limits
from rxollama.conversation._sending import Sending
from rxollama.conversation._terms import ConversationOptions
from rxollama.conversation._turn import Turn, turn_of, turns_of
from rxollama.messages import (
    ChatChunk,
    ChatOptions,
    ChatRequest,
    ChatResponse,
    Image,
    Message,
    Messages,
    Metrics,
    read_messages,
)
from rxollama.tools import Tools, tools_of

__all__ = ("Conversation",)


class Conversation:
    """
    Be a conversation with a model: a system prompt, a history of turns, and tools.

    A turn is what the user said and all messages of the answer, calls of tools and their results included. It joins
    the history when the answer is whole: before its last chunk is handed on, so that whoever sees it may send again.
    An answer that fails or is left before that leaves no trace, unless *keep_unfinished* is set.

    The limits are for what is sent, not for what is remembered: the oldest turns are left out of a request, always
    whole ones, and never the system prompt or the prompt itself. It may be used from any thread, and several answers
    may be under way at once.

    Args:
        ollama: The client.
        model: The model's name.
        system: What tells the model how to behave; empty for nothing.
        messages: A history to begin with, without a system prompt. What a user says after somebody else begins a turn.
        tools: See `Ollama.converse`, as all that is not named here.
        keep_unfinished: Whether what arrived of an answer that fails or is left joins the history as well, as far as it
            can be sent again: without calls of tools that have no result, and not if nothing is left but thinking.
        max_messages: How many messages are sent at most, the prompt included and the system prompt not; None for all.
        max_tokens: How many tokens are sent at most, by an estimate: a quarter of the characters, 4 for each message
            and 512 for each image, corrected upwards by what the server counted last. Leave room for the answer.
        options: What else `Ollama.converse` takes, for every turn.

    Raises:
        InvalidValueError: When one of these is wrong.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        ollama: Ollama,
        model: str,
        *,
        system: str = "",
        messages: Messages = (),
        tools: Tools = (),
        keep_unfinished: bool = False,
        max_messages: int | None = None,
        max_tokens: int | None = None,
        **options: Unpack[ConverseOptions],
    ) -> None:
        if not isinstance(ollama, Ollama):
            raise invalid_value("ollama", ollama, "a client, such as Ollama()", show=False)
        check_text("system", system)
        if not isinstance(keep_unfinished, bool):
            raise invalid_value("keep_unfinished", keep_unfinished, "a bool")
        known = tools_of(tools)
        # Options are read once, so that a type is described once, and what is saved is what is sent.
        sent = {name: value for name, value in options.items() if name in ChatOptions.__annotations__}
        request = ChatRequest(model=model, messages=messages, **cast("ChatOptions", sent))
        self._options = cast("ChatOptions", {name: getattr(request, name) for name in sent})
        chosen = cast("ConverseOptions", {**options, **self._options})
        self._ask: Callable[[Messages], Observable[ChatChunk]] = partial(ollama.converse, model, tools=known, **chosen)
        # What is wrong is refused here, and not at the first prompt; nothing is sent.
        self._ask(())
        self._model = model
        self._system = (Message.system(system),) if system else ()
        self._keep_unfinished = keep_unfinished
        schemas = [tool.schema for tool in known]
        self._limits = Limits(max_messages, max_tokens, always=self._system, tools=schemas)
        self._lock = threading.Lock()
        self._turns = turns_of(_without_system(read_messages(messages)))

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    @property
    def system(self) -> str:
        """The system prompt; empty where there is none."""
        return self._system[0].content if self._system else ""

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The history, turn by turn."""
        return self._turns

    @property
    def messages(self) -> tuple[Message, ...]:
        """The whole history, without the system prompt."""
        return tuple(message for turn in self._turns for message in turn.messages)

    @property
    def metrics(self) -> Metrics:
        """The numbers of all turns of the history that have some, summed; their rounds are kept."""
        known = [turn.metrics for turn in self._turns if turn.metrics != _NO_METRICS]
        return reduce(add, known) if known else _NO_METRICS

    def send(self, prompt: str | Message, *, images: Iterable[Image] = ()) -> Stream[ChatChunk]:
        """
        Say something to the model.

        Args:
            prompt: What the user says, as a text or a message.
            images: Images for a text, if the model sees.

        Returns:
            A cold observable: each subscription is a turn. The history is read when it is subscribed; the chunks are
            those of `Ollama.converse`. By the time that the end is told, or that `dispose()` returns, the turn has
            joined the history, or never will.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.
            StreamError: To the subscriber, as with `Ollama.converse`.

        .. versionadded:: 0.1
        """
        said = _prompt(prompt, images)

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            kept, estimated = self._limits.kept(self._turns, said)
            history = (message for turn in kept for message in turn.messages)
            sending = Sending(observer, partial(self._join, said, estimated))
            sending.begin(self._ask((*self._system, *history, said)), scheduler)
            return Disposable(sending.dispose)

        return Stream(subscribe, items=ChatChunk, deltas=True)

    def _join(self, prompt: Message, estimated: int, response: ChatResponse, completed: bool) -> None:
        turn = turn_of(prompt, response, unfinished=completed or self._keep_unfinished)
        first = (response.metrics.rounds or (response.metrics,))[0]
        self._limits.learn(estimated, first.prompt_eval_count)
        if turn is not None:
            with self._lock:
                self._turns = (*self._turns, turn)

    def fork(self) -> Self:
        """
        Make a conversation of its own with the same history, which goes on by itself.

        Returns:
            The other one. Answers that are under way join this one only.

        .. versionadded:: 0.1
        """
        other = copy.copy(self)
        other._limits = copy.copy(self._limits)  # noqa: SLF001 - One of its own class.
        other._lock = threading.Lock()  # noqa: SLF001 - As above.
        return other

    def undo(self) -> Turn | None:
        """
        Take back the last turn of the history.

        Returns:
            The turn; its `prompt` may be sent again. None where there is none. Answers that are under way still join.

        .. versionadded:: 0.1
        """
        with self._lock:
            if not self._turns:
                return None
            *earlier, last = self._turns
            self._turns = tuple(earlier)
        return last

    def save(self, path: str | PathLike[str]) -> None:
        """
        Write the conversation to a file, as JSON lines: a header, then one message per line.

        The header has the model, the system prompt and the options. The file is replaced as a whole, so that there is
        always the old one or the new one; a new one can be read by its owner only. A pipe or a device is written to.

        Args:
            path: The file.

        Raises:
            InvalidValueError: When something in the history cannot be written as JSON.
            OSError: When the file cannot be written.

        .. versionadded:: 0.1
        """
        write(path, Saved(self._model, self.system, self._options, self._turns))

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        ollama: Ollama,
        *,
        model: str | None = None,
        system: str | None = None,
        **terms: Unpack[ConversationOptions],
    ) -> Self:
        """
        Make a conversation of a file that `save` wrote.

        Args:
            path: The file.
            ollama: The client.
            model: A model to go on with, if not with the one that was saved.
            system: A system prompt to go on with, if not with the one that was saved.
            terms: What the constructor takes, such as tools, which are not saved. Options are those that were saved,
                but for those given here.

        Returns:
            The conversation, with the same turns.

        Raises:
            InvalidValueError: When the file is broken, naming it and the line: nothing is passed over, and a file that
                ends too early is broken as well. Or when an argument is wrong.
            OSError: When the file cannot be read.

        .. versionadded:: 0.1
        """
        if "messages" in terms:
            raise invalid_value("messages", dict(terms)["messages"], "no messages=, which the file holds", show=False)
        saved = read(path)
        merged = cast("ConversationOptions", {**saved.options, **terms})
        loaded = cls(
            ollama,
            saved.model if model is None else model,
            system=saved.system if system is None else system,
            **merged,
        )
        loaded._turns = saved.turns
        return loaded

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._model!r}, {len(self._turns)} turns)"


_NO_METRICS = Metrics()


def _prompt(prompt: str | Message, images: Iterable[Image]) -> Message:
    if isinstance(prompt, str):
        return Message.user(prompt, images=images)
    if not isinstance(prompt, Message):
        raise invalid_value("prompt", prompt, "a str or a Message", show=False)
    if Message.user("", images=images).images:
        raise invalid_value("images", images, "no images beside a Message, which holds its own", show=False)
    return read_messages(prompt)[0]


def _without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    if messages and messages[0].role == "system":
        raise invalid_value("messages[0].role", "system", "another role; pass the system prompt as system=")
    return messages
