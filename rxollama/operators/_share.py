"""One request, many consumers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from .._runtime import Stream
from ..messages import Backlog
from ._ending import end_safely

__all__ = ("share",)

T = TypeVar("T")


def share() -> Callable[[Observable[T]], Stream[T]]:
    """
    Let many subscribers have one subscription of the source, and with it one request.

    The first subscriber starts it; the last to leave before its end disposes it. Who comes late is first handed the
    sum of what it missed, then goes on live; after the end it is handed the sum and the end, and no second request is
    made. Texts and chunks are added up; items that do not add up are replayed. An exception in one subscriber's
    callback ends the subscription of this one alone.

    .. marbles::

        --a--b--c--|
        share()
        --a--b--c--|

    Returns:
        The operator.

    Completes: every subscriber, with the source.
    Errors: every subscriber, with the source.
    Disposed: the subscriber leaves; the source is disposed when it was the last.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[T]) -> Stream[T]:
        hub = _Shared(source)
        return Stream.like(source, hub.subscribe)

    return apply


class _Shared(Generic[T]):
    """Know the run that new subscribers join."""

    def __init__(self, source: Observable[T]) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._run: _Connection[T] | None = None

    def subscribe(
        self, observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        """Join the run, or begin one."""
        seat = _Subscriber(observer)
        with self._lock:
            begins = self._run is None
            run = self._run = self._run or _Connection()
            missed = run.join(seat)
        seat.catch_up(missed)
        if begins:
            run.connection.disposable = self._source.subscribe(
                run.on_next, run.on_error, run.on_completed, scheduler=scheduler
            )

        def leave() -> None:
            with self._lock:
                abandoned = run.leave(seat)
                if abandoned:
                    self._run = None
            if abandoned:
                run.connection.dispose()

        return Disposable(leave)


class _Connection(Generic[T]):
    """Be one subscription of the source, and those who sit at it."""

    def __init__(self) -> None:
        self.connection = SingleAssignmentDisposable()
        self._lock = threading.Lock()
        self._past: Backlog[T] = Backlog()
        self._seats: tuple[_Subscriber[T], ...] = ()
        self._ended = False
        self._error: Exception | None = None

    def join(self, seat: _Subscriber[T]) -> list[T]:
        """Give a subscriber a seat, and return what it missed."""
        with self._lock:
            if self._ended:
                seat.end(self._error)
            else:
                self._seats = (*self._seats, seat)
            return self._past.look()

    def leave(self, seat: _Subscriber[T]) -> bool:
        """Take a subscriber's seat away, and tell whether nobody is left before the end."""
        with self._lock:
            self._seats = tuple(other for other in self._seats if other is not seat)
            return not self._seats and not self._ended

    def on_next(self, item: T) -> None:
        """Hand an item to everybody."""
        with self._lock:
            self._past.add(item)
            seats = self._seats
        for seat in seats:
            seat.on_next(item)

    def on_error(self, error: Exception) -> None:
        """End for everybody with an error."""
        self._end(error)

    def on_completed(self) -> None:
        """End for everybody."""
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            self._ended, self._error = True, error
            seats, self._seats = self._seats, ()
        for seat in seats:
            seat.end(error)


class _Subscriber(Generic[T]):
    """
    Be one subscriber's place.

    While it is catching up, in its own thread, what the source brings waits here; after that it goes straight on.
    """

    def __init__(self, observer: abc.ObserverBase[T]) -> None:
        self._observer = observer
        self._lock = threading.Lock()
        self._waiting: Backlog[T] = Backlog()
        self._live = self._ended = False
        self._error: Exception | None = None

    def on_next(self, item: T) -> None:
        """Hand on an item, or let it wait."""
        if not self._live and self._has_wait(item):
            return
        try:
            self._observer.on_next(item)
        except Exception as error:  # noqa: BLE001 - A subscriber may raise what it likes, and is told of it.
            end_safely(self._observer, error)

    def _has_wait(self, item: T) -> bool:
        with self._lock:
            if not self._live:
                self._waiting.add(item)
            return not self._live

    def end(self, error: Exception | None) -> None:
        """End, or let the end wait."""
        with self._lock:
            self._ended, self._error = True, error
            if not self._live:
                return
        end_safely(self._observer, self._error)

    def catch_up(self, missed: list[T]) -> None:
        """Hand on what was missed and what waits, and go live."""
        while True:
            try:
                for item in missed:
                    self._observer.on_next(item)
            except Exception as error:  # noqa: BLE001 - As above.
                end_safely(self._observer, error)
            with self._lock:
                missed = self._waiting.take()
                if not missed:
                    self._live = True
                    ended = self._ended
                    break
        if ended:
            end_safely(self._observer, self._error)
