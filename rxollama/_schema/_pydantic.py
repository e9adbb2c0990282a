"""Types that msgspec does not know: models of pydantic, and paths. Models are recognised without importing pydantic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Protocol, TypeGuard

from rxollama._schema._walk import Schema, with_parts

__all__ = ("Model", "foreign_schema", "foreign_value", "hoisted", "is_model")

_PREFIX = "#/$defs/"


class Model(Protocol):
    """The class of a model of pydantic."""

    def model_json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        ...

    def model_validate(self, obj: Any, /) -> Any:
        """Return an instance."""
        ...


def is_model(kind: object) -> TypeGuard[Model]:
    """Return whether this is the class of a model."""
    return isinstance(kind, type) and hasattr(kind, "model_json_schema") and hasattr(kind, "model_validate")


def foreign_schema(kind: type) -> Schema:
    """Return the schema of a type that msgspec does not know, for its `schema_hook`."""
    if is_model(kind):
        return kind.model_json_schema()
    if _is_path(kind):
        return {"type": "string", "format": "path"}
    raise NotImplementedError


def foreign_value(kind: type, value: object) -> Any:
    """Return a value of a type that msgspec does not know, for its `dec_hook`."""
    if is_model(kind):
        return kind.model_validate(value)
    if _is_path(kind):
        if not isinstance(value, str):
            raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
        return kind(value)
    return value


def _is_path(kind: object) -> TypeGuard[type[PurePath]]:
    return isinstance(kind, type) and issubclass(kind, PurePath)


def hoisted(schema: Schema) -> Schema:
    """
    Move the definitions of models to the root, where their references point.

    Args:
        schema: A schema of msgspec, with the schemas of models inside.

    Returns:
        The schema with all definitions at the root. If two have the same name, one is renamed.
    """
    shared: Schema = dict(schema.get("$defs", {}))
    # The names at the root are taken before any other is given.
    own = {name: _emptied(part, shared) for name, part in tuple(shared.items())}
    root = _emptied({key: value for key, value in schema.items() if key != "$defs"}, shared)
    definitions = shared | own
    return root | {"$defs": definitions} if definitions else root


def _emptied(part: Schema, shared: Schema) -> Schema:
    brought: Schema = part.get("$defs", {})
    rest = {key: value for key, value in part.items() if key != "$defs"}
    if any(json.dumps(shared.get(name, known)) != json.dumps(known) for name, known in brought.items()):
        names = {_PREFIX + name: _PREFIX + _fresh(name, shared) for name in brought}
        rest = _renamed(rest, names)
        brought = {names[_PREFIX + name].removeprefix(_PREFIX): _renamed(one, names) for name, one in brought.items()}
    shared |= brought
    return with_parts(rest, lambda inner: _emptied(inner, shared))


def _fresh(name: str, taken: Mapping[str, object]) -> str:
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def _renamed(part: Schema, names: Mapping[str, str]) -> Schema:
    moved = with_parts(part, lambda inner: _renamed(inner, names))
    return moved | {"$ref": names.get(part["$ref"], part["$ref"])} if "$ref" in part else moved
