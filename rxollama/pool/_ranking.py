"""
The choice of a host.

The law: each host gets a rank for a request, and the lowest rank is chosen. A rank is a tuple, so its fields are the
criteria, the most important first. A later criterion counts only among hosts that are equal in all earlier ones. Hosts
with equal ranks are chosen in the order in which they were given to the pool.

The order follows what a wrong choice costs. A host that cannot answer costs a failure. A host that has the request
already would gain nothing. A model that must be loaded costs up to minutes, a queue the length of another answer, a
conversation whose beginning is not in the cache the time to read it. Only then do the wishes of the user count, and
last what was measured.

A model that is loaded counts only while few requests wait for it. Else a host that was restarted would stay cold, and
idle, for as long as another one has the model loaded, however long the queue is there. To wait for one more answer per
slot is about as long as to load the model, so a longer queue (`LONG_QUEUE`) outweighs it.

"The same request" is before "loaded" although it says nothing about the model: a second request of `hedge`, and the
repetition of one that failed, must reach another host even if that host has to load the model first.

Alternatives: a weighted sum of the criteria lets many small advantages outweigh a host that is down, and nobody can
predict its choice. A random choice among equals spreads the load as well, but cannot be tested to the letter.

The weights work by a clock for each host that advances by 1 / weight when the host is chosen. The host whose clock is
behind is next, so the shares are exact over every stretch of requests, and equal weights take turns. A host that was
not chosen for long does not catch up: its clock counts as what the last choice showed (`Turns`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

__all__ = ("LONG_QUEUE", "Has", "Rank", "Turns")

LONG_QUEUE = 2.0
"""The requests per slot from which on a loaded model is no advantage."""


class Has(IntEnum):
    """The possible answers to whether a host has a model."""

    YES = 0
    UNKNOWN = 1
    NO = 2


class Rank(NamedTuple):
    """
    The rank of a host for one request. The lowest is the best.

    Args:
        is_out: Whether the host could not be reached, or a usage limit for the model is used up.
        has_model: Whether the host has the model.
        is_busy: Whether it refused a request a moment ago because it had too many.
        is_tried: Whether it has this very request already, or failed it otherwise than by being out.
        is_slow: Whether it must load the model first, or a long queue waits for it.
        queue: 0.0 if a slot is free, else the requests in flight per slot.
        is_stranger: Whether another host answered the conversation so far.
        priority: The priority that the user gave to the host.
        turn: The clock of its weight.
        pace: The usual seconds until it begins to answer; 0.0 if they are not known, so that it is tried.
    """

    is_out: bool
    has_model: Has
    is_busy: bool
    is_tried: bool
    is_slow: bool
    queue: float
    is_stranger: bool
    priority: int
    turn: float
    pace: float


class Turns:
    """
    The clocks of the weights.

    Args:
        weights: The weight of each host.
    """

    def __init__(self, weights: list[float]) -> None:
        self._steps = [1 / weight for weight in weights]
        self._clocks = [0.0] * len(weights)
        self._now = 0.0

    def clocks(self) -> list[float]:
        """Return the clock of each host."""
        now = self._now
        return [max(clock, now) for clock in self._clocks]

    def advance(self, place: int) -> None:
        """Advance the clock of the host that was chosen."""
        self._now = max(self._clocks[place], self._now)
        self._clocks[place] = self._now + self._steps[place]
