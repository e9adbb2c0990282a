"""
The timer of a timed operator.

The law. A subscription has at most one timer. Setting it to an earlier moment reschedules it, setting it to a later one
has no effect. Whoever needs it later looks at the time when it fires, and sets it again. So an item that moves the
moment away, as nearly every item does, costs a comparison and no timer: a timer for each item costs 8 µs on an event
loop, and a thread on reactivex's default scheduler.

No lock is held while the clock is asked, since a clock may act at once. A setting that is cancelled while it begins to
fire on another thread acts in place of the later setting, whose moment was the earlier one. So an action may run early,
and none runs after `put_off`.

The action is given once. One for each setting needs a closure, or a number that tells an outdated setting: six objects
for each emission of a pacing operator, which cost the garbage collector more than the timer.
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
        action: What is done when it fires. An exception of it is reported.
    """

    def __init__(self, clock: Clock, action: Callable[[], object]) -> None:
        self.clock = clock
        self._action = action
        self._lock = threading.Lock()
        self._due = math.inf
        # Counts the settings, and their ends.
        self._number = 0
        self._off = False
        self._cancel: Cancel | None = None
        self.is_set = False
        """Whether it will fire."""

    def set(self, due: float) -> None:
        """
        Set the timer, unless it is set to an earlier moment.

        Args:
            due: The moment, by the clock: infinity for never, `ASAP` for as soon as possible.

        Raises:
            Exception: If the clock cannot wait, see `Clock.at`.
        """
        # Read without the lock: if it fires meanwhile, its action looks at the time.
        if due >= self._due:
            return
        with self._lock:
            if self._off or due >= self._due:
                return
            self._due, self.is_set = due, True
            self._number = number = self._number + 1
            cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()
        cancel = self.clock.at(due, self._fire)
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
            cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def _fire(self) -> None:
        with self._lock:
            if not self.is_set:
                return
            self._due, self.is_set = math.inf, False
            self._number += 1
            self._cancel = None
        try:
            self._action()
        except Exception as error:  # noqa: BLE001 - There is no other place to report it.
            report_error("a timer of a stream raised", error)
