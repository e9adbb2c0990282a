"""The clock of a timed operator: a scheduler's, or an event loop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from reactivex import abc

from .._loop import home, running

__all__ = ("Cancel", "Clock", "clock_of")

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
        """Do something later, from whichever thread; returns what calls it off."""
        ...


def clock_of(scheduler: abc.SchedulerBase | None) -> Clock:
    """Choose the clock: the scheduler's, else that of the loop it is asked on, else the background loop's."""
    return _LoopClock(home()) if scheduler is None else _SchedulerClock(scheduler)


class _LoopClock:
    """Tell the time of an event loop, which emits inline: within `on_next` it is the stream's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = loop.time

    def is_here(self) -> bool:
        return running() is self._loop

    def after(self, seconds: float, action: Callable[[], None]) -> Cancel:
        loop = self._loop
        if loop is running():
            handle = loop.call_later(seconds, action) if seconds > 0 else loop.call_soon(action)
            return lambda: self._cancel(handle)
        timers: list[asyncio.Handle] = []

        def begin() -> None:
            timers.append(loop.call_later(seconds, action))

        first = loop.call_soon_threadsafe(begin if seconds > 0 else action)
        return lambda: self._cancel(first, *timers)

    def _cancel(self, *handles: asyncio.Handle) -> None:
        loop = self._loop
        if loop.is_closed():
            return
        for handle in handles:
            if loop is running():
                handle.cancel()
            else:
                loop.call_soon_threadsafe(handle.cancel)


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
