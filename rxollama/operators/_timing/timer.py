"""The one timer of a guarded subscription, and the seconds it may be set to."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from threading import TIMEOUT_MAX

from ..._invalid_value import invalid_value
from ..._runtime import report_error
from .clock import Cancel, Clock

__all__ = ("EARLY", "Timer", "check_seconds")

EARLY = 0.0005
"""By how much a clock may wake early, as it suits its resolution; to wait again for that would be absurd."""


class Timer:
    """
    Ring once at a time: set again, it rings at whichever moment comes first, and to be set later changes nothing.

    So who needs it later looks again when it rings, and sets it anew; an item that moves the moment away, as nearly
    every one does, costs no timer. It may be set and put off from any thread.

    Args:
        clock: The clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due = math.inf
        self._turn: int = 0
        self._off = False
        self._cancel: Cancel = _nothing

    def set(self, due: float, action: Callable[[], None]) -> None:
        """
        See to it that something is done by a moment.

        Args:
            due: The moment, by the clock; infinity for never.
            action: What to do. Nobody takes what it raises, so that this is reported.

        Raises:
            Exception: What keeps the clock from waiting, see `Clock.after`.
        """
        # Read outside of the lock: a timer that rings meanwhile looks at everything afresh.
        if due >= self._due:
            return
        with self._lock:
            if self._off or due >= self._due:
                return
            self._due = due
            self._turn += 1
            turn = self._turn
            cancel, self._cancel = self._cancel, _nothing
        cancel()
        cancel = self._clock.after(due - self._clock.now(), lambda: self._ring(turn, action))
        with self._lock:
            if turn == self._turn:
                self._cancel = cancel
                return
        cancel()

    def put_off(self) -> None:
        """Ring never again."""
        with self._lock:
            self._off = True
            self._turn += 1
            cancel, self._cancel = self._cancel, _nothing
        cancel()

    def _ring(self, turn: int, action: Callable[[], None]) -> None:
        with self._lock:
            if turn != self._turn:
                return
            self._due = math.inf
            self._turn += 1
            self._cancel = _nothing
        try:
            action()
        except Exception as error:  # noqa: BLE001 - There is nobody else to be told.
            report_error("what a timer began raised", error)


def check_seconds(name: str, seconds: object, *, zero: bool = False) -> None:
    """
    Refuse what is no time to wait.

    Args:
        name: The name of the argument.
        seconds: What was given.
        zero: Whether to wait for no time at all is right, too.

    Raises:
        InvalidValueError: When it is no number, not above 0, or longer than a thread can wait.
    """
    if (
        not isinstance(seconds, (int, float))
        or isinstance(seconds, bool)
        or not 0 <= seconds <= TIMEOUT_MAX
        or not (seconds or zero)
    ):
        raise invalid_value(name, seconds, "a number of seconds, 0 or more" if zero else "a positive number of seconds")


def _nothing() -> None:
    """Call off what is not set."""
