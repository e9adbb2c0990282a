"""Every operator does what the diagram in its docstring says."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
from marbles import diagram_of, play_docstring
from reactivex import Observable

from rxollama import operators


def _public_operators() -> list[Callable[..., Any]]:
    """Find what the package exports, and what any of its modules offers that makes an operator."""
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
    """An operator emits what its docstring draws, when it draws it."""
    play_docstring(operator)


def _same(source: Observable[Any]) -> Observable[Any]:
    return source


def undrawn() -> Callable[[Observable[Any]], Observable[Any]]:
    """Do nothing, and draw nothing."""
    return _same


def unfinished() -> Callable[[Observable[Any]], Observable[Any]]:
    """
    Do nothing, and draw half of it.

    .. marbles::

        --a--|
        unfinished()
    """
    return _same


def misdrawn() -> Callable[[Observable[Any]], Observable[Any]]:
    """
    Do nothing, and draw something else.

    .. marbles::

        --a--b--#
        misdrawn()
        --a--B--#

        B = ChatChunk(model=b.model + "!")
        b = ChatChunk()
    """
    return _same


def unnamed() -> Callable[[Observable[Any]], Observable[Any]]:
    """
    Do nothing, with a name that means nothing.

    .. marbles::

        --a--|
        unnamed()
        --a--|

        a = nobody_knows
    """
    return _same


def drawn() -> Callable[[Observable[Any]], Observable[Any]]:
    """
    Do nothing, and draw it with the errors' type only.

    .. marbles::

        --a--#
        drawn()
        --a--#

        # = ValueError("of the source")
    """
    return _same


def twice() -> Callable[[Observable[Any]], tuple[Observable[Any], Observable[Any]]]:
    """
    Hand the source out twice.

    .. marbles::

        --a--b-
        twice()
        --a--b-
        --a--b-
    """
    return lambda source: (source, source)


def test_no_diagram() -> None:
    """An operator without a diagram is found out."""
    with pytest.raises(AssertionError, match="no marble diagram"):
        play_docstring(undrawn)


def test_half_a_diagram() -> None:
    """A diagram without results is found out."""
    with pytest.raises(AssertionError, match="without a source, a call and a result"):
        diagram_of(unfinished)


def test_wrong_diagram() -> None:
    """A diagram that is not what happens is found out."""
    with pytest.raises(AssertionError, match="does not do what its diagram says"):
        play_docstring(misdrawn)


def test_unknown_name() -> None:
    """A name that nothing defines is found out."""
    with pytest.raises(AssertionError, match="not defined"):
        play_docstring(unnamed)


@pytest.mark.parametrize("operator", [drawn, twice])
def test_right_diagram(operator: Callable[..., Any]) -> None:
    """A diagram may name the source's error, leave out the end, and draw several results."""
    play_docstring(operator)
