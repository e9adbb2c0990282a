"""Models of pydantic, known by what they can do, so that pydantic is needed by nobody who does not use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol, TypeGuard

from rxollama._schema._walk import Schema, with_parts

__all__ = ("Model", "hoisted", "is_model")

_PREFIX = "#/$defs/"


class Model(Protocol):
    """Be a class that tells its own schema, and makes its own values."""

    def model_json_schema(self) -> dict[str, Any]:
        """Tell the JSON Schema."""
        ...

    def model_validate(self, obj: Any, /) -> Any:
        """Make a value."""
        ...


def is_model(kind: object) -> TypeGuard[Model]:
    """Tell whether this is a model's class."""
    return isinstance(kind, type) and hasattr(kind, "model_json_schema") and hasattr(kind, "model_validate")


def hoisted(schema: Schema) -> Schema:
    """
    Move the definitions that models brought along to the root, where their references look for them.

    Args:
        schema: A schema as msgspec makes it, models' schemas and all.

    Returns:
        The same with all definitions at the root; of two that have the same name one gets another.
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
