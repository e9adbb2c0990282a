"""A loop of asyncio whose time passes only while it waits."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable
from typing import TypeVarTuple

Ts = TypeVarTuple("Ts")


class _Skipping(selectors.DefaultSelector):
    """A selector that adds up the time it should wait for, instead of waiting."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now; without a timeout wait for it."""
        self.waited += timeout or 0.0
        return super().select(None if timeout is None else 0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    A loop in virtual time.

    Attributes:
        timers: The moments for which timers were set.
    """

    def __init__(self) -> None:
        self._skipping = _Skipping()
        self.timers: list[float] = []
        super().__init__(self._skipping)

    def time(self) -> float:
        """Return the time for which it waited."""
        return self._skipping.waited

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer, and record its moment."""
        self.timers.append(when)
        return super().call_at(when, callback, *args, context=context)
