"""Types that msgspec does not know: models of pydantic, and paths."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, TypeGuard

from rxollama._schema._pydantic import is_model
from rxollama._schema._walk import Schema

__all__ = ("foreign_schema", "foreign_value")


def foreign_schema(kind: type) -> Schema:
    """Tell msgspec the schema of a type that it does not know."""
    if is_model(kind):
        return kind.model_json_schema()
    if _is_path(kind):
        return {"type": "string", "format": "path"}
    raise NotImplementedError


def foreign_value(kind: type, value: object) -> Any:
    """Make for msgspec a value of a type that it does not know."""
    if is_model(kind):
        return kind.model_validate(value)
    if _is_path(kind):
        if not isinstance(value, str):
            raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
        return kind(value)
    return value


def _is_path(kind: object) -> TypeGuard[type[PurePath]]:
    return isinstance(kind, type) and issubclass(kind, PurePath)
