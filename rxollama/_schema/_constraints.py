"""The constraints of a schema in words, for its description."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from rxollama._schema._walk import Schema

__all__ = ("noted",)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _kind(part: Schema) -> str:
    return part["type"] if part.keys() == {"type"} and isinstance(part["type"], str) else _json(part)


def _format(name: str) -> str:
    return _FORMATS.get(name, f"format {name}")


_FORMATS = {
    "date": "a date such as 2026-01-31",
    "date-time": "a time such as 2026-01-31T12:30:00Z",
    "decimal": "a decimal number",
    "duration": "a duration such as PT1H30M",
    "path": "a path",
    "time": "a time such as 12:30:00Z",
    "uuid": "a UUID",
}
_WORDS: dict[str, Callable[[Any], str]] = {
    "format": _format,
    "contentEncoding": "in {}".format,
    "pattern": "matching {}".format,
    "minimum": "at least {}".format,
    "exclusiveMinimum": "more than {}".format,
    "maximum": "at most {}".format,
    "exclusiveMaximum": "less than {}".format,
    "multipleOf": "a multiple of {}".format,
    "minLength": "length at least {}".format,
    "maxLength": "length at most {}".format,
    "minItems": "length at least {}".format,
    "maxItems": "length at most {}".format,
    "minProperties": "at least {} keys".format,
    "maxProperties": "at most {} keys".format,
    "uniqueItems": lambda _: "each only once",
    "prefixItems": lambda parts: f"in this order: {', '.join(map(_kind, parts))}",
    "additionalProperties": lambda part: f"values: {_kind(part)}",
    "default": lambda value: f"default {_json(value)}",
}


def noted(part: Schema) -> Schema:
    """
    Return a schema whose description names its constraints, which a server drops.

    Args:
        part: The schema, which is not changed. Its own parts are final.

    Returns:
        A copy with the description.
    """
    notes = ", ".join(_notes(part))
    if not notes:
        return dict(part)
    description: str = part.get("description", "")
    if description:
        end = "." if description.endswith(".") else ""
        notes = f"{description.removesuffix('.')} ({notes}){end}"
    return part | {"description": notes}


def _notes(part: Schema) -> Iterator[str]:
    for key, words in _WORDS.items():
        value = part.get(key)
        # A default of null, a flag that is off, and values of any kind are not constraints.
        if value is not None and not (value in ({}, True, False) and key == "additionalProperties"):
            yield words(value)
