"""The rules by which the fields of a request are refused, before a server would."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from threading import TIMEOUT_MAX
from typing import Any, TypeGuard, TypeVar, get_origin

import msgspec

from rxollama._invalid_value import invalid_value
from rxollama._schema import schema_of

__all__ = (
    "check_count",
    "check_flag",
    "check_format",
    "check_keep_alive",
    "check_model",
    "check_options",
    "check_seconds",
    "check_several",
    "check_text",
    "check_think",
    "check_tools",
    "check_top_logprobs",
    "is_mapping",
)

T = TypeVar("T")

_ONE = (str, bytes, bytearray, memoryview, Mapping)
_THINK_LEVELS = ("low", "medium", "high", "max")
_TOP_LOGPROBS = 20
_LARGEST = sys.float_info.max
# Go takes both signs of micro, and a lone zero without a unit: https://pkg.go.dev/time#ParseDuration.
_DURATION = re.compile(r"[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)")

# The kinds of option that the server checks, by https://github.com/ollama/ollama/blob/main/api/types.go.
_WHOLE = {
    "draft_num_predict",
    "main_gpu",
    "num_batch",
    "num_ctx",
    "num_gpu",
    "num_keep",
    "num_predict",
    "num_thread",
    "repeat_last_n",
    "seed",
    "top_k",
}
_FLOATING = {
    "frequency_penalty",
    "min_p",
    "presence_penalty",
    "repeat_penalty",
    "temperature",
    "top_p",
    "typical_p",
}


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Tell whether this is a dict or the like."""
    return isinstance(value, Mapping)


def check_count(field: str, count: object) -> int:
    """
    Return *count* if it is an int of 1 or more.

    Args:
        field: The name of the field, for the error.
        count: The value to check.

    Raises:
        InvalidValueError: If it is anything else.
    """
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise invalid_value(field, count, "an int, 1 or more")
    return count


def check_seconds(field: str, seconds: object, *, zero: bool = False) -> float:
    """
    Return a time to wait in seconds.

    Args:
        field: The name of the field, for the error.
        seconds: A number of seconds, or a `datetime.timedelta`.
        zero: Whether 0 is allowed.

    Raises:
        InvalidValueError: If it is neither, if it is too small, or if it is longer than a thread can wait.
    """
    given = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if (
        not isinstance(given, (int, float))
        or isinstance(given, bool)
        or not 0 <= given <= TIMEOUT_MAX
        or not (given or zero)
    ):
        allowed = "a number of seconds, 0 or more" if zero else "a positive number of seconds"
        raise invalid_value(field, seconds, allowed)
    return float(given)


def check_several(field: str, values: object, allowed: str = "a list or tuple") -> tuple[Any, ...]:
    """
    Refuse what is not several: no list or the like, but one text, one lump of bytes, one dict.

    Args:
        field: The name of the field.
        values: What was given.
        allowed: What to call the right thing in an error.

    Returns:
        What the caller gave, as a tuple.

    Raises:
        InvalidValueError: When it is one value.
    """
    if not _is_several(values):
        raise invalid_value(field, values, allowed, show=False)
    return tuple(values)


def check_model(model: object) -> None:
    """Refuse what is no model name."""
    if not isinstance(model, str) or not model.strip():
        # Who forgets the model gives the messages in its place, and these are not to be shown.
        raise invalid_value("model", model, "a model name, such as 'qwen3' or 'qwen3:8b'", show=isinstance(model, str))


def check_text(field: str, text: object) -> None:
    """Refuse what is no text."""
    if not isinstance(text, str):
        raise invalid_value(field, text, "a str", show=False)


def check_flag(field: str, flag: object) -> None:
    """Refuse what is no flag."""
    if flag is not None and not isinstance(flag, bool):
        raise invalid_value(field, flag, "a bool")


def check_think(think: object) -> None:
    """Refuse what is no level of thinking."""
    if think is None or isinstance(think, bool) or (isinstance(think, str) and think in _THINK_LEVELS):
        return
    raise invalid_value("think", think, "a bool, 'low', 'medium', 'high' or 'max'")


