"""
The limit of a thought: a stream of chunks that ends as soon as the thought is too long.

Servers do not count thinking (https://github.com/ollama/ollama/issues/10925), so the client does. A chunk is mostly one
token, and some servers join several tokens in one chunk. So the thought has as many tokens as it has chunks, or a
quarter of its characters, whichever is more. Chunks without text count, since a server sends them for tokens that its
parser holds back.
"""

from __future__ import annotations

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from rxollama._runtime import Sink, Stream, batch_path
from rxollama.errors import StreamError
from rxollama.messages import ChatChunk, ChatResponse, ChunkBatch, Message

__all__ = ("ThoughtTooLongError", "limit_thinking")

_CHARACTERS_PER_TOKEN = 4


class ThoughtTooLongError(StreamError):
    """The end of a thought that exceeded its limit, which is its `partial`. Nobody outside sees it."""


def limit_thinking(source: Observable[ChatChunk], limit: int) -> Stream[ChatChunk]:
    """
    Build a stream that ends with `ThoughtTooLongError` once the model thinks too long.

    Args:
        source: The stream of one request.
        limit: The tokens that the model may think before its first content or tool call.

    Returns:
        The stream. It has all thinking that was counted, and the request is closed before it ends.
    """

    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        counter = _Counter(observer, limit)
        sink = Sink(counter.on_next, observer.on_error, observer.on_completed, counter.is_ready, counter.absorb)
        counter.request.disposable = source.subscribe(sink, scheduler=scheduler)
        return counter.request

    return Stream(subscribe, items=ChatChunk, deltas=True)


class _Counter:
    """The count of one thought."""

    def __init__(self, observer: abc.ObserverBase[ChatChunk], limit: int) -> None:
        self.request = SingleAssignmentDisposable()
        self._observer = observer
        self._ready_below, self._absorb_below = batch_path(observer)
        self._limit = limit
        self._counts = True
        self._texts: list[str] = []
        self._chunks = self._characters = 0

    def on_next(self, chunk: ChatChunk) -> None:
        """Pass a chunk on, and count it."""
        self._observer.on_next(chunk)
        if not self._counts:
            return
        message = chunk.message
        if chunk.done or message.content or message.tool_calls:
            self._counts = False
            return
        self._add(1, message.thinking)
        if self._texts and self._exceeds(0, 0):
            self._counts = False
            self.request.dispose()
            thought = ChatResponse(message=Message("assistant", "", "".join(self._texts)), model=chunk.model)
            self._observer.on_error(ThoughtTooLongError("the thought exceeded max_thinking", partial=thought))

    def is_ready(self, batch: ChunkBatch) -> bool:
        """Return whether a batch changes nothing but the count."""
        if self._counts and self._exceeds(len(batch), len(batch.thinking)):
            return False
        return self._ready_below(batch)

    def absorb(self, batch: ChunkBatch) -> None:
        """Pass a batch on, and count it."""
        if batch.content:
            self._counts = False
        elif self._counts:
            self._add(len(batch), batch.thinking)
        self._absorb_below(batch)

    def _add(self, chunks: int, thinking: str) -> None:
        self._chunks += chunks
        self._characters += len(thinking)
        if thinking:
            self._texts.append(thinking)

    def _exceeds(self, chunks: int, characters: int) -> bool:
        most = max(self._chunks + chunks, (self._characters + characters) // _CHARACTERS_PER_TOKEN)
        return most > self._limit
