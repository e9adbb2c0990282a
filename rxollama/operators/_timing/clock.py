"""The clock of a timed operator: a scheduler's, or an event loop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC
from typing import Protocol

from reactivex import abc
from reactivex.scheduler import ImmediateScheduler, TrampolineScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

from ..._runtime import call_on, running, stream_loop

__all__ = ("Cancel", "Clock", "clock_of", "given_clock")

Cancel = Callable[[], object]


class Clock(Protocol):
    """The time, as an operator sees it."""

    def now(self) -> float:
        """Return the time in seconds, from some beginning."""
        ...

    def is_here(self) -> bool:
        """Return whether this thread may emit; if not, it must go through `after`."""
        ...

    def after(self, seconds: float, action: Callable[[], None]) -> Cancel:
        """
        Do something later, from any thread.

        Returns:
            A function that cancels it.

        Raises:
            Exception: If it is impossible: the loop is closed, or the scheduler is disposed or unable to wait.
        """
        ...


def given_clock(argument: abc.SchedulerBase | None, subscribers: abc.SchedulerBase | None) -> Clock | None:
    """
    Return the clock that the user asked for.

    Args:
        argument: The scheduler given to the operator.
        subscribers: The scheduler given by the subscriber. One that waits by blocking its caller is ignored:
            reactivex's own operators, such as `expand`, pass such a scheduler without being asked.

    Returns:
        The clock, or None if the user asked for none.
    """
    if argument is not None:
        return clock_of(argument)
    if subscribers is None or isinstance(subscribers, (ImmediateScheduler, TrampolineScheduler)):
        return None
    return clock_of(subscribers)


def clock_of(scheduler: abc.SchedulerBase | None) -> Clock:
    """Return the clock of a scheduler; of None, that of the loop that runs here, or else of the background loop."""
    if scheduler is None:
        return _LoopClock(stream_loop())
    if isinstance(scheduler, AsyncIOScheduler):
        # `await` passes it. On its own loop no hop is needed, and from other threads its loop must be woken.
        return _LoopClock(scheduler._loop)  # noqa: SLF001 - There is no other way to ask for it.
    return _SchedulerClock(scheduler)


class _LoopClock:
    """The clock of an event loop. On that loop it lets operators emit at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = loop.time

    def is_here(self) -> bool:
        return running() is self._loop

    def after(self, seconds: float, action: Callable[[], None]) -> Cancel:
        alarm = _Alarm(self._loop, seconds, action)
        if seconds <= 0:
            self._loop.call_soon_threadsafe(alarm.ring)
        elif self.is_here():
            alarm.set()
        else:
            self._loop.call_soon_threadsafe(alarm.set)
        return alarm.cancel


class _Alarm:
    """One call on a loop, which any thread may cancel, also before the loop has heard of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, action: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._action = action
        self._off = False
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        if not self._off:
            self._timer = self._loop.call_later(self._seconds, self._action)

    def ring(self) -> None:
        if not self._off:
            self._action()

    def cancel(self) -> None:
        self._off = True
        if self._seconds > 0:
            call_on(self._loop, self._unset)

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class _SchedulerClock:
    """The clock of a scheduler. Every emission hops to the scheduler's thread."""

    def __init__(self, scheduler: abc.SchedulerBase) -> None:
        self._scheduler = scheduler

    def now(self) -> float:
        now = self._scheduler.now
        # reactivex cannot convert a time without a zone, which a `HistoricalScheduler` may start with.
        return self._scheduler.to_seconds(now.replace(tzinfo=UTC) if now.tzinfo is None else now)

    def is_here(self) -> bool:
        return False

    def after(self, seconds: float, action: Callable[[], None]) -> Cancel:
        def act(_: abc.SchedulerBase, __: object = None) -> None:
            action()

        if seconds > 0:
            return self._scheduler.schedule_relative(seconds, act).dispose
        return self._scheduler.schedule(act).dispose
