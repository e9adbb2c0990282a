"""The items that wait for a slow consumer, added up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from io import StringIO
from typing import Any, Generic, Protocol, TypeVar, cast

from msgspec.structs import replace

from rxollama.messages._batch import Batch
from rxollama.messages._chunk import ChatChunk, ChunkSum
from rxollama.messages._restart import Restart

__all__ = ("Backlog", "Latest", "Queue", "is_summable")

T = TypeVar("T")


class _Sum(Protocol):
    def goes_on(self, item: object, /) -> bool: ...
    def accepts(self, item: object, /) -> bool: ...
    def add(self, item: Any, /) -> object: ...
    def total(self) -> object: ...


class _TextSum:
    """The sum of texts, in linear time."""

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
    """
    Return whether items of this kind add up: `str` and `ChatChunk` do.

    .. versionadded:: 0.1
    """
    return isinstance(item, (str, ChatChunk))


class Backlog(Generic[T]):
    """
    A queue that adds up the items that wait in it.

    Strings are joined and chunks are added up, as long as the reading order stays the same. All other items stay as
    they are, and so does an item that waits alone. A chunk with `restart` removes the waiting chunks that it absorbs.
    Memory is bounded by the text itself.

    .. versionadded:: 0.1
    """

    __slots__ = ("_open", "_sum", "_whole", "has_finished")

    has_finished: bool
    """Whether an item waits that can no longer grow."""

    def __init__(self) -> None:
        self._whole: list[T] = []
        self.has_finished = False
        self._open: list[T] = []
        self._sum: _Sum | None = None

    def __bool__(self) -> bool:
        """Return whether an item waits."""
        return bool(self._open)

    def add(self, item: T) -> None:
        """Add an item at the end."""
        if self._sum is None or not self._sum.goes_on(item):
            self._append(item)

    def fits(self, batch: Batch[T]) -> bool:
        """Return whether a batch can be added without finishing an item; not for one that begins without text."""
        first, *others = batch.sums()
        if others or not self._open:
            return not others
        total = _sum_from(self._open[0]) if self._sum is None else self._sum
        return total is not None and total.accepts(first)

    def extend(self, batch: Batch[T]) -> None:
        """Add all items of a batch at the end."""
        for item in batch.sums():
            self.add(item)

    def _append(self, item: T) -> None:
        if isinstance(item, ChatChunk) and item.restart is not None:
            item = cast("T", self._begin_over(item, item.restart))
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

    def _begin_over(self, chunk: ChatChunk, restart: Restart) -> ChatChunk:
        """
        Remove what a chunk absorbs, and return the chunk with the widest scope among those removed.

        Chunks of an unfinished message are removed if they surely belong to it. The others are absorbed downstream.
        """
        kept: list[T] = []
        waiting = self.take()
        while waiting:
            last = waiting.pop()
            if isinstance(last, ChatChunk) and (restart.scope == "answer" or _is_unfinished(last)):
                restart = restart.after(last.restart)
                continue
            kept.append(last)
            if restart.scope == "message" and not (isinstance(last, ChatChunk) and last.is_tool_progress):
                break
        waiting += reversed(kept)
        self._whole = waiting
        self.has_finished = bool(self._whole)
        return replace(chunk, restart=restart)

    def take(self) -> list[T]:
        """Remove and return all items."""
        taken = self.take_finished()
        if self._open:
            taken.append(self._closing())
            self._open.clear()
        return taken

    def take_finished(self) -> list[T]:
        """Remove and return the items that can no longer grow. The last item stays."""
        taken, self._whole = self._whole, []
        self.has_finished = False
        return taken

    def look(self) -> list[T]:
        """Return all items without removing them."""
        if not self._open:
            return []
        last = self._open[0] if self._sum is None else cast("T", self._sum.total())
        return [*self._whole, last]

    def _closing(self) -> T:
        last = self._open[0] if self._sum is None else cast("T", self._sum.total())
        self._sum = None
        return last


class Queue(Generic[T]):
    """
    A queue of every item.

    .. versionadded:: 0.1
    """

    __slots__ = ("_items", "add")

    add: Callable[[T], None]
    """Add an item at the end."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self.add = self._items.append

    def extend(self, batch: Batch[T]) -> None:
        """Add all items of a batch at the end."""
        self._items += batch.items

    def take(self) -> list[T]:
        """Remove and return everything."""
        taken = self._items.copy()
        self._items.clear()
        return taken


class Latest(Generic[T]):
    """
    A place for the latest item: for snapshots, each of which holds all that came before.

    .. versionadded:: 0.1
    """

    __slots__ = ("_items",)

    has_finished = False
    """Whether an item waits that no other can replace: never."""

    def __init__(self) -> None:
        self._items: deque[T] = deque(maxlen=1)

    def __bool__(self) -> bool:
        """Return whether an item waits."""
        return bool(self._items)

    def add(self, item: T) -> None:
        """Replace the item that waits."""
        self._items.append(item)

    def fits(self, _: Batch[T]) -> bool:
        """Return True: the last item of any batch replaces the one that waits."""
        return True

    def extend(self, batch: Batch[T]) -> None:
        """Replace the item that waits with the last of a batch."""
        self.add(batch.last)

    def take(self) -> list[T]:
        """Remove and return the item."""
        taken = list(self._items)
        self._items.clear()
        return taken

    def take_finished(self) -> list[T]:
        """Return nothing, since the latest item may yet be replaced."""
        return []


def _is_unfinished(chunk: ChatChunk) -> bool:
    """Return whether a chunk is the assistant's, and does not end its message."""
    message = chunk.message
    return message.role == "assistant" and not (chunk.done or message.tool_name or message.tool_call_id)


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
