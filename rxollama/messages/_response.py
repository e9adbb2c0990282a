"""Responses: what chunks reduce to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, final

from msgspec.structs import replace

from rxollama.messages._batch import Batch, ChunkBatch
from rxollama.messages._chunk import ChatChunk, ChunkSum, Logprob, Mark, metrics_of
from rxollama.messages._context import ContextUse, context_use_of
from rxollama.messages._message import Message
from rxollama.messages._metrics import ClientTiming, Metrics
from rxollama.messages._restart import Restart
from rxollama.messages._value import plain

__all__ = ("ChatResponse", "ResponseBuilder")


class _Words(NamedTuple):
    message: Message
    messages: tuple[Message, ...]
    logprobs: tuple[Logprob, ...]


@final
class ChatResponse:  # noqa: PLW1641 - Messages hold dicts, which have no hash either.
    """
    The response of a chat, complete or so far.

    A snapshot costs the same however long the text is: its messages are built when they are first read. `to_dict`
    turns a response into JSON. Its messages continue a chat as they are: `[*history, *response.messages]`.

    Args:
        message: The assistant's last message.
        messages: Every message of the answer, to append to the history. Default: *message* alone.
        metrics: The numbers, summed over the rounds of a conversation with tools.
        done: Whether the message is complete.
        done_reason: Why it ended, as in `ChatChunk`: among others `empty` or `thinking_only`, if it has no answer. It
            is an empty str if the message has not ended, or if the server does not say.
        model: The name of the model.
        logprobs: The log probabilities of the last message's tokens, if the request asked for them.

    .. versionadded:: 0.1
    """

    __slots__ = ("_read", "_words", "done", "done_reason", "metrics", "model")

    _read: Callable[[], _Words] | None
    _words: _Words
    done: bool
    done_reason: str
    metrics: Metrics
    model: str

    def __init__(
        self,
        *,
        message: Message | None = None,
        messages: tuple[Message, ...] | None = None,
        metrics: Metrics | None = None,
        done: bool = False,
        done_reason: str = "",
        model: str = "",
        logprobs: tuple[Logprob, ...] = (),
    ) -> None:
        last = message or _last_said(messages or ())
        words = _Words(last, (last,) if messages is None else tuple(messages), logprobs)
        object.__setattr__(self, "_words", words)
        _fill(self, read=None, metrics=metrics or _NO_METRICS, done=done, done_reason=done_reason, model=model)

    def _spoken(self) -> _Words:
        # The order of these steps makes reading from several threads safe.
        read = self._read
        if read is not None:
            object.__setattr__(self, "_words", read())
            object.__setattr__(self, "_read", None)
        return self._words

    @property
    def message(self) -> Message:
        """The assistant's last message."""
        return self._spoken().message

    @property
    def messages(self) -> tuple[Message, ...]:
        """Every message of the answer, to append to the history."""
        return self._spoken().messages

    @property
    def logprobs(self) -> tuple[Logprob, ...]:
        """The log probabilities of the last message's tokens, if the request asked for them."""
        return self._spoken().logprobs

    @property
    def context(self) -> ContextUse | None:
        """The use of the context window after the last round; None if nothing is known."""
        return context_use_of(self.metrics)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse the change of a value."""
        raise AttributeError(f"a ChatResponse cannot be changed: {name}")

    def to_dict(self) -> dict[str, Any]:
        """
        Return the response as a dict that any JSON library can write.

        Returns:
            The fields, without those that have their default: `json.dumps(response.to_dict())`. The dicts under
            `messages` can be sent back as they are.

        .. versionadded:: 0.1
        """
        return {name: written for name, value in self._fields().items() if (written := plain(value))}

    def _fields(self) -> dict[str, Any]:
        names = ("message", "messages", "metrics", "done", "done_reason", "model", "logprobs")
        return {name: getattr(self, name) for name in names}

    def __eq__(self, other: object) -> bool:
        """Compare all fields."""
        if not isinstance(other, ChatResponse):
            return NotImplemented
        return self._fields() == other._fields()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._fields().items())
        return f"ChatResponse({shown})"

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], ChatResponse], tuple[dict[str, Any]]]:
        return _response_of, (self._fields(),)


_NOTHING = ChatChunk()
_NO_METRICS = Metrics()


def _fill(
    response: ChatResponse,
    *,
    read: Callable[[], _Words] | None,
    metrics: Metrics,
    done: bool,
    done_reason: str,
    model: str,
) -> ChatResponse:
    put = object.__setattr__
    put(response, "_read", read)
    put(response, "metrics", metrics)
    put(response, "done", done)
    put(response, "done_reason", done_reason)
    put(response, "model", model)
    return response


def _response_of(fields: dict[str, Any]) -> ChatResponse:
    return ChatResponse(**fields)


def _last_said(messages: tuple[Message, ...]) -> Message:
    for message in reversed(messages):
        if message.role != "tool":
            return message
    return Message("assistant")


class ResponseBuilder:
    """
    A response that is built chunk by chunk, with a snapshot at any time.

    A `done` chunk ends a message, and so does a chunk that begins another one, see `MessageBoundary`. The chunks of a
    conversation with tools reduce to all of its messages. A chunk with `restart` replaces what came before it. Time is
    linear in the text, whatever the number of snapshots.

    .. code-block:: python

        builder = ResponseBuilder()
        for chunk in ollama.chat("qwen3", "Why is the sky blue?"):
            builder.add(chunk)
        print(builder.snapshot().message.content)

    .. versionadded:: 0.1
    """

    __slots__ = ("_current", "_end", "_ended", "_failures", "_logprobs", "_metrics", "_model", "_results", "_whole")

    def __init__(self) -> None:
        self._whole: list[Message] = []
        self._current = ChunkSum()
        # The model's last chunk, and which one it was when the current message began; the model's name at that time.
        self._end = self._ended = _NOTHING
        self._model = ""
        self._logprobs: tuple[Logprob, ...] = ()
        self._metrics: Metrics | None = None
        self._results = self._failures = 0

    def extend(self, chunks: Iterable[ChatChunk]) -> None:
        """Add the next chunks."""
        if isinstance(chunks, ChunkBatch) and chunks.add_to(self._current):
            return
        goes_on = self._current.goes_on
        for chunk in chunks:
            if not goes_on(chunk):
                self._append(chunk)
                goes_on = self._current.goes_on

    def snapshots(self, batch: ChunkBatch) -> Batch[ChatResponse]:
        """
        Add the chunks of a batch.

        Returns:
            The responses after each chunk, to be built before the next chunk is added.
        """
        before = self._current.mark()
        if not batch.add_to(self._current):
            each: list[ChatResponse] = []
            for chunk in batch:
                self.add(chunk)
                each.append(self.snapshot())
            return Batch(len(each), lambda: each)

        def build() -> list[ChatResponse]:
            return [self._at(mark, model) for mark, model in batch.marks(before)]

        return Batch(len(batch), build, self.snapshot())

    def add(self, chunk: ChatChunk) -> None:
        """Add the next chunk."""
        if not self._current.goes_on(chunk):
            self._append(chunk)

    def _append(self, chunk: ChatChunk) -> None:
        current = self._current
        if chunk.restart is not None:
            # What is absorbed is dropped here, so that snapshots, which hold its sum, stay as they were.
            current, chunk = self._begin_over(chunk.restart), replace(chunk, restart=None)
        if chunk.is_tool_progress:
            return
        if not current.speaks_for(chunk.message):
            if chunk == _NOTHING:
                return
            current = self._next()
        current.add(chunk)
        if current.role != "tool":
            self._end = chunk
            if chunk.done:
                metrics = metrics_of(chunk)
                self._metrics = metrics if self._metrics is None else self._metrics + metrics
        elif chunk.done:
            self._results += 1
            self._failures += current.failed

    def _begin_over(self, restart: Restart) -> ChunkSum:
        """Drop what a restart absorbs: it is as if that had never come."""
        if restart.scope == "answer":
            # Snapshots may still hold the list, which therefore is not cleared.
            self._whole, self._logprobs, self._metrics = [], (), None
            self._results = self._failures = 0
            self._model, self._ended = "", _NOTHING
        elif self._current.role == "tool" or self._end.done:
            return self._next()
        self._end = self._ended
        self._current = fresh = ChunkSum()
        fresh.model = self._model
        return fresh

    def _next(self) -> ChunkSum:
        ended, fresh = self._current, ChunkSum()
        mark = ended.mark()
        self._whole.append(ended.message(mark))
        if ended.role != "tool":
            self._logprobs = ended.logprobs(mark)
        fresh.model = self._model = ended.model
        self._ended = self._end
        self._current = fresh
        return fresh

    def snapshot(self, timing: ClientTiming | None = None) -> ChatResponse:
        """
        Return the response so far.

        Args:
            timing: The measurements of the client. They count if the answer has no last chunk, which would hold them.

        Returns:
            The response. Its texts are joined when they are first read.
        """
        return self._at(self._current.mark(), self._current.model, timing)

    def _at(self, mark: Mark, model: str, timing: ClientTiming | None = None) -> ChatResponse:
        """Return the response as it was at a mark of the current message."""
        current, earlier, end = self._current, self._logprobs, self._end
        whole, count = self._whole, len(self._whole)

        def read() -> _Words:
            # Sums and lists only grow: what they held at the mark is still there.
            messages = (*whole[:count], current.message(mark))
            logprobs = earlier if mark.role == "tool" else current.logprobs(mark)
            return _Words(_last_said(messages), messages, logprobs)

        metrics = self._metrics
        if timing is not None and not end.done:
            seen = metrics_of(_NOTHING, timing)
            metrics = seen if metrics is None else metrics + seen
        if self._results:
            results, failures = self._results, self._failures
            metrics = replace(metrics or _NO_METRICS, tool_result_count=results, tool_failure_count=failures)
        return _fill(
            object.__new__(ChatResponse),
            read=read,
            metrics=metrics or _NO_METRICS,
            done=end.done,
            done_reason=end.done_reason if end.done else "",
            model=model,
        )
