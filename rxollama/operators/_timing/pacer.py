"""
The engine of the pacing operators: items wait, and are emitted when their rhythm says so.

The law. An item waits until its rhythm says that it is due, or until nothing more can be added to it. A due item is
emitted on the clock's thread only: within the call that brought it where that is the clock's thread, and otherwise by
the timer. An item that is due again after an emission gets a turn of its own, so that a slow callback does not hold a
loop. Items that arrive while the subscriber is called go on adding up. The end follows the buffered items, without
waiting for the rhythm. Everything else is the law of emission, see `outlet`.

Two locks. The pacer's own guards what waits and the rhythm; items move from there into the outlet under it, so that two
threads cannot exchange their order. Emitting happens outside of it.

Alternatives that were tried:

- A timer for each item, as in reactivex's `debounce`: 8 µs an item on an event loop, 125 µs and a thread on the default
  scheduler, and 39 of 40 slow callbacks overlapped.
- Emitting on the thread that brings the item: a desktop toolkit does not allow calls from other threads.
- A periodic timer, as in `sample`: it wakes the loop while nothing comes, and the first item waits for it.
"""

from __future__ import annotations

import math
import threading
from typing import Generic, Protocol, TypeVar

from reactivex import abc
from reactivex.disposable import SingleAssignmentDisposable

from ...messages import Backlog, Latest
from .clock import Clock, clock_of
from .outlet import Outlet
from .timer import EARLY, Timer

__all__ = ("Pacer", "QuietRhythm", "WindowRhythm")

T = TypeVar("T")


class Rhythm(Protocol):
    """When what waits is due. All moments are of one clock; if that is put back, nothing waits the longer for it."""

    watches: bool
    """Whether `arrived` must be called for every item."""

    def arrived(self, now: float) -> None:
        """Note that an item arrived."""
        ...

    def emitted(self, now: float, *, rest: bool) -> None:
        """Note an emission, and whether an item still waits."""
        ...

    def due(self, now: float) -> float:
        """Return the moment at which what waits, or would wait, is due."""
        ...


class WindowRhythm:
    """One emission at once, then one for each window."""

    watches = False

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: float | None = None

    def arrived(self, now: float) -> None:
        """Do nothing: arrivals do not count."""

    def emitted(self, now: float, *, rest: bool) -> None:  # noqa: ARG002 - Another rhythm asks for it.
        """Open a window."""
        self._began = now

    def due(self, now: float) -> float:
        """Return the end of the window."""
        if self._began is None:
            return now
        self._began = min(self._began, now)
        return self._began + self._seconds


class QuietRhythm:
    """An emission after a quiet time, but not later than the longest wait."""

    watches = True

    def __init__(self, seconds: float, max_wait: float | None) -> None:
        self._seconds = seconds
        self._max_wait = math.inf if max_wait is None else max_wait
        self._first = math.inf
        self._last = 0.0

    def arrived(self, now: float) -> None:
        """Begin the quiet time again."""
        self._last = now
        self._first = min(self._first, now)

    def emitted(self, now: float, *, rest: bool) -> None:
        """Begin the longest wait of the rest, or of the next item."""
        self._first = now if rest else math.inf

    def due(self, now: float) -> float:
        """Return the end of the quiet time, or of the longest wait."""
        self._last = min(self._last, now)
        return min(self._last + self._seconds, self._first + self._max_wait)


class Pacer(Generic[T]):
    """
    One paced subscription. Items arrive on any thread.

    An item that cannot wait with the others ends the subscription with its error, after what waits.

    Args:
        observer: The subscriber.
        waiting: Where items wait.
        rhythm: When they are due.
        clock: The clock; None for that of the loop on which the first item arrives.
    """

    def __init__(
        self,
        observer: abc.ObserverBase[T],
        waiting: Backlog[T] | Latest[T],
        rhythm: Rhythm,
        clock: Clock | None,
    ) -> None:
        self._waiting = waiting
        self._rhythm = rhythm
        self._clock = clock
        self._lock = threading.Lock()
        self._acquire, self._release = self._lock.acquire, self._lock.release
        self._timer: Timer | None = None
        self._ended = False
        self._error: Exception | None = None
        self._outlet: Outlet[T] = Outlet(observer, self._leave)
        self.dispose = self._outlet.close
        self.upstream = SingleAssignmentDisposable()

    def on_next(self, item: T) -> None:
        """Let an item wait, or emit it."""
        waiting, rhythm = self._waiting, self._rhythm
        try:
            # Every item comes through here, and `with` would cost more than what it guards.
            self._acquire()
            try:
                if self._ended:
                    return
                timer = self._timer
                if timer is None:
                    timer = self._timer = Timer(self._clock or clock_of(None))
                waiting.add(item)
                if rhythm.watches:
                    rhythm.arrived(timer.clock.now())
                if timer.is_set and not waiting.has_finished:
                    # It will see to this item as well.
                    return
            finally:
                self._release()
        except Exception as error:  # noqa: BLE001 - Whatever it is, the subscriber receives it.
            self.upstream.dispose()
            self.on_error(error)
            return
        self._settle(timer, may_emit=True)

    def on_error(self, error: Exception) -> None:
        """Emit what waits, then the error."""
        self._end(error)

    def on_completed(self) -> None:
        """Emit what waits, then complete."""
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended, self._error = True, error
            timer = self._timer
        if timer is None:
            self._outlet.end(error)
        else:
            self._settle(timer, may_emit=True)

    def _settle(self, timer: Timer, *, may_emit: bool) -> None:
        """Emit what is due, if this is the place for it, or set the timer."""
        with self._lock:
            if not self._outlet.is_free:
                # Whoever is emitting settles afterwards.
                return
            clock = timer.clock
            now = clock.now()
            due = self._due(now)
            is_due = due - now <= EARLY
            inline = may_emit and is_due and clock.is_here()
            if inline:
                self._claim(now)
        if inline:
            self._emit(timer)
            return
        try:
            timer.set(now if is_due else due, self._fire)
        except Exception as error:  # noqa: BLE001 - The loop is closed, or the scheduler cannot wait.
            self._outlet.fail(error)

    def _fire(self) -> None:
        timer = self._timer
        with self._lock:
            if timer is None or not self._outlet.is_free:
                return
            self._claim(timer.clock.now())
        self._emit(timer)

    def _due(self, now: float) -> float:
        """Return the moment at which there is something to emit; infinity if there is nothing."""
        if self._ended or self._waiting.has_finished:
            return now
        return self._rhythm.due(now) if self._waiting else math.inf

    def _claim(self, now: float) -> None:
        """Move what is due into the outlet."""
        waiting = self._waiting
        due = self._ended or self._rhythm.due(now) - now <= EARLY
        items = waiting.take() if due else waiting.take_finished()
        if items:
            self._rhythm.emitted(now, rest=bool(waiting))
        self._outlet.put(*items)
        if self._ended:
            self._outlet.put_end(self._error)

    def _emit(self, timer: Timer) -> None:
        self._outlet.flush()
        # Read without the lock: a thread that adds an item from now on finds the outlet free, and settles it.
        if self._waiting or self._ended:
            self._settle(timer, may_emit=False)

    def _leave(self) -> None:
        with self._lock:
            self._ended = True
            self._waiting.take()
            timer = self._timer
        if timer is not None:
            timer.put_off()
        self.upstream.dispose()
