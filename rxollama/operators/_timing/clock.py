"""The clock of a timed operator: a scheduler's, or an event loop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from reactivex import abc
from reactivex.scheduler import ImmediateScheduler, TrampolineScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

from ..._runtime import call_on, running, stream_loop

__all__ = ("Cancel", "Clock", "clock_of", "given_clock")

Cancel = Callable[[], object]


class Clock(Protocol):
    """Be what an operator needs to know of time."""

    def now(self) -> float:
        """Tell the time in seconds, from some beginning."""
        ...

    def is_here(self) -> bool:
        """Tell whether this thread may emit, or must hop."""
        ...

    def after(self, seconds: float, action: Callable[[], None]) -> Cancel:
        """
        Do something later, from whichever thread; returns what calls it off.

        Raises what keeps it from being done: the loop is closed, the scheduler disposed or unable to wait.
        """
        ...


def given_clock(argument: abc.SchedulerBase | None, subscribers: abc.SchedulerBase | None) -> Clock | None:
    """
    Choose the clock that somebody asked for.

    Args:
        argument: The scheduler given to the operator.
        subscribers: The scheduler given by the subscriber. One that can only wait by blocking its caller is passed
            over: reactivex's own operators, such as `expand`, hand such a one down without being asked.

    Returns:
        The clock, or None where nobody asked for one.
    """
    if argument is not None:
        return clock_of(argument)
    if subscribers is None or isinstance(subscribers, (ImmediateScheduler, TrampolineScheduler)):
        return None
    return clock_of(subscribers)


def clock_of(scheduler: abc.SchedulerBase | None) -> Clock:
    """Choose the clock: the scheduler's, else that of the loop it is asked on, else the background loop's."""
    if scheduler is None:
        return _LoopClock(stream_loop())
    if isinstance(scheduler, AsyncIOScheduler):
        # As `await` passes it. What is on its loop already need not hop, and from elsewhere it must wake the loop.
        return _LoopClock(scheduler._loop)  # noqa: SLF001 - There is no other way to ask for it.
    return _SchedulerClock(scheduler)


class _LoopClock:
    """Tell the time of an event loop, which emits inline: within `on_next` it is the stream's own."""

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
    """Be one timer of a loop, which may be called off from whichever thread, also before the loop hears of it."""

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
    """Tell the time of a scheduler, to whose thread every emission hops."""

    def __init__(self, scheduler: abc.SchedulerBase) -> None:
        self._scheduler = scheduler

    def now(self) -> float:
        return self._scheduler.to_seconds(self._scheduler.now)

    def is_here(self) -> bool:
        return False

    def after(self, seconds: float, action: Callable[[], None]) -> Cancel:
        def act(_: abc.SchedulerBase, __: object = None) -> None:
            action()

        if seconds > 0:
            return self._scheduler.schedule_relative(seconds, act).dispose
        return self._scheduler.schedule(act).dispose
