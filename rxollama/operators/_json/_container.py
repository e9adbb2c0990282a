"""
The unfinished part of a JSON value: the open containers, linked from the innermost to the root.

The law: a snapshot of the value at any moment stays true whatever is read later, and taking one costs a constant time.
Containers only grow at their end, so a snapshot need only remember how long each was. Finished values never change,
so snapshots share them.

A copy of the open containers for each snapshot would cost time proportional to the list being read. A persistent
vector would make each append slower for everybody who takes no snapshot.
"""

from __future__ import annotations

from io import StringIO
from typing import Any, NamedTuple

__all__ = ("OpenContainer", "Position")


class OpenContainer:
    """
    A list or an object that is not closed.

    Keys and values are kept in two lists which only grow, so that their length is a snapshot of them: a repeated key
    does not overwrite what an earlier snapshot holds. Its index in the parent is fixed while it is open. The root is
    a list of one item, the value itself.

    Args:
        parent: The container in which it stands; None for the root.
        is_list: Whether it is a list.
    """

    __slots__ = ("index", "is_list", "keys", "parent", "values")

    parent: OpenContainer | None
    is_list: bool
    keys: list[str]
    values: list[Any]
    index: int

    def __init__(self, parent: OpenContainer | None = None, *, is_list: bool = True) -> None:
        self.parent = parent
        self.is_list = is_list
        self.keys = []
        self.values = []
        self.index = 0 if parent is None else len(parent.values)

    def close(self) -> list[Any] | dict[str, Any]:
        """Return the finished list or dict."""
        return self.values if self.is_list else dict(zip(self.keys, self.values, strict=True))

    def copy(self, count: int, *more: Any) -> list[Any] | dict[str, Any]:
        """Return a copy of the first *count* values, followed by *more*."""
        values = [*self.values[:count], *more]
        # The last key may be one whose value has not begun.
        return values if self.is_list else dict(zip(self.keys, values, strict=False))

    def step(self, index: int) -> str | int:
        """Return the key or index of a value, as a step of a path."""
        return index if self.is_list else self.keys[index]


class Position(NamedTuple):
    """
    A moment in the growth of a value, from which a snapshot can be built at any later time.

    Args:
        inner: The innermost open container.
        size: How many values it had.
        text: The open string that is its next value, if there is one.
        length: How long that string was.
    """

    inner: OpenContainer
    size: int
    text: StringIO | None
    length: int

    def value(self) -> Any:
        """Return the value as it was: finished parts are shared, open ones copied."""
        inner = self.inner
        written = () if self.text is None else (self.text.getvalue()[: self.length],)
        value = inner.copy(self.size, *written)
        while (outer := inner.parent) is not None:
            value = outer.copy(inner.index, value)
            inner = outer
        return value[0]  # type: ignore[index] # The root is a list.

    def path(self) -> tuple[str | int, ...]:
        """Return the path of the innermost part that was growing."""
        inner = self.inner
        steps = [] if self.text is None else [inner.step(self.size)]
        while (outer := inner.parent) is not None:
            steps.append(outer.step(inner.index))
            inner = outer
        # The last step leads from the root to the value.
        return tuple(steps[-2::-1])
