"""The engine under the pacing operators: items wait, and are emitted when their rhythm says so."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from reactivex import abc
from reactivex.disposable import SingleAssignmentDisposable

from ...messages import Backlog
from .._ending import end_safely
from .clock import Cancel, Clock, clock_of

__all__ = ("Latest", "Pacer", "QuietRhythm", "WindowRhythm")

T = TypeVar("T")

# Loops and schedulers wake a little early as it suits their clock; to sleep again for that would be absurd.
_EARLY = 0.0005


class Latest(Generic[T]):
    """Keep only the latest of what waits, for snapshots, each of which says all that came before."""

    has_finished = False

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

    def take_finished(self) -> list[T]:
        """Take out nothing: the latest may yet be replaced."""
        return []


class Rhythm(Protocol):
    """Say when what waits is due."""

    watches: bool
    """Whether every arrival counts, and must be timed."""

    def arrived(self, now: float) -> None:
        """Take notice of an arrival."""
        ...

    def emitted(self, now: float, *, rest: bool) -> None:
        """Take notice of an emission, and of whether something still waits."""
        ...

    def wait(self, now: float) -> float:
        """
        Tell in how many seconds what waits, or would wait, is due: not above 0 where it is.

        A clock on the wall may be put back; nothing waits the longer for it.
        """
        ...


class WindowRhythm:
    """Emit at once, then once per window."""

    watches = False

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: float | None = None

    def arrived(self, now: float) -> None:
        """Care for no arrival."""

    def emitted(self, now: float, *, rest: bool) -> None:  # noqa: ARG002 - Another rhythm asks for it.
        """Open a window."""
        self._began = now

    def wait(self, now: float) -> float:
        """Tell when the window ends."""
        if self._began is None:
            return 0.0
        self._began = min(self._began, now)
        return self._began + self._seconds - now


class QuietRhythm:
    """Emit after a quiet spell, but never later than the longest wait."""

    watches = True

    def __init__(self, seconds: float, max_wait: float | None) -> None:
        self._seconds = seconds
        self._max_wait = math.inf if max_wait is None else max_wait
        self._first = math.inf
        self._last = 0.0

    def arrived(self, now: float) -> None:
        """Begin the spell anew."""
        self._last = now
        self._first = min(self._first, now)

    def emitted(self, now: float, *, rest: bool) -> None:
        """Wait for a next first, or for what is left."""
        self._first = now if rest else math.inf

    def wait(self, now: float) -> float:
        """Tell when the spell, or the longest wait, is over."""
        self._last = min(self._last, now)
        return min(self._last + self._seconds, self._first + self._max_wait) - now


class Pacer(Generic[T]):
    """
    Drive one subscription: items in from any thread, emissions on the clock's, one at a time, with one timer.

    Nothing is called downstream while the lock is held. A subscriber that fails is told so, and ends its own
    subscription; so does an item that cannot wait with the others, after what waits.

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
        self._emitting = self._ending = self._ended = self._over = False
        self._error: Exception | None = None
        self.upstream = SingleAssignmentDisposable()

    def on_next(self, item: T) -> None:
        """Let an item wait, or emit it."""
        waiting, rhythm = self._waiting, self._rhythm
        try:
            with self._lock:
                if self._ended:
                    return
                clock = self._clock = self._clock or clock_of(None)
                waiting.add(item)
                if rhythm.watches:
                    rhythm.arrived(clock.now())
                # The timer that is set will see to it.
                if self._timer.armed and not waiting.has_finished:
                    return
        except Exception as error:  # noqa: BLE001 - Whatever it is, the subscriber is told.
            self.upstream.dispose()
            self.on_error(error)
            return
        self._settle(clock, may_emit=True)

    def on_error(self, error: Exception) -> None:
        """Emit what waits, then the error."""
        self._end(error)

    def on_completed(self) -> None:
        """Emit what waits, then complete."""
        self._end(None)

    def dispose(self) -> None:
        """Emit nothing more, and dispose the source."""
        with self._lock:
            self._ended = self._over = True
            self._waiting.take()
            cancel = self._timer.disarm()
        cancel()
        self.upstream.dispose()

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended, self._error = True, error
            clock = self._clock
        if clock is None:
            self._finish()
        else:
            self._settle(clock, may_emit=True)

    def _settle(self, clock: Clock, *, may_emit: bool) -> None:
        """Emit what is due, if that may be here and now, or see to it that it will be."""
        with self._lock:
            now = clock.now()
            delay = self._delay(now)
            if delay is None:
                return
            inline = may_emit and not delay and clock.is_here()
            if not inline and self._timer.soon:
                return
            claimed = self._claim(now) if inline else ()
            cancel = _nothing if inline else self._timer.disarm()
            token = 0 if inline else self._timer.arm(delay)
        cancel()
        if inline:
            self._emit(clock, claimed)
            return
        try:
            cancel = clock.after(delay, lambda: self._fire(clock, token))
        except Exception as error:  # noqa: BLE001 - A loop that is closed, a scheduler that cannot wait.
            self._break(error)
            return
        with self._lock:
            if self._timer.keep(token, cancel):
                return
        cancel()

    def _fire(self, clock: Clock, token: int) -> None:
        with self._lock:
            if not self._timer.fired(token) or self._emitting:
                return
            claimed = self._claim(clock.now())
        self._emit(clock, claimed)

    def _delay(self, now: float) -> float | None:
        """Tell in how many seconds there is something to emit; None for not that is known of."""
        if self._over or self._emitting:
            return None
        if self._ended or self._waiting.has_finished:
            return 0.0
        if not self._waiting:
            return None
        wait = self._rhythm.wait(now)
        return wait if wait > _EARLY else 0.0

    def _claim(self, now: float) -> Sequence[T]:
        """Take out what is due, and with it the turn to emit."""
        waiting = self._waiting
        due = self._ended or self._rhythm.wait(now) <= _EARLY
        items = waiting.take() if due else waiting.take_finished()
        if items:
            self._rhythm.emitted(now, rest=bool(waiting))
        self._emitting, self._ending = True, self._ended
        return items

    def _emit(self, clock: Clock, claimed: Sequence[T]) -> None:
        """Emit what was claimed, here and now; what is due after that has a turn of its own."""
        if not self._hand_out(claimed):
            return
        if self._ending:
            self._finish()
            return
        with self._lock:
            self._emitting = False
        self._settle(clock, may_emit=False)

    def _hand_out(self, items: Sequence[T]) -> bool:
        try:
            for item in items:
                self._observer.on_next(item)
        except Exception as error:  # noqa: BLE001 - A subscriber may raise what it likes, and is told of it.
            self._break(error)
            return False
        except BaseException:
            self.dispose()
            raise
        return True

    def _break(self, error: Exception) -> None:
        self.dispose()
        end_safely(self._observer, error)

    def _finish(self) -> None:
        with self._lock:
            self._over = True
            cancel = self._timer.disarm()
        cancel()
        end_safely(self._observer, self._error)


class _Timer:
    """Know the one timer; every call is under the lock of its owner."""

    def __init__(self) -> None:
        self.armed = self.soon = False
        self._token = 0
        self._cancel: Cancel = _nothing

    def arm(self, delay: float) -> int:
        """Announce a timer, and return what it is known by."""
        self.armed, self.soon = True, not delay
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
        self.armed = self.soon = False
        self._cancel = _nothing
        return True

    def disarm(self) -> Cancel:
        """Forget the timer, and return what calls it off."""
        cancel, self._cancel = self._cancel, _nothing
        self.armed = self.soon = False
        return cancel


def _nothing() -> None:
    """Call off nothing."""
