"""What an operator is, and how one ends a subscription whose subscriber may fail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from reactivex import abc

from rxollama._runtime import report_error

__all__ = ("emit_and_end", "end_safely")

A = TypeVar("A")
B = TypeVar("B")


def end_safely(observer: abc.ObserverBase[A], error: Exception | None = None) -> None:
    """
    End a subscription from where nobody takes what its subscriber raises, such as a timer.

    Args:
        observer: The subscriber.
        error: The error, or None for completion. Where the subscriber has no handler for it, and where its handler
            fails, it is reported.
    """
    try:
        if error is None:
            observer.on_completed()
        else:
            observer.on_error(error)
    except Exception as raised:  # noqa: BLE001 - There is nobody else to be told.
        report_error("a subscriber does not handle the end of its subscription", raised)


def emit_and_end(observer: abc.ObserverBase[A], items: Iterable[A], error: Exception | None = None) -> None:
    """
    End a subscription with what there is left to emit.

    Args:
        observer: The subscriber. If it fails on an item, it is told of its own error instead of the end.
        items: The last items.
        error: The source's error, or None for completion; what a handler of it raises reaches the producer.
    """
    try:
        for item in items:
            observer.on_next(item)
    except Exception as raised:  # noqa: BLE001 - A subscriber may raise what it likes, and is told of it.
        end_safely(observer, raised)
        return
    if error is None:
        observer.on_completed()
    else:
        observer.on_error(error)
