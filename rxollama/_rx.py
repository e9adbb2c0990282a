"""What an operator is, and how one treats a subscriber that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from reactivex import Observable, abc

from rxollama._loop import report

__all__ = ("Operator", "fail")

A = TypeVar("A")
B = TypeVar("B")

Operator: TypeAlias = Callable[[Observable[A]], Observable[B]]
"""
An operator: what `pipe` takes.

An operator on items of any type spells it out instead: mypy infers nothing through a generic alias in a `pipe` of
several (https://github.com/python/mypy/issues/3924).
"""


def fail(observer: abc.ObserverBase[A], error: Exception) -> None:
    """
    End a subscription with an error, also where its subscriber cannot take one.

    Args:
        observer: The subscriber.
        error: The error; reported, where the subscriber has no handler for it or its handler fails.
    """
    try:
        observer.on_error(error)
    except Exception as raised:  # noqa: BLE001 - There is nobody else to be told.
        report("a subscription ended with an error that nobody handles", raised)
