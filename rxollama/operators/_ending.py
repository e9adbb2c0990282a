"""How an operator ends a subscription whose subscriber may raise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from reactivex import abc

from .._runtime import report_error

__all__ = ("emit_and_end", "end_failed", "end_safely")

A = TypeVar("A")
B = TypeVar("B")


def end_safely(observer: abc.ObserverBase[A], error: Exception | None = None, *, quietly: bool = False) -> None:
    """
    End a subscription where nothing catches what its subscriber raises, such as in a timer.

    What the subscriber raises is reported, and so is an error that it has no handler for.

    Args:
        observer: The subscriber.
        error: The error, or None for completion.
        quietly: Whether not to report an error that has no handler.
    """
    # A subscriber without `on_error` raises the error again, which would add frames of the library to it.
    own = None if error is None else error.__traceback__
    try:
        if error is None:
            observer.on_completed()
        else:
            observer.on_error(error)
    except Exception as raised:  # noqa: BLE001 - There is no other place to report it.
        if raised is not error:
            report_error("the on_error or on_completed callback of a stream raised", raised)
        elif not quietly:
            report_error("unhandled error in a stream: pass on_error= to subscribe()", raised.with_traceback(own))


def end_failed(observer: abc.ObserverBase[A], raised: BaseException) -> None:
    """
    End a subscription with what its own subscriber raised for an item.

    Args:
        observer: The subscriber. It receives an exception that is no `Exception`, such as `SystemExit`, as a
            `RuntimeError` with that cause.
        raised: The exception. The caller raises it again if it is no `Exception`.
    """
    if isinstance(raised, Exception):
        end_safely(observer, raised)
        return
    ended = RuntimeError(f"the stream was ended by {type(raised).__name__}")
    ended.__cause__ = raised
    # These two end the program, which reports them.
    end_safely(observer, ended, quietly=isinstance(raised, (KeyboardInterrupt, SystemExit)))


def emit_and_end(observer: abc.ObserverBase[A], items: Iterable[A], error: Exception | None = None) -> None:
    """
    Emit the last items, then end the subscription.

    Args:
        observer: The subscriber. If it raises for an item, that is how it ends.
        items: The last items.
        error: The source's error, or None for completion. What a handler of it raises reaches the source.
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
