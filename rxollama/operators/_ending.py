"""The last items of an operator, and the end after them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from reactivex import abc

from .._runtime import end_failed

__all__ = ("emit_and_end",)

A = TypeVar("A")


def emit_and_end(observer: abc.ObserverBase[A], items: Iterable[A], error: Exception | None = None) -> None:
    """
    Emit the last items, then end the subscription.

    Args:
        observer: The subscriber. If it raises for an item, that is how it ends.
        items: The last items.
        error: The source's error, or None for completion. An exception of its handler reaches the source.
    """
    try:
        for item in items:
            observer.on_next(item)
    except BaseException as raised:
        end_failed(observer, raised)
        if not isinstance(raised, Exception):
            raise
        return
    if error is None:
        observer.on_completed()
    else:
        observer.on_error(error)
