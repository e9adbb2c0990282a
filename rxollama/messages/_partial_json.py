"""Partial JSON: the value of a text that is not complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, final

__all__ = ("Growth", "PartialJson", "partial_of")


class Growth(Protocol):
    """A moment in the growth of a value."""

    def value(self) -> Any:
        """Return the value as it was."""
        ...

    def path(self) -> tuple[str | int, ...]:
        """Return where it grew."""
        ...


@final
class PartialJson:  # noqa: PLW1641 - Values hold dicts, which have no hash either.
    """
    A snapshot of JSON while it is generated.

    A snapshot costs the same however long the text is, and does not change later: its value is built when it is first
    read. All snapshots of a stream share the dicts and lists of finished parts, so copy what you change.

    Args:
        value: The value: `None`, `bool`, `int`, `float`, `str`, `list` or `dict`. Unfinished strings, lists and dicts
            hold what there is of them. Numbers, `true`, `false` and `null` appear when they are complete, and a key
            when its value begins.
        complete: Whether the value is complete.
        path: Where it grows: the keys and indexes that lead to the innermost string, list or dict that is not finished.
            Empty if that is the value itself, and once it is complete.

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
        # The order of these steps makes reading from several threads safe.
        growth = self._growth
        if growth is not None:
            put = object.__setattr__
            put(self, "_value", growth.value())
            put(self, "_path", growth.path())
            put(self, "_growth", None)
        return self._value

    @property
    def path(self) -> tuple[str | int, ...]:
        """Where it grows, see the arguments."""
        growth = self._growth
        return self._path if growth is None else growth.path()

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse the change of a value."""
        raise AttributeError(f"a PartialJson cannot be changed: {name}")

    def to_dict(self) -> dict[str, Any]:
        """
        Return the snapshot as a dict that any JSON library can write.

        .. versionadded:: 0.1
        """
        return {"value": self.value, "complete": self.complete, "path": list(self.path)}

    def __eq__(self, other: object) -> bool:
        """Compare all fields."""
        if not isinstance(other, PartialJson):
            return NotImplemented
        return (self.complete, self.path, self.value) == (other.complete, other.path, other.value)

    def __repr__(self) -> str:
        return f"PartialJson({self.value!r}, complete={self.complete}, path={self.path!r})"

    def __reduce__(self) -> tuple[Callable[..., PartialJson], tuple[Any, ...]]:
        return _whole, (self.value, self.complete, self.path)


def partial_of(growth: Growth) -> PartialJson:
    """
    Return the snapshot of a value that is not complete, without building it.

    Args:
        growth: Builds the value and the path when they are first read.

    .. versionadded:: 0.1
    """
    partial = object.__new__(PartialJson)
    put = object.__setattr__
    put(partial, "_growth", growth)
    put(partial, "complete", False)
    return partial


def _whole(value: Any, complete: bool, path: tuple[str | int, ...]) -> PartialJson:
    return PartialJson(value, complete=complete, path=path)
