"""The parts of a JSON Schema: which of its values are schemas, and which only look like one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeGuard

__all__ = ("Schema", "is_schema", "with_parts")

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema other than `true` and `false`."""

# The keys of https://json-schema.org/draft/2020-12/schema that msgspec and pydantic use.
_ONE = {"additionalProperties", "contains", "items", "not", "propertyNames"}
_SEVERAL = {"allOf", "anyOf", "oneOf", "prefixItems"}
_NAMED = {"$defs", "patternProperties", "properties"}


def is_schema(value: object) -> TypeGuard[Schema]:
    """Return whether this is a schema other than `true` and `false`."""
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def with_parts(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """
    Return a schema with its parts changed, and its data, such as defaults and the values of enums, as it is.

    Args:
        schema: The schema, which is not changed.
        change: The function from a part to the changed part.

    Returns:
        A schema of the changed parts.
    """

    def changed(key: str, value: Any) -> Any:
        if key in _NAMED and is_schema(value):
            return {name: one(part) for name, part in value.items()}
        if key in _SEVERAL and _is_list(value):
            return [one(part) for part in value]
        return one(value) if key in _ONE else value

    def one(part: Any) -> Any:
        return change(part) if is_schema(part) else part

    return {key: changed(key, value) for key, value in schema.items()}
