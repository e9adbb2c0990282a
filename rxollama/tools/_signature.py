"""The description of a function: its name, its docstring, its parameters and their types."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, get_type_hints

import docstring_parser
import msgspec

from rxollama._invalid_value import invalid_value

__all__ = ("ParsedDocstring", "docs_of", "hint_of", "is_async", "is_silent", "name_of", "parameters_of")

_REFUSED = {
    inspect.Parameter.VAR_POSITIONAL: "named parameters, since a model cannot use *{}",
    # Servers drop `additionalProperties`, so no model would know of them.
    inspect.Parameter.VAR_KEYWORD: "named parameters, since a model cannot use **{}",
}


class ParsedDocstring(msgspec.Struct, frozen=True):
    """
    The parts of a docstring that a model is told.

    Args:
        description: The text before its sections.
        parameters: The descriptions of the parameters, by name.
    """

    description: str = ""
    parameters: dict[str, str] = {}


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function; "" if it has none."""
    return getattr(_unwrapped(function), "__name__", "")


def docs_of(function: Callable[..., Any]) -> ParsedDocstring:
    """
    Parse the docstring of a function, in the style of Google, NumPy or reST.

    Args:
        function: The function. For an object with `__call__`, the docstring of that counts, or else the object's own.

    Returns:
        The parts, which may be empty.
    """
    called = _called(function)
    parsed = docstring_parser.parse(_docstring(called if called.__doc__ else _unwrapped(function)))
    parameters = {
        # NumPy's style documents several parameters at once.
        name.strip(" *"): " ".join((parameter.description or "").split())
        for parameter in parsed.params
        for name in parameter.arg_name.split(",")
    }
    return ParsedDocstring((parsed.description or "").strip(), parameters)


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a call runs nothing yet, and gives a coroutine or an async generator for the loop to run."""
    called = _called(function)
    return inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)


def is_silent(function: Callable[..., Any]) -> bool:
    """Return whether a function declares that it returns None."""
    return getattr(inspect.unwrap(_called(function)), "__annotations__", {}).get("return", ...) in (None, "None")


def parameters_of(function: Callable[..., Any], name: str) -> tuple[inspect.Parameter, ...]:
    """
    List the parameters that a model may give.

    Args:
        function: The function. Keywords that a `functools.partial` binds are left out.
        name: The name of the tool, for errors.

    Returns:
        The parameters in order.

    Raises:
        InvalidValueError: If the signature is unknown, or accepts any number of arguments.
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
    Return the type that an annotation stands for, also if it is written as a str.

    Args:
        function: The function that has the annotation.
        annotation: The annotation.
        field: The name of the parameter, for errors.

    Returns:
        The type; `Any` if there is no annotation.

    Raises:
        InvalidValueError: If a name in it is not known at run time.
    """
    if annotation is inspect.Parameter.empty:
        return Any
    # One by one: a name that is unknown elsewhere, such as in the return type, does no harm.
    holder = SimpleNamespace(__annotations__={"hint": annotation})
    try:
        return get_type_hints(holder, globalns=_names_of(function), include_extras=True)["hint"]
    except Exception as error:  # An annotation may hold any expression, which may fail in any way.
        allowed = f"a type whose names the module knows at run time, not under TYPE_CHECKING or in a function ({error})"
        raise invalid_value(field, annotation, allowed) from error


def _docstring(documented: Any) -> str:
    if not inspect.isclass(documented):
        return inspect.getdoc(documented) or ""
    # `getdoc` would give that of a base class, such as how to use pydantic. Python itself writes `Point(x: int)`.
    own = inspect.cleandoc(documented.__doc__ or "")
    return "" if own.startswith(f"{documented.__name__}(") and own.endswith(")") else own


def _unwrapped(function: Any) -> Any:
    return _unwrapped(function.func) if isinstance(function, functools.partial) else function


def _called(function: Callable[..., Any]) -> Any:
    plain = _unwrapped(function)
    return plain if inspect.isroutine(plain) or inspect.isclass(plain) else type(plain).__call__


def _names_of(function: Callable[..., Any]) -> dict[str, Any]:
    called = inspect.unwrap(_called(function))
    if not inspect.isclass(called):
        return getattr(called, "__globals__", None) or vars(sys.modules[called.__module__])
    # A class has the names of its module, and for inherited annotations those of its bases' modules.
    names: dict[str, Any] = {}
    for kind in reversed(called.__mro__):
        names |= vars(sys.modules[kind.__module__])
    return names
