"""
The timer of a timed operator.

The law. A subscription has at most one timer. Setting it to an earlier moment reschedules it, setting it to a later one
has no effect. Whoever needs it later looks at the time when it fires, and sets it again. So an item that moves the
moment away, as nearly every item does, costs a comparison and no timer: a timer for each item costs 8 µs on an event
loop, and a thread on reactivex's default scheduler.

No lock is held while the clock is asked, since a clock may act at once. A timer that was rescheduled meanwhile, or that
the clock could not cancel, fires without effect: each setting has a number, and only the latest acts.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from ..._runtime import report_error
from .clock import Cancel, Clock

__all__ = ("EARLY", "Timer")

EARLY = 0.0005
"""How early a timer may fire, in seconds. Clocks do, by their resolution, and no second timer is set for the rest."""


class Timer:
    """
    A single timer, which any thread may set and cancel.

    Args:
        clock: The clock.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._due = math.inf
        self._number: int = 0
        self._off = False
        self._cancel: Cancel = _nothing
        self.is_set = False
        """Whether it will fire."""

    def set(self, due: float, action: Callable[[], None]) -> None:
        """
        Set the timer, unless it is set to an earlier moment.

        Args:
            due: The moment, by the clock; infinity for never.
            action: The action. An exception of it is reported.

        Raises:
            Exception: If the clock cannot wait, see `Clock.after`.
        """
        # Read without the lock: if it fires meanwhile, its action looks at the time.
        if due >= self._due:
            return
        with self._lock:
            if self._off or due >= self._due:
                return
            self._due, self.is_set = due, True
            self._number += 1
            number = self._number
            cancel, self._cancel = self._cancel, _nothing
        cancel()
        cancel = self.clock.after(due - self.clock.now(), lambda: self._fire(number, action))
        with self._lock:
            if number == self._number:
                self._cancel = cancel
                return
        cancel()

    def put_off(self) -> None:
        """Cancel the timer. It cannot be set again."""
        with self._lock:
            self._off = True
            self._due, self.is_set = math.inf, False
            self._number += 1
            cancel, self._cancel = self._cancel, _nothing
        cancel()

    def _fire(self, number: int, action: Callable[[], None]) -> None:
        with self._lock:
            if number != self._number:
                return
            self._due, self.is_set = math.inf, False
            self._number += 1
            self._cancel = _nothing
        try:
            action()
        except Exception as error:  # noqa: BLE001 - There is no other place to report it.
            report_error("a timer of a stream raised", error)


def _nothing() -> None:
    """Cancel nothing."""
