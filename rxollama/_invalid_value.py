"""
The root of all errors, and the refusal of a wrong value.

They stand below `messages`, whose values check themselves, while `errors` stands above it, because an error that
ends a stream carries a `ChatResponse`.
"""

from __future__ import annotations

__all__ = ("InvalidValueError", "RxOllamaError", "invalid_value")

_SHOWN = 80


class RxOllamaError(Exception):
    """
    Be the base of everything that rxollama raises.

    .. versionadded:: 0.1
    """


class InvalidValueError(RxOllamaError, ValueError):
    """
    Say that a value given by the caller is wrong, before anything is sent.

    Args:
        message: What is wrong, for people.
        field: The name of the field or argument.
        given: What was given, shortened.
        allowed: What is allowed.

    .. versionadded:: 0.1
    """

    field: str
    given: str
    allowed: str

    def __init__(self, message: str, *, field: str = "", given: str = "", allowed: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.given = given
        self.allowed = allowed


def invalid_value(field: str, given: object, allowed: str, *, show: bool = True) -> InvalidValueError:
    """
    Build the error for a wrong value.

    Args:
        field: The name of the field or argument.
        given: The wrong value.
        allowed: What is expected, as a noun phrase such as "a str".
        show: Whether the value itself may be shown; False for what people write, of which only the type is named.

    Returns:
        The error, to be raised by the caller.
    """
    shown = _shown(given) if show else _kind(given)
    if len(shown) > _SHOWN:
        shown = shown[:_SHOWN] + "…"
    return InvalidValueError(
        f"{field}: expected {allowed}, got {shown}",
        field=field,
        given=shown,
        allowed=allowed,
    )


def _shown(given: object) -> str:
    try:
        return repr(given)
    except (RecursionError, ValueError):
        # Deep nesting has no repr, and neither has a number of many thousand digits.
        return _kind(given)


def _kind(given: object) -> str:
    return "None" if given is None else type(given).__name__
