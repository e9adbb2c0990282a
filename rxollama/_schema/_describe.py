"""The JSON Schema of a type."""

from __future__ import annotations

from typing import Any

import msgspec

from rxollama._invalid_value import invalid_value
from rxollama._schema._order import ordered
from rxollama._schema._pydantic import foreign_schema, hoisted
from rxollama._schema._walk import Schema, with_parts

__all__ = ("schema_of",)

_PREFIX = "#/$defs/"


def schema_of(kind: Any, *, field: str) -> Schema:
    """
    Return the JSON Schema of a type.

    Args:
        kind: A type that msgspec knows, a model of pydantic, a path, or a type made of these.
        field: The name of the field, for the error.

    Returns:
        The schema, with `$defs` and `$ref` for types that have a name.

    Raises:
        InvalidValueError: If the type has no schema.
    """
    try:
        return _rooted(ordered(hoisted(msgspec.json.schema(kind, schema_hook=foreign_schema)), kind))
    except Exception as error:  # The caller's types may fail in any way, such as by an unknown name.
        reason = str(error).splitlines()[-1] if str(error) else type(error).__name__
        raise invalid_value(field, kind, f"a type that JSON Schema can describe ({reason})") from error


def _rooted(schema: Schema) -> Schema:
    """Replace a reference at the root by its definition, and drop the definition if nothing else refers to it."""
    if "$ref" not in schema:
        return schema
    definitions: dict[str, Schema] = schema["$defs"]
    reference = schema["$ref"]
    name = reference.removeprefix(_PREFIX)
    root = definitions[name] | {key: value for key, value in schema.items() if key not in {"$ref", "$defs"}}
    named: set[str] = set()

    def look(part: Schema) -> Schema:
        named.add(part.get("$ref", ""))
        return with_parts(part, look)

    look({"$defs": definitions})
    # A recursive type refers to its own definition.
    kept = {each: definitions[each] for each in definitions if each != name or reference in named}
    return {**root, "$defs": kept} if kept else root