def check_top_logprobs(top_logprobs: object, logprobs: object) -> None:
    """Refuse a number of alternatives that the server would refuse or pass over in silence."""
    if top_logprobs is None:
        return
    whole = isinstance(top_logprobs, int) and not isinstance(top_logprobs, bool)
    if not (whole and top_logprobs in range(_TOP_LOGPROBS + 1)):
        raise invalid_value("top_logprobs", top_logprobs, f"an int from 0 to {_TOP_LOGPROBS}")
    if top_logprobs and not logprobs:
        raise invalid_value("top_logprobs", top_logprobs, "None or 0 without logprobs=True")


def check_format(value: object) -> dict[str, Any] | str | None:
    """
    Refuse what is neither "json", nor a JSON schema, nor a type that has one.

    Args:
        value: "json", a JSON schema, a type, or None.

    Returns:
        The same; of a schema a dict of its own, of a type its schema.

    Raises:
        InvalidValueError: When it is none of these.
    """
    if value is None or (isinstance(value, str) and value == "json"):
        return value
    if is_mapping(value):
        return _check_json("format", dict(value))
    if not _is_type(value):
        raise invalid_value("format", value, "'json', a JSON schema as a dict, or a type")
    return schema_of(value, field="format")


def check_keep_alive(value: object) -> float | str | None:
    """
    Refuse what is no duration, and turn a timedelta into seconds.

    Args:
        value: Seconds, a Go duration such as "5m", or a timedelta; negative for ever.

    Returns:
        What the server takes.

    Raises:
        InvalidValueError: When it is none of these.
    """
    if value is None:
        return None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if _is_number(value):
        return value
    if isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        return value.strip()
    hint = "a number of seconds, a duration with units such as '5m', '1h30m' or '300s', or a timedelta"
    raise invalid_value("keep_alive", value, hint)


def check_options(options: object) -> dict[str, Any] | None:
    """
    Refuse options that the server would answer with status 500.

    Args:
        options: Values by Ollama's names; names that are not known here are the server's business.

    Returns:
        A dict of its own.

    Raises:
        InvalidValueError: Naming the option that is wrong.
    """
    if options is None:
        return None
    if not is_mapping(options):
        raise invalid_value("options", options, "a dict of option names and values")
    for name, value in options.items():
        if not isinstance(name, str):
            raise invalid_value("options", name, "option names of type str")
        if value is not None:
            _check_option(name, value)
    return _check_json("options", dict(options))


def _check_option(name: str, value: object) -> None:
    field = f"options.{name}"
    if name in _WHOLE and not (_is_number(value) and value % 1 == 0):
        raise invalid_value(field, value, "an int")
    if name in _FLOATING and not _is_number(value):
        raise invalid_value(field, value, "a number")
    if name == "use_mmap" and not isinstance(value, bool):
        raise invalid_value(field, value, "a bool")
    if name == "stop" and not (_is_list(value) and all(isinstance(stop, str) for stop in value)):
        raise invalid_value(field, value, "a list of str")


def check_tools(tools: object) -> tuple[Mapping[str, Any], ...]:
    """
    Refuse what is no list of tools in Ollama's shape.

    Args:
        tools: Several `{"type": "function", "function": {"name": ..., "parameters": ...}}`, or None.

    Returns:
        The tools.

    Raises:
        InvalidValueError: Naming the tool that is wrong.
    """
    if tools is None:
        return ()
    found = check_several("tools", tools, "a list of tools in Ollama's shape")
    for place, tool in enumerate(found):
        function = tool.get("function") if is_mapping(tool) else None
        if not is_mapping(function) or not isinstance(function.get("name"), str):
            raise invalid_value(
                f"tools[{place}]",
                tool,
                "{'type': 'function', 'function': {'name': ..., 'parameters': {...}}}",
            )
    return _check_json("tools", found)


def _check_json(field: str, value: T) -> T:
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid_value(field, value, f"values that JSON can hold ({error})") from error
    return value


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


def _is_type(value: object) -> bool:
    # A type with parameters and a union are not of the class `type`.
    return isinstance(value, type) or get_origin(value) is not None


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (list, tuple))


def _is_several(value: object) -> TypeGuard[Iterable[Any]]:
    return isinstance(value, Iterable) and not isinstance(value, _ONE)
