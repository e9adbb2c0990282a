"""What stands behind something that can be called: its name, its docstring, its signature, and what its hints mean."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, get_type_hints

from rxollama._invalid_value import invalid_value
from rxollama.tools._docstring import ParsedDocstring, parse_docstring

__all__ = ("docs_of", "hint_of", "is_async", "is_silent", "name_of", "parameters_of")

_REFUSED = {
    inspect.Parameter.VAR_POSITIONAL: "named parameters, since a model cannot use *{}",
    # Servers drop `additionalProperties`, so that no model would ever hear of them.
    inspect.Parameter.VAR_KEYWORD: "named parameters, since a model cannot use **{}",
}


def name_of(function: Callable[..., Any]) -> str:
    """Find the name of a function, or nothing where it has none."""
    return getattr(_plain(function), "__name__", "")


def docs_of(function: Callable[..., Any]) -> ParsedDocstring:
    """Read the docstring of a function; of an object that can be called that of its call, or else its own."""
    plain, called = _plain(function), _called(function)
    return parse_docstring(called if called.__doc__ else plain)


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling a function runs nothing yet, but brings what is to be run on a loop."""
    called = _called(function)
    return inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)


def is_silent(function: Callable[..., Any]) -> bool:
    """Tell whether a function says that it returns nothing."""
    return getattr(inspect.unwrap(_called(function)), "__annotations__", {}).get("return", ...) in (None, "None")


def parameters_of(function: Callable[..., Any], name: str) -> tuple[inspect.Parameter, ...]:
    """
    List the parameters that a model may give.

    Args:
        function: The function; what a `functools.partial` gives by keyword is given.
        name: The name of the tool, for errors.

    Returns:
        The parameters in order.

    Raises:
        InvalidValueError: When the signature is unknown, or takes any number of arguments.
    """
    try:
        found = inspect.signature(function).parameters.values()
    except (NameError, TypeError, ValueError) as error:
        raise invalid_value(name, function, f"a function with a signature ({error})") from error
    for place, parameter in enumerate(found):
        if place == 0 and parameter.name == "self":
            raise invalid_value(name, function, "a method of an instance, such as `Weather().forecast`")
        if parameter.kind in _REFUSED:
            raise invalid_value(f"{name}({parameter})", function, _REFUSED[parameter.kind].format(parameter.name))
    given: dict[str, Any] = function.keywords if isinstance(function, functools.partial) else {}
    return tuple(parameter for parameter in found if parameter.name not in given)


def hint_of(function: Callable[..., Any], annotation: Any, field: str) -> Any:
    """
    Find the type that an annotation means, also where it is written as a text.

    Args:
        function: Whose annotation it is.
        annotation: The annotation.
        field: What to call it in an error.

    Returns:
        The type; any value where there is no annotation.

    Raises:
        InvalidValueError: When a name in it is not known at run time.
    """
    if annotation is inspect.Parameter.empty:
        return Any
    # One by one, since a name that is missing elsewhere, such as in what is returned, does no harm.
    holder = SimpleNamespace(__annotations__={"hint": annotation})
    try:
        return get_type_hints(holder, globalns=_names_of(function), include_extras=True)["hint"]
    except Exception as error:  # An annotation may hold any expression, which may fail in any way.
        allowed = f"a type whose names the module knows at run time, not under TYPE_CHECKING or in a function ({error})"
        raise invalid_value(field, annotation, allowed) from error


def _plain(function: Any) -> Any:
    return _plain(function.func) if isinstance(function, functools.partial) else function


def _called(function: Callable[..., Any]) -> Any:
    plain = _plain(function)
    return plain if inspect.isroutine(plain) or inspect.isclass(plain) else type(plain).__call__


def _names_of(function: Callable[..., Any]) -> dict[str, Any]:
    called = inspect.unwrap(_called(function))
    if not inspect.isclass(called):
        return getattr(called, "__globals__", None) or vars(sys.modules[called.__module__])
    # A class has no globals of its own, but those of its module, and for what it inherits those of its bases.
    names: dict[str, Any] = {}
    for kind in reversed(called.__mro__):
        names |= vars(sys.modules[kind.__module__])
    return names
