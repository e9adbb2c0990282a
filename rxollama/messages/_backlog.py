"""What waits for a slow consumer, added up: fewer items, never a lost word."""

from __future__ import annotations

from io import StringIO
from typing import Any, Generic, Protocol, TypeVar, cast

from rxollama.messages._chunk import ChatChunk, ChunkSum

__all__ = ("Backlog", "is_summable")

T = TypeVar("T")


class _Sum(Protocol):
    def goes_on(self, item: object, /) -> bool: ...
    def accepts(self, item: object, /) -> bool: ...
    def add(self, item: Any, /) -> object: ...
    def total(self) -> object: ...


class _TextSum:
    """Add up texts in linear time."""

    __slots__ = ("_text", "add", "total")

    def __init__(self) -> None:
        self._text = StringIO()
        self.add = self._text.write
        self.total = self._text.getvalue

    def goes_on(self, item: object) -> bool:
        if isinstance(item, str):
            self.add(item)
            return True
        return False

    def accepts(self, item: object) -> bool:
        return isinstance(item, str)


def is_summable(item: object) -> bool:
    """Tell whether items of this kind can be added up: texts and chunks can."""
    return isinstance(item, (str, ChatChunk))


class Backlog(Generic[T]):
    """
    Keep items in as few as say the same, in order.

    Texts are joined and chunks added up, as long as that keeps the order of reading; whatever else there is stays as
    it came. An item that waits alone is handed on as it came, too.
    """

    __slots__ = ("_open", "_sum", "_whole", "has_finished")

    has_finished: bool
    """Whether an item waits to which nothing more can be added."""

    def __init__(self) -> None:
        self._whole: list[T] = []
        self.has_finished = False
        self._open: list[T] = []
        self._sum: _Sum | None = None

    def __bool__(self) -> bool:
        """Tell whether something waits."""
        return bool(self._open)

    def add(self, item: T) -> None:
        """Put an item at the end."""
        if self._sum is None or not self._sum.goes_on(item):
            self._append(item)

    def _append(self, item: T) -> None:
        if not self._open:
            self._open.append(item)
            return
        if self._sum is None:
            self._sum = _sum_from(self._open[0])
        if self._sum is not None and self._sum.accepts(item):
            self._sum.add(item)
            return
        self._whole.append(self._closing())
        self.has_finished = True
        self._open[0] = item

    def take(self) -> list[T]:
        """Take out everything."""
        taken = self.take_finished()
        if self._open:
            taken.append(self._closing())
            self._open.clear()
        return taken

    def take_finished(self) -> list[T]:
        """Take out the items to which nothing more can be added; the last one stays."""
        taken, self._whole = self._whole, []
        self.has_finished = False
        return taken

    def look(self) -> list[T]:
        """Read everything, and leave it."""
        if not self._open:
            return []
        last = self._open[0] if self._sum is None else cast("T", self._sum.total())
        return [*self._whole, last]

    def _closing(self) -> T:
        last = self._open[0] if self._sum is None else cast("T", self._sum.total())
        self._sum = None
        return last


def _sum_from(item: object) -> _Sum | None:
    if isinstance(item, str):
        texts = _TextSum()
        texts.add(item)
        return texts
    if isinstance(item, ChatChunk):
        chunks = ChunkSum()
        chunks.add(item)
        return chunks
    return None
