"""Every operator does what the diagram in its docstring says."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest
from marbles import play_docstring
from reactivex import Observable

from rxollama import operators


def _public_operators() -> list[Callable[..., Any]]:
    """Return the exported operators, and those in the `__all__` of any of the modules."""
    exported: tuple[str, ...] = getattr(operators, "__all__", ())
    found = {name: getattr(operators, name) for name in exported}
    for info in pkgutil.iter_modules(operators.__path__):
        module = importlib.import_module(f"{operators.__name__}.{info.name}")
        offered = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
        found |= {name: value for name, value in offered.items() if _makes_operator(value)}
    return [value for _, value in sorted(found.items()) if inspect.isfunction(value)]


def _makes_operator(value: object) -> bool:
    return inspect.isfunction(value) and str(value.__annotations__.get("return", "")).startswith("Operator[")


@pytest.mark.parametrize("operator", _public_operators(), ids=lambda operator: str(operator.__name__))
def test_diagram(operator: Callable[..., Any]) -> None:
    """An operator emits what the diagram in its docstring shows, at the times that it shows."""
    play_docstring(operator)


def same() -> Callable[[Observable[Any]], Observable[Any]]:
    """Return an operator that changes nothing."""
    return lambda source: source


def twice() -> Callable[[Observable[Any]], tuple[Observable[Any], Observable[Any]]]:
    """Return a function from a source to a pair of it."""
    return lambda source: (source, source)


def described(*lines: str) -> Callable[..., Any]:
    """Return a function like `same` with a diagram in its docstring."""
    operator = FunctionType(same.__code__, globals(), "same")
    operator.__doc__ = "\n    ".join(["Change nothing.", "", ".. marbles::", "", *[f"    {line}" for line in lines]])
    return operator


@pytest.mark.parametrize(
    "lines",
    [
        ("--a--b--", "same()", "--a--b--"),
        ("--a--#", "same()", "--a--#", "", '# = ValueError("of the source")'),
        ("--(a,b)--|", "same()", "--(a,b)--|", "", "b = ChatChunk(model=a.model)", "a = ChatChunk()"),
        ("--a--|", "twice()", "--a--|", "--a--|"),
    ],
)
def test_right_diagram(lines: tuple[str, ...]) -> None:
    """A diagram may name the error, omit the end, define names in any order, and show several results."""
    play_docstring(described(*lines))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("--a--|", "same()"), "without a source, a call and a result"),
        (("--a--|", "same()", "--b--|"), "does not do what its diagram says"),
        (("--a--|", "same()", "---a-|"), "does not do what its diagram says"),
        (("--a--#", "same()", "--a--|"), "does not do what its diagram says"),
        (("--a--|", "twice()", "--a--|"), "does not do what its diagram says"),
        (("--a--|", "same()", "--a--|", "", "a = nobody_knows"), "not defined"),
    ],
)
def test_wrong_diagram(lines: tuple[str, ...], message: str) -> None:
    """A wrong or incomplete diagram fails."""
    with pytest.raises(AssertionError, match=message):
        play_docstring(described(*lines))


def test_no_diagram() -> None:
    """An operator without a diagram fails."""
    with pytest.raises(AssertionError, match="no marble diagram"):
        play_docstring(same)


def test_quiet() -> None:
    """A diagram may use a logger that logs nothing."""
    play_docstring(described("--a--|", "same() if QUIET.error('a') is None else None", "--a--|"))
