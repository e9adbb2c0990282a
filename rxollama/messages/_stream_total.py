"""The sum of a whole stream: what `run` and `await` give."""

from __future__ import annotations

from io import StringIO
from typing import Generic, TypeVar, cast

from rxollama.messages._batch import Batch
from rxollama.messages._chunk import ChatChunk, ChunkSum

__all__ = ("StreamTotal",)

T = TypeVar("T")

_NOTHING = ChatChunk()


class StreamTotal(Generic[T]):
    """
    The sum of all items of a stream, in time linear in their text.

    Strings are joined. Chunks are added up to the last message: where another message begins, the sum starts over, so
    that a conversation with tools gives its final message. A chunk with `restart` starts over, too. If items do not add
    up, the last one is kept.

    .. versionadded:: 0.1
    """

    __slots__ = ("_chunks", "_last", "_texts")

    def __init__(self) -> None:
        self._texts: StringIO | None = None
        self._chunks: ChunkSum | None = None
        self._last: list[T] = []

    def __bool__(self) -> bool:
        """Return whether there was an item."""
        return bool(self._last)

    def add(self, item: T) -> None:
        """Add the next item."""
        if isinstance(item, ChatChunk):
            self._add_chunk(item)
        elif isinstance(item, str):
            if self._texts is None:
                self._texts = StringIO()
            self._texts.write(item)
        if self._last:
            self._last[0] = item
        else:
            self._last.append(item)

    def extend(self, batch: Batch[T]) -> None:
        """Add all items of a batch."""
        chunks = self._chunks
        if chunks is not None and batch.add_to(chunks):
            return
        for item in batch.sums():
            self.add(item)

    def _add_chunk(self, chunk: ChatChunk) -> None:
        chunks = self._chunks
        if chunks is not None and chunks.goes_on(chunk):
            return
        begins_over = chunk.restart is not None
        if not begins_over and (chunk.is_tool_progress or chunk == _NOTHING):
            return
        if chunks is None or begins_over or not chunks.speaks_for(chunk.message):
            chunks = self._chunks = ChunkSum()
        chunks.add(chunk)

    @property
    def value(self) -> T:
        """The sum so far; there must have been an item."""
        last = self._last[0]
        if isinstance(last, str) and self._texts is not None:
            return cast("T", self._texts.getvalue())
        if isinstance(last, ChatChunk) and self._chunks is not None:
            return cast("T", self._chunks.total())
        return last
