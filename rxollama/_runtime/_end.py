"""The end of a subscription, whose subscriber may raise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from reactivex import abc

from rxollama._runtime._loop import report_error
from rxollama._runtime._whole import without_internals

__all__ = ("emit_and_end", "end_failed", "end_safely")

A = TypeVar("A")


def end_safely(
    observer: abc.ObserverBase[A], error: Exception | None = None, *, name: str = "a stream", quietly: bool = False
) -> None:
    """
    End a subscription where nothing catches what its subscriber raises, such as in a timer.

    An exception of the subscriber is reported, and so is an error that it has no handler for.

    Args:
        observer: The subscriber.
        error: The error, or None for completion.
        name: The name of the stream in reports.
        quietly: Whether not to report an error that has no handler.
    """
    # A subscriber without `on_error` raises the error again, which would add frames of the library to it.
    own = None if error is None else without_internals(error).__traceback__
    try:
        if error is None:
            observer.on_completed()
        else:
            observer.on_error(error)
    except Exception as raised:  # noqa: BLE001 - There is no other place to report it.
        if raised is not error:
            report_error(f"the on_error or on_completed callback of {name} raised", raised)
        elif not quietly:
            report_error(f"unhandled error in {name}: pass on_error= to subscribe()", raised.with_traceback(own))


def end_failed(observer: abc.ObserverBase[A], raised: BaseException, *, name: str = "the stream") -> None:
    """
    End a subscription with what its own subscriber raised for an item.

    Args:
        observer: The subscriber. It receives an exception that is not an `Exception`, such as `SystemExit`, as a
            `RuntimeError` with that cause.
        raised: The exception. The caller raises it again if it is not an `Exception`.
        name: The name of the stream in reports.
    """
    if isinstance(raised, Exception):
        end_safely(observer, raised, name=name)
        return
    ended = RuntimeError(f"{name} was ended by {type(raised).__name__}")
    ended.__cause__ = raised
    # These two end the program, which reports them.
    end_safely(observer, ended, name=name, quietly=isinstance(raised, (KeyboardInterrupt, SystemExit)))


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
