"""The checks of arguments that every room shares. Each raises `InvalidValueError`, and names the field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from threading import TIMEOUT_MAX
from typing import Any, TypeGuard

from rxollama._invalid_value import invalid_value

__all__ = (
    "check_callable",
    "check_choice",
    "check_count",
    "check_flag",
    "check_name",
    "check_seconds",
    "check_several",
    "check_text",
    "is_mapping",
)

_SINGLE = (str, bytes, bytearray, memoryview, Mapping)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether a value is a dict or another mapping."""
    return isinstance(value, Mapping)


def check_callable(field: str, function: object, allowed: str = "a function") -> Callable[..., Any]:
    """
    Return *function* if it can be called.

    Args:
        field: The name of the field, for the error.
        function: The value to check.
        allowed: The expected value, for the error.

    Raises:
        InvalidValueError: If it cannot be called.
    """
    if not callable(function):
        raise invalid_value(field, function, allowed, show=False)
    return function


def check_choice(field: str, given: object, choices: tuple[str, ...], *, none: bool = True) -> None:
    """
    Refuse anything but one of several words.

    Args:
        field: The name of the field, for the error.
        given: The value to check.
        choices: The words, at least two.
        none: Whether None is allowed too.

    Raises:
        InvalidValueError: If it is anything else.
    """
    if not (isinstance(given, str) and given in choices) and not (none and given is None):
        *first, last = map(repr, choices)
        raise invalid_value(field, given, f"{', '.join(first)} or {last}")


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


def check_flag(field: str, flag: object, *, none: bool = True) -> None:
    """
    Refuse anything but a bool.

    Args:
        field: The name of the field, for the error.
        flag: The value to check.
        none: Whether None is allowed too.

    Raises:
        InvalidValueError: If it is anything else.
    """
    if not isinstance(flag, bool) and not (none and flag is None):
        raise invalid_value(field, flag, "a bool")


def check_name(field: str, name: object) -> str:
    """
    Return the name of a model, see `check_text`.

    Args:
        field: The name of the field, for the error.
        name: The value to check.

    Raises:
        InvalidValueError: If it is not a str, or blank.
    """
    if not isinstance(name, str) or not name.strip():
        # If the model is forgotten, the messages stand in its place: they are private.
        raise invalid_value(field, name, "a model name, such as 'qwen3' or 'qwen3:8b'", show=isinstance(name, str))
    return str.__str__(name)


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
    Return the items of a list, a tuple or another iterable.

    Args:
        field: The name of the field, for the error.
        values: The value to check.
        allowed: The expected value, for the error.

    Returns:
        The items as a tuple.

    Raises:
        InvalidValueError: If it is one value: not an iterable, or a str, bytes or a mapping.
    """
    if not _is_several(values):
        raise invalid_value(field, values, allowed, show=False)
    return tuple(values)


def check_text(field: str, text: object) -> str:
    """
    Return a str, without a subclass of its own; an error does not show it.

    msgspec refuses to encode a subclass of str, such as a numpy.str_.

    Args:
        field: The name of the field, for the error.
        text: The value to check.

    Raises:
        InvalidValueError: If it is anything else.
    """
    if not isinstance(text, str):
        raise invalid_value(field, text, "a str", show=False)
    return str.__str__(text)


def _is_several(value: object) -> TypeGuard[Iterable[Any]]:
    return isinstance(value, Iterable) and not isinstance(value, _SINGLE)
