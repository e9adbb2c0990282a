"""Pacing: fewer items for a screen, never a lost word."""

from __future__ import annotations

from collections.abc import Callable
from threading import TIMEOUT_MAX
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from .._invalid_value import invalid_value
from .._runtime import Stream
from ..messages import Backlog, is_summable
from ._timing.clock import given_clock
from ._timing.pacer import Latest, Pacer, QuietRhythm, Rhythm, WindowRhythm

__all__ = ("coalesce", "debounce", "throttle")

T = TypeVar("T")


def coalesce(seconds: float, *, scheduler: abc.SchedulerBase | None = None) -> Callable[[Observable[T]], Stream[T]]:
    """
    Emit at once, then at most one sum per interval: what a screen needs of a chat.

    Texts are joined and chunks added up. Where a sum would change the order of reading, as with thinking after
    content, the first part is emitted and the rest starts anew.

    .. marbles::

        --a-b-c--------d--|
        coalesce(4)
        --a---X--------d--|

        a = "Hel"
        b = "lo"
        c = " you"
        d = "!"
        X = "lo you"

    Args:
        seconds: The interval.
        scheduler: Where to emit, such as a desktop toolkit's scheduler: each emission hops there. None takes the
            subscriber's scheduler, unless that can only wait by blocking, else the loop that the stream lives on.

    Returns:
        The operator. Fewer items come out, with the same sum.

    Raises:
        InvalidValueError: At this call when *seconds* is no positive number; to the subscriber when the items do not
            add up: for snapshots use `throttle`.

    Completes: after what waits.
    Errors: after what waits.
    Disposed: the source is disposed, the timer is cancelled, and what waits is dropped.

    .. versionadded:: 0.1
    """
    _check("seconds", seconds)
    return _paced(lambda: WindowRhythm(seconds), lambda: _Addable("coalesce"), scheduler)


def debounce(
    seconds: float, *, max_wait: float | None = None, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[T]], Stream[T]]:
    """
    Emit the sum of what came once it has been quiet for a while.

    .. marbles::

        --a-b------c--|
        debounce(3)
        -------X------(c,|)

        a = "Hel"
        b = "lo"
        c = "!"
        X = "Hello"

    Args:
        seconds: The quiet spell.
        max_wait: The longest that anything may wait, in seconds; None for as long as there is no quiet.
        scheduler: Where to emit, see `coalesce`.

    Returns:
        The operator. Fewer items come out, with the same sum; see `coalesce`.

    Raises:
        InvalidValueError: See `coalesce`.

    Completes: after what waits.
    Errors: after what waits; reactivex's own operator of this name would lose it.
    Disposed: the source is disposed, the timer is cancelled, and what waits is dropped.

    .. versionadded:: 0.1
    """
    _check("seconds", seconds)
    if max_wait is not None:
        _check("max_wait", max_wait)
    return _paced(lambda: QuietRhythm(seconds, max_wait), lambda: _Addable("debounce"), scheduler)


def throttle(seconds: float, *, scheduler: abc.SchedulerBase | None = None) -> Callable[[Observable[T]], Stream[T]]:
    """
    Emit at once, then at most the latest item per interval: for snapshots, each of which says all that came before.

    .. marbles::

        --a-b-c--------d-e|
        throttle(4)
        --a---c--------d--(e,|)

    Args:
        seconds: The interval.
        scheduler: Where to emit, see `coalesce`.

    Returns:
        The operator. The last item is never dropped.

    Raises:
        InvalidValueError: At this call, when *seconds* is no positive number.

    Completes: after the latest item, if it waits.
    Errors: after the latest item, if it waits.
    Disposed: the source is disposed, the timer is cancelled, and what waits is dropped.

    .. versionadded:: 0.1
    """
    _check("seconds", seconds)
    return _paced(lambda: WindowRhythm(seconds), Latest, scheduler)


def _paced(
    rhythm: Callable[[], Rhythm],
    waiting: Callable[[], Backlog[Any] | Latest[Any]],
    scheduler: abc.SchedulerBase | None,
) -> Callable[[Observable[T]], Stream[T]]:
    def apply(source: Observable[T]) -> Stream[T]:
        def subscribe(observer: abc.ObserverBase[T], scheduler_: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            pacer = Pacer(observer, waiting(), rhythm(), given_clock(scheduler, scheduler_))
            pacer.upstream.disposable = source.subscribe(
                pacer.on_next, pacer.on_error, pacer.on_completed, scheduler=scheduler_
            )
            return Disposable(pacer.dispose)

        return Stream.like(source, subscribe)

    return apply


class _Addable(Backlog[T]):
    """Let only what adds up wait."""

    def __init__(self, operator: str) -> None:
        super().__init__()
        self._operator = operator

    def _append(self, item: T) -> None:
        if not is_summable(item):
            allowed = "items of type str or ChatChunk, which add up (for snapshots use throttle())"
            raise invalid_value(f"{self._operator}()", item, allowed, show=False)
        super()._append(item)


def _check(name: str, seconds: object) -> None:
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 < seconds <= TIMEOUT_MAX:
        raise invalid_value(name, seconds, "a positive number of seconds")
