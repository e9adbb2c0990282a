"""The part of a value that still grows: what is open, from the innermost container up to the root."""

from __future__ import annotations

from io import StringIO
from typing import Any, NamedTuple

__all__ = ("OpenContainer", "Position")


class OpenContainer:
    """
    Be a list or an object that is not closed yet.

    Keys and values only ever grow, so that their number is a snapshot of them: a key that comes twice does not
    overwrite what an earlier snapshot holds. Where it stands in the container above is fixed while it is open. The
    outermost is a list of one, the value itself.

    Args:
        above: The container that it stands in; None for the outermost.
        is_list: Whether it is a list.
    """

    __slots__ = ("above", "is_list", "keys", "place", "values")

    above: OpenContainer | None
    is_list: bool
    keys: list[str]
    values: list[Any]
    place: int

    def __init__(self, above: OpenContainer | None = None, *, is_list: bool = True) -> None:
        self.above = above
        self.is_list = is_list
        self.keys = []
        self.values = []
        self.place = 0 if above is None else len(above.values)

    def whole(self) -> list[Any] | dict[str, Any]:
        """Close it."""
        return self.values if self.is_list else dict(zip(self.keys, self.values, strict=True))

    def copy(self, count: int, *more: Any) -> list[Any] | dict[str, Any]:
        """Copy the first of its values, and put one more behind them."""
        values = [*self.values[:count], *more]
        # The last key may be one whose value has not begun.
        return values if self.is_list else dict(zip(self.keys, values, strict=False))

    def step(self, place: int) -> str | int:
        """Name what stands at a place."""
        return place if self.is_list else self.keys[place]


class Position(NamedTuple):
    """
    Say how much of a value there was at a moment.

    Args:
        inner: The innermost open container.
        place: How many values it had.
        text: The open text that is its next value, if there is one.
        length: How long that was.
    """

    inner: OpenContainer
    place: int
    text: StringIO | None
    length: int

    def value(self) -> Any:
        """Put together the value: what is finished is shared, what is open is copied up to the mark."""
        inner = self.inner
        written = () if self.text is None else (self.text.getvalue()[: self.length],)
        value = inner.copy(self.place, *written)
        while (outer := inner.above) is not None:
            value = outer.copy(inner.place, value)
            inner = outer
        return value[0]  # type: ignore[index] # The outermost is a list.

    def path(self) -> tuple[str | int, ...]:
        """Tell where it grew."""
        inner = self.inner
        steps = [] if self.text is None else [inner.step(self.place)]
        while (outer := inner.above) is not None:
            steps.append(outer.step(inner.place))
            inner = outer
        # The last step is that from the outermost list to the value.
        return tuple(steps[-2::-1])
