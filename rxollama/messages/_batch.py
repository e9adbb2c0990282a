"""The items of one read, which own operators pass on as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec.structs import replace

from rxollama.messages._chunk import ChatChunk, ChunkSum, Mark
from rxollama.messages._message import Message

__all__ = ("Batch", "ChunkBatch", "PlainRecord", "TextBatch", "text_chunk")

T_co = TypeVar("T_co", covariant=True)


class Batch(Generic[T_co]):
    """
    Several items in a row, which are built when they are first asked for.

    Args:
        count: The number of items, at least one.
        build: Builds the items. It is called at most once.
        last: The last item, if it is built already.

    .. versionadded:: 0.1
    """

    __slots__ = ("_build", "_items", "_last", "count")

    count: int
    """The number of items."""

    def __init__(self, count: int, build: Callable[[], Sequence[T_co]], last: T_co | None = None) -> None:
        self.count = count
        self._build = build
        self._last = last
        self._items: Sequence[T_co] | None = None

    def __len__(self) -> int:
        """Return the number of items."""
        return self.count

    def __iter__(self) -> Iterator[T_co]:
        """Iterate over the items."""
        return iter(self.items)

    @property
    def items(self) -> Sequence[T_co]:
        """The items."""
        if self._items is None:
            self._items = self._built()
        return self._items

    @property
    def last(self) -> T_co:
        """The last item."""
        return self.items[-1] if self._last is None else self._last

    @property
    def has_one_kind(self) -> bool:
        """Whether it does not alternate between thinking and content."""
        return True

    def add_to(self, total: ChunkSum) -> bool:  # noqa: ARG002 - Only chunks add up to it.
        """Add all of it to a sum of chunks, if it continues the sum's message; return whether it does."""
        return False

    def sums(self) -> Sequence[T_co]:
        """Return the fewest items with the same sum and reading order; of items that do not add up, all."""
        return self.items

    def _built(self) -> Sequence[T_co]:
        return self._build()


class TextBatch(Batch[str]):
    """
    Text deltas in a row.

    Args:
        text: Their sum.
        parts: The deltas, and any number of empty texts between them, which are not items.

    .. versionadded:: 0.1
    """

    __slots__ = ("_parts", "text")

    text: str
    """The sum of the deltas."""

    def __init__(self, text: str, parts: Sequence[str]) -> None:
        super().__init__(len(parts) - parts.count(""), list)
        self.text = text
        self._parts = parts

    def sums(self) -> Sequence[str]:
        """Return the text."""
        return (self.text,)

    def _built(self) -> Sequence[str]:
        return [part for part in self._parts if part]


class PlainRecord(Protocol):
    """
    What a record has beside its texts.

    .. versionadded:: 0.1
    """

    @property
    def model(self) -> str:
        """The name of the model; not empty."""
        ...

    @property
    def created_at(self) -> str:
        """The time at which the server made the record; not empty."""
        ...


class ChunkBatch(Batch[ChatChunk]):
    """
    Chunks of the assistant in a row, with nothing but text.

    Args:
        records: The records of the chunks.
        contents: The content of each; it may be empty.
        thinkings: The thinking of each; it may be empty.

    .. versionadded:: 0.1
    """

    __slots__ = ("_contents", "_records", "_thinkings", "content", "content_batch", "thinking", "thinking_batch")

    content: str
    """The content of all."""
    thinking: str
    """The thinking of all."""
    content_batch: TextBatch
    """The content, delta by delta."""
    thinking_batch: TextBatch
    """The thinking, delta by delta."""

    def __init__(self, records: Sequence[PlainRecord], contents: Sequence[str], thinkings: Sequence[str]) -> None:
        super().__init__(len(records), list)
        self._records, self._contents, self._thinkings = records, contents, thinkings
        self.content, self.thinking = "".join(contents), "".join(thinkings)
        self.content_batch = TextBatch(self.content, contents)
        self.thinking_batch = TextBatch(self.thinking, thinkings)

    @property
    def has_one_kind(self) -> bool:
        """Whether it has no thinking, or no content."""
        return not (self.content and self.thinking)

    @property
    def model(self) -> str:
        """The model of the last chunk."""
        return self._records[-1].model

    def head(self, end: int) -> Sequence[ChatChunk]:
        """Return the first items, and build no others."""
        if self._items is not None:
            return self._items[:end]
        return [*map(text_chunk, self._records[:end], self._contents[:end], self._thinkings[:end])]

    def rest(self, start: int) -> ChunkBatch:
        """Return the batch without its first items."""
        if not start:
            return self
        rest = ChunkBatch(self._records[start:], self._contents[start:], self._thinkings[start:])
        if self._items is not None:
            rest._items = self._items[start:]
        return rest

    def texts(self) -> Iterator[tuple[str, str]]:
        """Iterate over the thinking and content of each chunk."""
        return zip(self._thinkings, self._contents, strict=True)

    def marks(self, before: Mark) -> Iterator[tuple[Mark, str]]:
        """Iterate over the lengths after each chunk of a sum that continues from *before*, and over the models."""
        content, thinking = before.content, before.thinking
        for record, (more_thinking, more_content) in zip(self._records, self.texts(), strict=True):
            content += len(more_content)
            thinking += len(more_thinking)
            yield replace(before, role="assistant", content=content, thinking=thinking), record.model

    def add_to(self, total: ChunkSum) -> bool:
        """Add all of it to a sum, if it continues the sum's message; return whether it does."""
        chunk = text_chunk(self._records[-1], self.content, self.thinking)
        if not total.speaks_for(chunk.message):
            return False
        total.add(chunk)
        return True

    def sums(self) -> Sequence[ChatChunk]:
        """Return one chunk for each stretch of thinking, then content, and one for the chunks before the first text."""
        if self.has_one_kind and (self._contents[0] or self._thinkings[0]):
            return (text_chunk(self._records[-1], self.content, self.thinking),)
        return self._stretches()

    def _stretches(self) -> list[ChatChunk]:
        # Chunks without text continue whatever came before the batch, also where the first text does not.
        start = next((place for place, texts in enumerate(self.texts()) if any(texts)), self.count)
        stretches = [self._sum(0, start)] if start else []
        has_content = False
        for place in range(start, self.count):
            if self._thinkings[place] and has_content:
                stretches.append(self._sum(start, place))
                start, has_content = place, False
            has_content = has_content or bool(self._contents[place])
        if start < self.count:
            stretches.append(self._sum(start, self.count))
        return stretches

    def _sum(self, start: int, end: int) -> ChatChunk:
        content, thinking = "".join(self._contents[start:end]), "".join(self._thinkings[start:end])
        return text_chunk(self._records[end - 1], content, thinking)

    def _built(self) -> Sequence[ChatChunk]:
        return [*map(text_chunk, self._records, self._contents, self._thinkings)]


def text_chunk(record: PlainRecord, content: str, thinking: str) -> ChatChunk:
    """
    Return the chunk of a record with nothing but text.

    .. versionadded:: 0.1
    """
    message = Message("assistant", content, thinking)
    return ChatChunk(model=record.model, created_at=record.created_at, message=message)
