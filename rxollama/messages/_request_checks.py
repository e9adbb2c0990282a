"""The checks of a request's fields, before the server sees them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, get_origin

from rxollama._checks import check_several, is_mapping
from rxollama._invalid_value import invalid_value
from rxollama._schema import schema_of
from rxollama.messages._model_options import is_number, json_copy
from rxollama.messages._value import mapping_of

__all__ = ("check_format", "check_think", "check_tools", "check_top_logprobs", "read_keep_alive")

_THINK_LEVELS = ("low", "medium", "high", "max")
_TOP_LOGPROBS = 20
_TOOL = "{'type': 'function', 'function': {'name': ..., 'parameters': {...}}}"
# Go takes both signs of micro, and a lone zero without a unit: https://pkg.go.dev/time#ParseDuration.
_DURATION = re.compile(r"[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)")


def check_think(think: object) -> None:
    """Refuse anything but a bool, a level of thinking, or None."""
    if think is None or isinstance(think, bool) or (isinstance(think, str) and think in _THINK_LEVELS):
        return
    raise invalid_value("think", think, "a bool, 'low', 'medium', 'high' or 'max'")


def check_top_logprobs(top_logprobs: object, logprobs: object) -> None:
    """Refuse a number of alternatives that the server would refuse or ignore."""
    if top_logprobs is None:
        return
    is_int = isinstance(top_logprobs, int) and not isinstance(top_logprobs, bool)
    if not (is_int and top_logprobs in range(_TOP_LOGPROBS + 1)):
        raise invalid_value("top_logprobs", top_logprobs, f"an int from 0 to {_TOP_LOGPROBS}")
    if top_logprobs and not logprobs:
        raise invalid_value("top_logprobs", top_logprobs, "None or 0 without logprobs=True")


def check_format(value: object) -> dict[str, Any] | str | None:
    """
    Read the format of an answer.

    Args:
        value: "json", a JSON schema, a type, or None.

    Returns:
        The same. A schema is copied, and a type becomes its schema.

    Raises:
        InvalidValueError: If it is none of these.
    """
    if value is None or (isinstance(value, str) and value == "json"):
        return value
    if is_mapping(value):
        schema: dict[str, Any] = json_copy("format", dict(value))
        return schema
    if not _is_type(value):
        raise invalid_value("format", value, "'json', a JSON schema as a dict, or a type")
    return schema_of(value, field="format")


def read_keep_alive(value: object) -> float | str | None:
    """
    Read how long a model stays loaded.

    Args:
        value: A number of seconds, a Go duration with units such as "5m", a timedelta, or None.

    Returns:
        The same, with a timedelta in seconds.

    Raises:
        InvalidValueError: If it is none of these.

    .. versionadded:: 0.1
    """
    if value is None:
        return None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_number(value):
        return value
    if isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        return value.strip()
    allowed = "a number of seconds, a duration with units such as '5m', '1h30m' or '300s', or a timedelta"
    raise invalid_value("keep_alive", value, allowed)


def check_tools(tools: object) -> tuple[dict[str, Any], ...]:
    """
    Read tools in Ollama's shape.

    Args:
        tools: An iterable of `{"type": "function", "function": {"name": ..., "parameters": ...}}` or of models of
            pydantic with these fields, or None.

    Returns:
        Copies of the tools.

    Raises:
        InvalidValueError: If one is wrong, naming its place.
    """
    if tools is None:
        return ()
    found = check_several("tools", tools, "a list of tools in Ollama's shape")
    return tuple(_tool(f"tools[{place}]", tool) for place, tool in enumerate(found))


def _tool(field: str, tool: object) -> dict[str, Any]:
    fields: Mapping[str, Any] = mapping_of(field, tool) or {}
    function = fields.get("function")
    if not is_mapping(function) or not isinstance(function.get("name"), str):
        raise invalid_value(field, tool, _TOOL)
    copy: dict[str, Any] = json_copy(field, dict(fields))
    return copy


def _is_type(value: object) -> bool:
    # A type with parameters and a union are not instances of `type`.
    return isinstance(value, type) or get_origin(value) is not None
