"""Values of a type from JSON that a model wrote."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

import msgspec

from rxollama._schema._describe import schema_of
from rxollama._schema._pydantic import foreign_value
from rxollama._schema._walk import Schema

__all__ = ("Misfit", "TypeReader", "misfit_of")

T = TypeVar("T")
R = TypeVar("R")

_PLACE = re.compile(r"(?s)(?P<reason>.*) - at (?:`key` in )?`(?P<path>\$[^`]*)`")


class Misfit(ValueError):  # noqa: N818 - Private: callers raise a public error in its place.
    """
    A value that does not fit its type.

    Args:
        reason: The mismatch, in one line.
        path: The place, such as `$.rows[2].price`. `$` is the whole, and `[...]` a value in a dict.
    """

    reason: str
    path: str

    def __init__(self, reason: str, path: str = "$") -> None:
        super().__init__(f"{reason} - at `{path}`")
        self.reason = reason
        self.path = path


class TypeReader(Generic[T]):
    """
    A reader for values of one type. `TypeReader.of` makes it.

    Models of pydantic follow their own strictness, which is lax by default.
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
        Make a reader for a type.

        Args:
            kind: A type that msgspec knows, a model of pydantic, a path, or a type made of these.
            field: The name of the field, for the error.
            lax: Whether to accept "3" for 3 and "true" for True, if a number or a bool is expected.

        Returns:
            The reader.

        Raises:
            InvalidValueError: If values of the type cannot be read from JSON.
        """
        return TypeReader(kind, schema_of(kind, field=field), lax=lax)

    def convert(self, value: object) -> T:
        """
        Return a value of the type.

        Args:
            value: JSON as Python has it: `dict`, `list`, `str`, `int`, `float`, `bool` and None.

        Returns:
            The value.

        Raises:
            Misfit: If it does not fit, with the path to the first fault.
        """
        try:
            made: T = msgspec.convert(value, self._kind, strict=not self._lax, str_keys=True, dec_hook=foreign_value)
        except msgspec.ValidationError as error:
            raise misfit_of(error) from error
        except RecursionError as error:
            raise Misfit("it is nested too deeply") from error
        return made


def misfit_of(error: msgspec.ValidationError) -> Misfit:
    """Return the reason and the place that an error of msgspec names."""
    placed = _PLACE.fullmatch(str(error))
    reason, path = (placed["reason"], placed["path"]) if placed else (str(error), "$")
    faults: Callable[[], list[dict[str, Any]]] | None = getattr(error.__cause__, "errors", None)
    if faults is not None:
        # pydantic's text has several lines. Its path begins where the path of msgspec ends.
        first = faults()[0]
        reason = first["msg"]
        path += "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    return Misfit(reason, path)
