"""The pacing operators: fewer items for a screen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from .._checks import check_seconds
from .._invalid_value import InvalidValueError
from .._runtime import Sink, Stream
from ..messages import Backlog, ChatChunk, Latest, is_summable
from ._timing.clock import given_clock
from ._timing.pacer import Pacer, QuietTime

__all__ = ("coalesce", "debounce", "throttle")

T = TypeVar("T")

_ADD_UP = "a stream of str or ChatChunk, which add up"
_SNAPSHOTS = "snapshots such as those of accumulate()"
_USE_THROTTLE = "for snapshots use throttle()"
_USE_COALESCE = "use coalesce(), which loses nothing"


def coalesce(
    seconds: float | timedelta, *, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[T]], Stream[T]]:
    """
    Emit the first item at once, then at most one sum per interval.

    A screen cannot show a hundred updates a second, and must not lose a word. Texts are joined and chunks are added up.
    Where a sum would change the order of reading, as with thinking after content, the first part is emitted at once.

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
            subscriber's scheduler, unless that waits by blocking, else the loop that the stream lives on. A loop
            emits up to 8 ms later, because all of its paced streams share a timer.

    Returns:
        The operator. It emits fewer items with the same sum.

    Raises:
        InvalidValueError: At this call if *seconds* is not a positive time. In `pipe` if the items are known not to add
            up, otherwise to the subscriber at the first such item: for snapshots use `throttle`.

    Completes: after the buffered items.
    Errors: after the buffered items.
    Disposed: the source is disposed, the timer is cancelled, and the buffered items are dropped.

    .. versionadded:: 0.1
    """
    interval = check_seconds("seconds", seconds)
    return _summing("coalesce()", interval, None, scheduler)


def debounce(
    seconds: float | timedelta,
    *,
    max_wait: float | timedelta | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Callable[[Observable[T]], Stream[T]]:
    """
    Emit the sum of the items after a quiet time.

    .. marbles::

        --a-b------c--|
        debounce(3)
        -------X------(c,|)

        a = "Hel"
        b = "lo"
        c = "!"
        X = "Hello"

    Args:
        seconds: The quiet time.
        max_wait: The longest time that an item waits; None for no limit.
        scheduler: Where to emit, see `coalesce`.

    Returns:
        The operator. It emits fewer items with the same sum; see `coalesce`.

    Raises:
        InvalidValueError: See `coalesce`.

    Completes: after the buffered items.
    Errors: after the buffered items. reactivex's own operator of this name would lose it.
    Disposed: the source is disposed, the timer is cancelled, and the buffered items are dropped.

    .. versionadded:: 0.1
    """
    quiet = check_seconds("seconds", seconds)
    longest = None if max_wait is None else check_seconds("max_wait", max_wait)
    return _summing("debounce()", quiet, lambda: QuietTime(quiet, longest), scheduler)


def throttle(
    seconds: float | timedelta, *, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[T]], Stream[T]]:
    """
    Emit the first item at once, then at most the latest item per interval.

    It is for snapshots, each of which holds all that came before. Texts and chunks are refused, because the dropped
    ones would be lost: use `coalesce`. To show snapshots as text, apply `throttle` before they are turned into text.

    .. marbles::

        --a-b-c--------d-e|
        throttle(4)
        --a---c--------d--(e,|)

        a = {"city": ""}
        b = {"city": "Par"}
        c = {"city": "Paris"}
        d = {"city": "Paris", "country": ""}
        e = {"city": "Paris", "country": "France"}

    Args:
        seconds: The interval.
        scheduler: Where to emit, see `coalesce`.

    Returns:
        The operator. It never drops the last item.

    Raises:
        InvalidValueError: At this call if *seconds* is not a positive time. In `pipe` if the items are known to be
            texts or chunks, otherwise to the subscriber at the first such item.

    Completes: after the latest item, if it waits.
    Errors: after the latest item, if it waits.
    Disposed: the source is disposed, the timer is cancelled, and the buffered items are dropped.

    .. versionadded:: 0.1
    """
    interval = check_seconds("seconds", seconds)

    def apply(source: Observable[T]) -> Stream[T]:
        items = _items_of(source)
        if items is not None and issubclass(items, (str, ChatChunk)):
            raise _refusal("throttle()", _SNAPSHOTS, f"a stream of {items.__name__}", _USE_COALESCE)
        return Stream.like(source, _paced(source, _Snapshots, interval, None, scheduler))

    return apply


def _summing(
    operator: str, seconds: float, quiet: Callable[[], QuietTime] | None, scheduler: abc.SchedulerBase | None
) -> Callable[[Observable[T]], Stream[T]]:
    def apply(source: Observable[T]) -> Stream[T]:
        items = _items_of(source)
        if items is not None and not issubclass(items, (str, ChatChunk)):
            raise _refusal(operator, _ADD_UP, f"a stream of {items.__name__}", _USE_THROTTLE)
        return Stream(_paced(source, lambda: _Summable(operator), seconds, quiet, scheduler), items=items, deltas=True)

    return apply


def _paced(
    source: Observable[T],
    waiting: Callable[[], Backlog[Any] | Latest[Any]],
    seconds: float,
    quiet: Callable[[], QuietTime] | None,
    scheduler: abc.SchedulerBase | None,
) -> abc.Subscription[T]:
    def subscribe(observer: abc.ObserverBase[T], scheduler_: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        clock = given_clock(scheduler, scheduler_)
        pacer = Pacer(observer, waiting(), seconds, clock, quiet=quiet and quiet())
        sink = Sink(pacer.on_next, pacer.on_error, pacer.on_completed, pacer.ready, pacer.absorb)
        pacer.upstream.disposable = source.subscribe(sink, scheduler=scheduler_)
        return Disposable(pacer.dispose)

    return subscribe


class _Summable(Backlog[T]):
    """A backlog that refuses what does not add up."""

    def __init__(self, operator: str) -> None:
        super().__init__()
        self._operator = operator

    def _append(self, item: T) -> None:
        if not is_summable(item):
            raise _refusal(self._operator, _ADD_UP, f"an item of type {type(item).__name__}", _USE_THROTTLE)
        super()._append(item)


class _Snapshots(Latest[T]):
    """A place for the latest snapshot, which refuses texts and chunks."""

    def add(self, item: T) -> None:
        """Replace the snapshot that waits."""
        if is_summable(item):
            raise _refusal("throttle()", _SNAPSHOTS, f"an item of type {type(item).__name__}", _USE_COALESCE)
        super().add(item)


def _items_of(source: Observable[Any]) -> type[Any] | None:
    return source.items if isinstance(source, Stream) else None


def _refusal(operator: str, allowed: str, given: str, advice: str) -> InvalidValueError:
    message = f"{operator}: expected {allowed}, got {given}: {advice}"
    return InvalidValueError(message, field=operator, given=given, allowed=allowed)
