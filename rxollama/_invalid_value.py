"""
The root of all errors, and the errors for wrong values.

They stand below `messages`, whose values check themselves. `errors` stands above it, because the error that ends a
stream carries a `ChatResponse`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ("InvalidValueError", "RxOllamaError", "invalid_value", "unknown_name")

_SHOWN = 80
# "text" is as near to "content" as this, and no nearer.
_NEAR = 0.5


class RxOllamaError(Exception):
    """
    The base class of every error that rxollama raises.

    .. versionadded:: 0.1
    """


class InvalidValueError(RxOllamaError, ValueError):
    """
    A wrong value from the caller, found before anything is sent.

    Args:
        message: The whole message.
        field: The name of the field or argument.
        given: The value, shortened. Only its type, if the value may be private.
        allowed: The expected value.

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


def invalid_value(field: str, given: object, allowed: str, *, show: bool = True, hint: str = "") -> InvalidValueError:
    """
    Build the error for a wrong value: "FIELD: expected ALLOWED, got GIVEN".

    Args:
        field: The name of the field or argument.
        given: The wrong value.
        allowed: The expected value, as a noun phrase such as "a str".
        show: Whether the error may show the value. If not, it names the value's type.
        hint: The advice, if *allowed* does not say it.

    Returns:
        The error, for the caller to raise.
    """
    shown = _shown(given) if show else _kind(given)
    if len(shown) > _SHOWN:
        shown = shown[:_SHOWN] + "…"
    message = f"{field}: expected {allowed}, got {shown}"
    return InvalidValueError(f"{message}: {hint}" if hint else message, field=field, given=shown, allowed=allowed)


def unknown_name(
    owner: str, name: object, known: Iterable[str], allowed: str, *, otherwise: str = ""
) -> InvalidValueError:
    """
    Build the error for a name that is not known, with the nearest name that is.

    Args:
        owner: The field or argument that holds the name.
        name: The unknown name.
        known: The names that are known.
        allowed: The expected value, as a noun phrase.
        otherwise: The advice if no known name is near.

    Returns:
        The error, for the caller to raise.
    """
    if not isinstance(name, str):
        return invalid_value(owner, name, "names of type str")
    near = get_close_matches(name, known, n=1, cutoff=_NEAR)
    return invalid_value(f"{owner}.{name}", name, allowed, hint=f"did you mean {near[0]!r}?" if near else otherwise)


def _shown(given: object) -> str:
    try:
        return repr(given)
    except (RecursionError, ValueError):
        # Deep nesting has no repr, and neither has a number of many thousand digits.
        return _kind(given)


def _kind(given: object) -> str:
    return "None" if given is None else type(given).__name__
