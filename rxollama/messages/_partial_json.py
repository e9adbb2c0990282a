"""JSON that is not all there yet: the value as far as it was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, final

__all__ = ("Growth", "PartialJson", "partial_of")


class Growth(Protocol):
    """Be a moment in the growth of a value."""

    def value(self) -> Any:
        """Put together the value as it was."""
        ...

    def path(self) -> tuple[str | int, ...]:
        """Tell where it grew."""
        ...


@final
class PartialJson:  # noqa: PLW1641 - Values hold dicts, which have no hash either.
    """
    Be a snapshot of JSON as it grows: what has been written of the value so far.

    A snapshot costs the same however long the text is, and stays true whatever comes later: its value is put together
    when it is first read. Its finished parts are the same dicts and lists in all snapshots of a stream: read them, and
    copy what you want to change.

    Args:
        value: The value: `None`, `bool`, `int`, `float`, `str`, `list` or `dict`, with unfinished texts, lists and
            dicts as far as they go. Numbers and the words `true`, `false` and `null` are there once they are whole, a
            key once its value begins.
        complete: Whether the value is whole.
        path: Where it grows: the keys and places that lead to the innermost text, list or dict that is not finished;
            empty where that is the value itself, and once it is complete.

    .. versionadded:: 0.1
    """

    __slots__ = ("_growth", "_path", "_value", "complete")

    _growth: Growth | None
    _path: tuple[str | int, ...]
    _value: Any
    complete: bool

    def __init__(self, value: Any = None, *, complete: bool = False, path: tuple[str | int, ...] = ()) -> None:
        put = object.__setattr__
        put(self, "_value", value)
        put(self, "_path", path)
        put(self, "_growth", None)
        put(self, "complete", complete)

    @property
    def value(self) -> Any:
        """The value so far."""
        # The order of these steps is what makes reading from several threads safe.
        growth = self._growth
        if growth is not None:
            put = object.__setattr__
            put(self, "_value", growth.value())
            put(self, "_path", growth.path())
            put(self, "_growth", None)
        return self._value

    @property
    def path(self) -> tuple[str | int, ...]:
        """Where it grows."""
        growth = self._growth
        return self._path if growth is None else growth.path()

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a snapshot is a value."""
        raise AttributeError(f"a PartialJson cannot be changed: {name}")

    def __eq__(self, other: object) -> bool:
        """Compare what both say."""
        if not isinstance(other, PartialJson):
            return NotImplemented
        return (self.complete, self.path, self.value) == (other.complete, other.path, other.value)

    def __repr__(self) -> str:
        return f"PartialJson({self.value!r}, complete={self.complete}, path={self.path!r})"

    def __reduce__(self) -> tuple[Callable[..., PartialJson], tuple[Any, ...]]:
        return _whole, (self.value, self.complete, self.path)


def partial_of(growth: Growth) -> PartialJson:
    """Take a snapshot of a value that is not complete."""
    partial = object.__new__(PartialJson)
    put = object.__setattr__
    put(partial, "_growth", growth)
    put(partial, "complete", False)
    return partial


def _whole(value: Any, complete: bool, path: tuple[str | int, ...]) -> PartialJson:
    return PartialJson(value, complete=complete, path=path)
