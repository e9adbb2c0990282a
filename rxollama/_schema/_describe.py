"""The JSON Schema of a type."""

from __future__ import annotations

from typing import Any

import msgspec

from rxollama._invalid_value import invalid_value
from rxollama._schema._foreign import foreign_schema
from rxollama._schema._order import ordered
from rxollama._schema._pydantic import hoisted
from rxollama._schema._walk import Schema, with_parts

__all__ = ("schema_of",)

_PREFIX = "#/$defs/"


def schema_of(kind: Any, *, field: str) -> Schema:
    """
    Describe a type by its JSON Schema.

    Args:
        kind: A type that msgspec knows, a model of pydantic, a path, or a type made of such.
        field: What to call the type's place in an error.

    Returns:
        The schema, with `$defs` and `$ref` where a type has a name.

    Raises:
        InvalidValueError: When the type has none.
    """
    try:
        return _rooted(ordered(hoisted(msgspec.json.schema(kind, schema_hook=foreign_schema)), kind))
    except Exception as error:  # The types are not ours, and may fail in any way, such as by an unknown name.
        reason = str(error).splitlines()[-1] if str(error) else type(error).__name__
        raise invalid_value(field, kind, f"a type that JSON Schema can describe ({reason})") from error


def _rooted(schema: Schema) -> Schema:
    """Write out a reference at the root, as other libraries have it, and drop a name that nobody needs then."""
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
    # A type that holds itself is needed by its name as well.
    kept = {each: definitions[each] for each in definitions if each != name or reference in named}
    return {**root, "$defs": kept} if kept else root
