"""The JSON Schema of a type."""

from __future__ import annotations

from typing import Any

import msgspec

from rxollama._refusal import refuse
from rxollama._schema._order import ordered
from rxollama._schema._parts import Schema
from rxollama._schema._pydantic import hoisted, model_schema

__all__ = ("schema_of",)


def schema_of(kind: Any, *, field: str) -> Schema:
    """
    Describe a type by its JSON Schema.

    Args:
        kind: A type that msgspec knows, a model of pydantic, or a type made of such.
        field: What to call the type's place in an error.

    Returns:
        The schema, with `$defs` and `$ref` where a type has a name.

    Raises:
        InvalidValueError: When the type has none.
    """
    try:
        return ordered(hoisted(msgspec.json.schema(kind, schema_hook=model_schema)), kind)
    except Exception as error:  # The types are not ours, and may fail in any way, such as by an unknown name.
        reason = str(error).splitlines()[-1] if str(error) else type(error).__name__
        raise refuse(field, kind, f"a type that JSON Schema can describe ({reason})") from error
