"""
The clock of a timed operator: a scheduler's, or an event loop's.

The timers of a loop. Time is cut into frames of 8 ms. What is due within a frame is done at its end, by one timer of
the loop, so a hundred paced streams cost one timer per frame. A call is never early, and at most a frame late. Each
runs in the context variables of whoever set it. One that raises does not lose the others: they follow in the next turn
of the loop. A call that is cancelled is released at once, from whichever thread.

A clock belongs to its loop: the operators of a loop share it as long as one of them lives. It is kept weakly, because
what is still set on a loop that was closed refers to the loop, and would keep it.

Frames need no lock. They are entered and run on the loop's thread only; another thread hops there with an `_Alarm`.
Cancelling removes one key of a dict, which any thread may do.

Alternatives that were tried:

- A timer of the loop for each call: 5 µs, and twice that if it is cancelled.
- A periodic timer for each loop: it wakes the loop while nothing is due.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import Context, copy_context
from datetime import UTC
from typing import Protocol, TypeAlias
from weakref import WeakValueDictionary

from reactivex import abc
from reactivex.scheduler import ImmediateScheduler, TrampolineScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

from ..._runtime import running, stream_loop

__all__ = ("ASAP", "Cancel", "Clock", "clock_of", "given_clock")

ASAP = -math.inf
"""The moment for as soon as possible."""

# A power of two: a moment, its frame and the end of the frame are exact.
_FRAMES_PER_SECOND = 128

Cancel: TypeAlias = Callable[[], object]
_Frame: TypeAlias = dict["_Entry", "_Entry"]


class Clock(Protocol):
    """The time, as an operator sees it."""

    def now(self) -> float:
        """Return the time in seconds, from some beginning."""
        ...

    def is_here(self) -> bool:
        """Return whether this thread may emit; if not, it must go through `at`."""
        ...

    def at(self, due: float, action: Callable[[], object]) -> Cancel:
        """
        Do something later, from any thread.

        Args:
            due: The moment. One that has passed, such as `ASAP`, is as soon as possible, but not within this call on
                the clock of a loop.
            action: What is done.

        Returns:
            A function that cancels it.

        Raises:
            Exception: If it is impossible: the loop is closed, or the scheduler is disposed or unable to wait.
        """
        ...

    def enter_frame(self, due: float, action: Callable[[], object], /) -> Cancel | None:
        """
        Do something later, without ever acting at once: for a caller that holds a lock.

        Args:
            due: The moment.
            action: What is done.

        Returns:
            A function that cancels it; or None where only `at` will do, as on other threads than the loop's.
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
        return _clock_of_loop(stream_loop())
    if isinstance(scheduler, AsyncIOScheduler):
        # `await` passes it. On its own loop no hop is needed, and from other threads its loop must be woken.
        return _clock_of_loop(scheduler._loop)  # noqa: SLF001 - There is no other way to ask for it.
    return _SchedulerClock(scheduler)


def _clock_of_loop(loop: asyncio.AbstractEventLoop) -> _LoopClock:
    # A clock keeps its loop alive, so no other loop has the id. Two threads may make two clocks, with frames of their
    # own, which costs a timer and nothing else.
    clock = _loop_clocks.get(id(loop))
    if clock is None:
        clock = _loop_clocks[id(loop)] = _LoopClock(loop)
    return clock


class _LoopClock:
    """The clock of an event loop. On that loop it lets operators emit at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = loop.time
        self._frames: dict[int, _Frame] = {}

    def is_here(self) -> bool:
        return running() is self._loop

    def enter_frame(self, due: float, action: Callable[[], object], /) -> Cancel | None:
        try:
            # As `is_here`, without another call.
            if asyncio.get_running_loop() is not self._loop:
                return None
        except RuntimeError:
            return None
        end = math.ceil(due * _FRAMES_PER_SECOND)
        frame = self._frames.get(end)
        if frame is None:
            # The timer belongs to all of the frame, so it keeps nobody's context.
            self._loop.call_at(end / _FRAMES_PER_SECOND, self._end_frame, end, context=Context())
            frame = self._frames[end] = {}
        entry = _Entry(frame, copy_context(), action)
        frame[entry] = entry
        return entry

    def at(self, due: float, action: Callable[[], object]) -> Cancel:
        entry = None if due == ASAP else self.enter_frame(due, action)
        if entry is not None:
            return entry
        alarm = _Alarm(self, due, action)
        self._loop.call_soon_threadsafe(alarm.ring if due <= self.now() else alarm.enter)
        return alarm.cancel

    def _end_frame(self, end: int) -> None:
        self._run(self._frames.pop(end))

    def _run(self, frame: _Frame) -> None:
        try:
            for entry in list(frame):
                # One before it, or another thread, may have cancelled it.
                if frame.pop(entry, None) is not None:
                    entry.context.run(entry.action)
        finally:
            if frame:
                self._loop.call_soon(self._run, frame)


class _Entry:
    """A call that waits in a frame. Calling the entry cancels it."""

    __slots__ = ("_frame", "action", "context")

    def __init__(self, frame: _Frame, context: Context, action: Callable[[], object]) -> None:
        self._frame = frame
        self.context = context
        self.action = action

    def __call__(self) -> None:
        self._frame.pop(self, None)


_loop_clocks: WeakValueDictionary[int, _LoopClock] = WeakValueDictionary()


class _Alarm:
    """A call set from another thread or for now, which may be cancelled before the loop has heard of it."""

    def __init__(self, clock: _LoopClock, due: float, action: Callable[[], object]) -> None:
        self._clock = clock
        self._due = due
        self._action = action
        self._off = False
        self._leave: Cancel | None = None

    def enter(self) -> None:
        self._leave = self._clock.at(self._due, self._action)
        # After it is stored: whichever thread comes second removes the call.
        if self._off:
            self._leave()

    def ring(self) -> None:
        if not self._off:
            self._action()

    def cancel(self) -> None:
        self._off = True
        if self._leave is not None:
            self._leave()


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

    def at(self, due: float, action: Callable[[], object]) -> Cancel:
        waiting = [action]

        def act(_: abc.SchedulerBase, __: object = None) -> None:
            # Some schedulers do what was cancelled, and some do it twice.
            if waiting:
                waiting.pop()()

        def cancel() -> None:
            waiting.clear()
            scheduled.dispose()

        seconds = due - self.now()
        scheduled = self._scheduler.schedule_relative(seconds, act) if seconds > 0 else self._scheduler.schedule(act)
        return cancel

    def enter_frame(self, _: float, __: Callable[[], object]) -> None:
        """Return None: a scheduler may act at once."""
