"""The engine under the pacing operators: items wait, and are emitted when their rhythm says so."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

from reactivex import abc
from reactivex.disposable import SingleAssignmentDisposable

from .._rx import fail
from ..messages._backlog import Backlog
from ._clock import Cancel, Clock, clock_of

__all__ = ("Latest", "Pacer", "QuietRhythm", "WindowRhythm")

T = TypeVar("T")

# Loops and schedulers wake a little early as it suits their clock; to sleep again for that would be absurd.
_EARLY = 0.0005


class Latest(Generic[T]):
    """Keep only the latest of what waits, for snapshots, each of which says all that came before."""

    has_whole = False

    def __init__(self) -> None:
        self._items: deque[T] = deque(maxlen=1)
        self.add = self._items.append

    def __bool__(self) -> bool:
        """Tell whether something waits."""
        return bool(self._items)

    def take(self) -> list[T]:
        """Take out what waits."""
        taken = list(self._items)
        self._items.clear()
        return taken

    def take_whole(self) -> list[T]:
        """Take out nothing: the latest may yet be replaced."""
        return []


class Rhythm(Protocol):
    """Say when what waits is due."""

    watches: bool
    """Whether every arrival counts, and must be timed."""

    def arrived(self, now: float) -> None:
        """Take notice of an arrival."""
        ...

    def emitted(self, now: float) -> None:
        """Take notice of an emission."""
        ...

    def due(self) -> float | None:
        """Tell when what waits, or would wait, is due; None for whenever it comes."""
        ...


class WindowRhythm:
    """Emit at once, then once per window."""

    watches = False

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end: float | None = None

    def arrived(self, now: float) -> None:
        """Care for no arrival."""

    def emitted(self, now: float) -> None:
        """Open a window."""
        self._end = now + self._seconds

    def due(self) -> float | None:
        """Tell when the window ends."""
        return self._end


class QuietRhythm:
    """Emit after a quiet spell, but never later than the longest wait."""

    watches = True

    def __init__(self, seconds: float, max_wait: float | None) -> None:
        self._seconds = seconds
        self._max_wait = max_wait
        self._first: float | None = None
        self._last = 0.0

    def arrived(self, now: float) -> None:
        """Begin the spell anew."""
        self._last = now
        if self._first is None:
            self._first = now

    def emitted(self, now: float) -> None:  # noqa: ARG002 - Another rhythm counts from here.
        """Wait for a next first."""
        self._first = None

    def due(self) -> float | None:
        """Tell when the spell, or the longest wait, is over."""
        due = self._last + self._seconds
        if self._max_wait is not None and self._first is not None:
            return min(due, self._first + self._max_wait)
        return due


class Pacer(Generic[T]):
    """
    Drive one subscription: items in from any thread, emissions on the clock's, one at a time, with one timer.

    Nothing is called while the lock is held. A subscriber that fails is told so, and ends its own subscription.

    Args:
        observer: The subscriber.
        waiting: Where items wait.
        rhythm: When they are due.
        clock: The clock; None chooses that of the loop on which the first item comes.
    """

    def __init__(
        self,
        observer: abc.ObserverBase[T],
        waiting: Backlog[T] | Latest[T],
        rhythm: Rhythm,
        clock: Clock | None,
    ) -> None:
        self._observer = observer
        self._waiting = waiting
        self._rhythm = rhythm
        self._clock = clock
        self._lock = threading.Lock()
        self._timer = _Timer()
        self._emitting = self._ended = self._over = False
        self._error: Exception | None = None
        self.upstream = SingleAssignmentDisposable()

    def on_next(self, item: T) -> None:
        """Let an item wait, or emit it."""
        waiting, rhythm = self._waiting, self._rhythm
        with self._lock:
            if self._over:
                return
            clock = self._clock = self._clock or clock_of(None)
            waiting.add(item)
            if rhythm.watches:
                rhythm.arrived(clock.now())
            # Whoever emits now, or a timer that is set, will see to it.
            if (self._timer.armed or self._emitting) and not waiting.has_whole:
                return
        self._settle(clock)

    def on_error(self, error: Exception) -> None:
        """Emit what waits, then the error."""
        self._error = error
        self.on_completed()

    def on_completed(self) -> None:
        """Emit what waits, then complete."""
        with self._lock:
            self._ended = True
            clock = self._clock
        if clock is None:
            self._finish()
        else:
            self._settle(clock)

    def dispose(self) -> None:
        """Emit nothing more, and dispose the source."""
        with self._lock:
            self._over = True
            self._waiting.take()
            cancel = self._timer.disarm()
        cancel()
        self.upstream.dispose()

    def _settle(self, clock: Clock) -> None:
        """Emit what is due, or see to it that it will be."""
        with self._lock:
            delay = None if self._over or self._emitting else self._delay(clock.now())
            if delay is None:
                return
            inline = not delay and clock.is_here()
            if not inline and self._timer.serves(delay):
                return
            cancel = _nothing if inline else self._timer.disarm()
            token = 0 if inline else self._timer.arm(delay)
        cancel()
        if inline:
            self._emit(clock)
            return
        cancel = clock.after(delay, lambda: self._fire(clock, token))
        with self._lock:
            if self._timer.keep(token, cancel):
                return
        cancel()

    def _delay(self, now: float) -> float | None:
        """Tell in how many seconds there is something to emit; None for not that is known of."""
        if self._ended or self._waiting.has_whole:
            return 0.0
        if not self._waiting:
            return None
        due = self._rhythm.due()
        return 0.0 if due is None or due - now <= _EARLY else due - now

    def _fire(self, clock: Clock, token: int) -> None:
        with self._lock:
            if not self._timer.fired(token):
                return
        self._emit(clock)

    def _emit(self, clock: Clock) -> None:
        """Emit all that is due, here and now; one at a time does so."""
        while True:
            with self._lock:
                if self._over or self._emitting:
                    return
                now = clock.now()
                ending = self._ended
                items = self._waiting.take_whole() if self._delay(now) else self._waiting.take()
                if not items and not ending:
                    break
                self._emitting = True
                self._rhythm.emitted(now)
            if not self._hand_out(items):
                return
            if ending:
                self._finish()
                return
            with self._lock:
                self._emitting = False
        self._settle(clock)

    def _hand_out(self, items: list[T]) -> bool:
        try:
            for item in items:
                if self._over:
                    return False
                self._observer.on_next(item)
        except Exception as error:  # noqa: BLE001 - A subscriber may raise what it likes, and is told of it.
            self.dispose()
            fail(self._observer, error)
            return False
        return True

    def _finish(self) -> None:
        with self._lock:
            over, self._over = self._over, True
            cancel = self._timer.disarm()
        cancel()
        if over:
            return
        if self._error is None:
            self._observer.on_completed()
        else:
            fail(self._observer, self._error)


class _Timer:
    """Know the one timer; every call is under the lock of its owner."""

    def __init__(self) -> None:
        self.armed = False
        self._soon = False
        self._token = 0
        self._cancel: Cancel = _nothing

    def serves(self, delay: float) -> bool:
        """Tell whether the timer that is set fires soon enough."""
        return self.armed and (delay > 0 or self._soon)

    def arm(self, delay: float) -> int:
        """Announce a timer, and return what it is known by."""
        self.armed, self._soon = True, not delay
        self._token += 1
        return self._token

    def keep(self, token: int, cancel: Cancel) -> bool:
        """Keep what calls the announced timer off, unless it has fired or is no longer wanted."""
        if token != self._token or not self.armed:
            return False
        self._cancel = cancel
        return True

    def fired(self, token: int) -> bool:
        """Take notice that a timer fired, and tell whether it is the one."""
        if token != self._token or not self.armed:
            return False
        self.armed, self._cancel = False, _nothing
        return True

    def disarm(self) -> Cancel:
        """Forget the timer, and return what calls it off."""
        cancel, self._cancel = self._cancel, _nothing
        self.armed = False
        return cancel


def _nothing() -> None:
    """Call off nothing."""
