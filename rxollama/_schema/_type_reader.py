"""Values of a type, read from JSON that a model wrote."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

import msgspec

from rxollama._schema._describe import schema_of
from rxollama._schema._foreign import foreign_value
from rxollama._schema._walk import Schema

__all__ = ("Misfit", "TypeReader")

T = TypeVar("T")
R = TypeVar("R")

_PLACE = re.compile(r"(?s)(?P<reason>.*) - at (?:`key` in )?`(?P<path>\$[^`]*)`")


class Misfit(ValueError):  # noqa: N818 - Private; callers make errors of their own public tree of it.
    """
    Say what in a value does not fit its type, and where.

    Args:
        reason: What does not fit, in one line.
        path: Where, such as `$.rows[2].price`; `$` is the whole, and `[...]` a value in a dict.
    """

    reason: str
    path: str

    def __init__(self, reason: str, path: str = "$") -> None:
        super().__init__(f"{reason} - at `{path}`")
        self.reason = reason
        self.path = path


class TypeReader(Generic[T]):
    """
    Be a type whose values can be read from JSON; made by `TypeReader.of`.

    Models of pydantic follow their own strictness, which is lax unless they say otherwise.
    """

    __slots__ = ("_kind", "_lax", "schema")

    schema: Schema

    def __init__(self, kind: Any, schema: Schema, *, lax: bool) -> None:
        self.schema = schema
        self._kind = kind
        self._lax = lax

    @overload
    @classmethod
    def of(cls, kind: type[R], *, field: str, lax: bool = False) -> TypeReader[R]: ...
    @overload
    @classmethod
    def of(cls, kind: Any, *, field: str, lax: bool = False) -> TypeReader[Any]: ...
    @classmethod
    def of(cls, kind: Any, *, field: str, lax: bool = False) -> TypeReader[Any]:
        """
        Find out how to read values of a type.

        Args:
            kind: A type that msgspec knows, a model of pydantic, a path, or a type made of such.
            field: What to call the type's place in an error.
            lax: Whether to take "3" for 3 and "true" for True where a number or a truth value is wanted.

        Returns:
            The shape.

        Raises:
            InvalidValueError: When the type cannot be read from JSON.
        """
        return TypeReader(kind, schema_of(kind, field=field), lax=lax)

    def convert(self, value: object) -> T:
        """
        Make a value of the type from what JSON is in Python: dicts, lists, texts, numbers, True, False and None.

        Args:
            value: The JSON.

        Returns:
            The value.

        Raises:
            Misfit: When it does not fit, with the path to the first fault.
        """
        try:
            made: T = msgspec.convert(value, self._kind, strict=not self._lax, str_keys=True, dec_hook=foreign_value)
        except msgspec.ValidationError as error:
            raise _misfit(error) from error
        except RecursionError as error:
            raise Misfit("it is nested too deeply") from error
        return made


def _misfit(error: msgspec.ValidationError) -> Misfit:
    placed = _PLACE.fullmatch(str(error))
    reason, path = (placed["reason"], placed["path"]) if placed else (str(error), "$")
    faults: Callable[[], list[dict[str, Any]]] | None = getattr(error.__cause__, "errors", None)
    if faults is not None:
        # pydantic tells several lines, and its own path beyond ours.
        first = faults()[0]
        reason = first["msg"]
        path += "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    return Misfit(reason, path)
