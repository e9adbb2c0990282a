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
from rxollama._runtime import Stream, end_safely
from rxollama._tool_loop import ConverseOptions
from rxollama.client import Ollama
from rxollama.conversation._context_watch import ContextWatch, TurnCheck
from rxollama.conversation._file import SavedConversation, read, write
from rxollama.conversation._limits import Limits
from rxollama.conversation._turn import Turn, build_turn, split_into_turns
from rxollama.conversation._turn_subscription import TurnSubscription
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

__all__ = ("Conversation", "ConversationOptions")

_NO_METRICS = Metrics()


class ConversationOptions(ConverseOptions, total=False):
    """
    The keyword arguments of `Conversation` apart from the system prompt and the history.

    .. versionadded:: 0.1
    """

    tools: Tools
    keep_unfinished: bool
    max_messages: int | None
    max_tokens: int | None


class Conversation:
    """
    A conversation with a model: a system prompt, a history of turns, and tools.

    A turn is the user's message and all messages of the answer, with tool calls and their results. It joins the history
    when the answer is whole. This happens before the last chunk is passed on, so a subscriber may send the next prompt
    from there. An answer that fails or is disposed earlier leaves no trace, unless *keep_unfinished* is set.

    The limits apply to what is sent, not to what is remembered. A request leaves out the oldest turns, always whole
    ones. The system prompt and the prompt itself are always sent.

    A conversation may be used from any thread. Several answers may be in progress at once.

    Args:
        ollama: The client.
        model: The model's name.
        system: The system prompt. Empty for none.
        messages: The history to begin with, without a system prompt. A user's message after another role's message
            begins a turn.
        tools: See `Ollama.converse`.
        keep_unfinished: Whether an answer that fails or is disposed joins the history too. Tool calls without a result
            are then left out, and so are messages that hold only thinking.
        max_messages: The largest number of messages in a request, with the prompt and without the system prompt. None
            for no limit.
        max_tokens: The largest estimate of the tokens in a request. None for no limit. The estimate is a quarter of the
            characters, 4 for each message and 512 for each image. It grows if the server counted more for the last
            request. Leave room for the answer.
        options: The other options of `Ollama.converse`, for every turn.

    Raises:
        InvalidValueError: If an argument is wrong.

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
        # The options are read once. So a type is described once, and `save` writes what is sent.
        given = {name: value for name, value in options.items() if name in ChatOptions.__annotations__}
        request = ChatRequest(model=model, messages=messages, **cast("ChatOptions", given))
        self._options = cast("ChatOptions", {name: getattr(request, name) for name in given})
        merged = cast("ConverseOptions", {**options, **self._options})
        self._converse: Callable[[Messages], Observable[ChatChunk]] = partial(
            ollama.converse, model, tools=known, **merged
        )
        # This sends nothing. It raises the errors of wrong options here instead of at the first prompt.
        self._converse(())
        self._model = model
        self._system = (Message.system(system),) if system else ()
        self._keep_unfinished = keep_unfinished
        schemas = [tool.schema for tool in known]
        self._limits = Limits(max_messages, max_tokens, always=self._system, tools=schemas)
        self._watch = ContextWatch(request, tools=schemas, has_through=options.get("through") is not None)
        self._lock = threading.Lock()
        self._turns = split_into_turns(_without_system(read_messages(messages)))

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    @property
    def system(self) -> str:
        """The system prompt. Empty if there is none."""
        return self._system[0].content if self._system else ""

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The history as turns."""
        return self._turns

    @property
    def messages(self) -> tuple[Message, ...]:
        """The history as messages, without the system prompt."""
        return tuple(message for turn in self._turns for message in turn.messages)

    @property
    def metrics(self) -> Metrics:
        """The sum of the metrics of all turns. Its `rounds` are those of the turns that have metrics."""
        known = [turn.metrics for turn in self._turns if turn.metrics != _NO_METRICS]
        return reduce(add, known) if known else _NO_METRICS

    def send(self, prompt: str | Message, *, images: Iterable[Image] = ()) -> Stream[ChatChunk]:
        """
        Return the answer to a prompt as a cold stream of chunks.

        Each subscription is a turn, and reads the history at that moment. The chunks are those of `Ollama.converse`.
        When the subscriber sees the end, or when `dispose()` returns, it is settled whether the turn is in the history.

        Args:
            prompt: The user's message, as a `str` or a `Message`.
            images: The images of a `str` prompt, for a model that sees. A `Message` has its own.

        Returns:
            The stream.

        Raises:
            InvalidValueError: At this call, if an argument is wrong.
            StreamError: In the stream, as with `Ollama.converse`. With `on_truncated="raise"` it is a
                `ContextTruncatedError` before anything is sent, if the prompt will not fit into the context window, and
                after the whole answer, if the server left out older messages.

        .. versionadded:: 0.1
        """
        message = _message_of(prompt, images)

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            turns, estimated = self._limits.select(self._turns, message)
            history = (earlier for turn in turns for earlier in turn.messages)
            messages = (*self._system, *history, message)
            check = TurnCheck(self._watch, messages)
            if (error := check.begin()) is not None:
                end_safely(observer, error, name=repr(self))
                return Disposable()
            add_turn = partial(self._add_turn, message, estimated, check)
            subscription = TurnSubscription(observer, add_turn, check.end)
            subscription.subscribe(self._converse(messages), scheduler)
            return Disposable(subscription.dispose)

        return Stream(subscribe, items=ChatChunk, deltas=True)

    def _add_turn(
        self, prompt: Message, estimated: int, check: TurnCheck, response: ChatResponse, completed: bool
    ) -> None:
        # A stream that `through` ended early has completed, and so its turn is kept without *keep_unfinished*.
        turn = build_turn(prompt, response, unfinished=completed or self._keep_unfinished)
        first_round = (response.metrics.rounds or (response.metrics,))[0]
        self._limits.calibrate(estimated, first_round.prompt_eval_count)
        check.learn(response)
        if turn is not None:
            with self._lock:
                self._turns = (*self._turns, turn)

    def fork(self) -> Self:
        """
        Return an independent conversation with the same history.

        Returns:
            The other conversation. Answers in progress join this one only.

        .. versionadded:: 0.1
        """
        other = copy.copy(self)
        other._limits = copy.copy(self._limits)  # noqa: SLF001 - An object of this class.
        other._watch = copy.copy(self._watch)  # noqa: SLF001 - An object of this class.
        other._lock = threading.Lock()  # noqa: SLF001 - An object of this class.
        return other

    def undo(self) -> Turn | None:
        """
        Remove the last turn from the history and return it.

        Returns:
            The turn, whose `prompt` may be sent again. None if the history is empty. Answers in progress still join.

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
        Write the conversation to a file as JSON lines: a header, then one message per line.

        The header holds the model, the system prompt and the options. The file is replaced as a whole: at any moment it
        is the old one or the new one. Only its owner can read a new file. A pipe or a device is written to.

        Args:
            path: The file.

        Raises:
            InvalidValueError: If the path cannot name a file, or the history cannot be written as JSON.
            OSError: If the file cannot be written.

        .. versionadded:: 0.1
        """
        write(path, SavedConversation(self._model, self.system, self._options, self._turns))

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        ollama: Ollama,
        *,
        model: str | None = None,
        system: str | None = None,
        **options: Unpack[ConversationOptions],
    ) -> Self:
        """
        Return the conversation in a file that `save` wrote.

        Args:
            path: The file.
            ollama: The client.
            model: The model to use instead of the saved one.
            system: The system prompt to use instead of the saved one.
            options: The other arguments of `Conversation`, such as tools, which are not saved. They override the saved
                options.

        Returns:
            The conversation, with the same turns.

        Raises:
            InvalidValueError: If an argument is wrong. If the file is broken or incomplete; the error names the file
                and the line.
            OSError: If the file cannot be read.

        .. versionadded:: 0.1
        """
        if "messages" in options:
            raise invalid_value("messages", dict(options)["messages"], "no messages=, which the file holds", show=False)
        saved = read(path)
        merged = cast("ConversationOptions", {**saved.options, **options})
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


def _message_of(prompt: str | Message, images: Iterable[Image]) -> Message:
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
