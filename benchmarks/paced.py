"""
What does a chunk cost a client that follows many chats at the pace of a model?

Each stream sends its records one by one, as a model produces its tokens, so that nearly every chunk wakes the client.
The cost of each stream's request is included.
"""

from __future__ import annotations

from typing import NamedTuple

from _clients import BARE, OFFICIAL, PIPELINE, RAW, compare
from _fast_server import AnswerPlan
from _harness import Aim, main


class _Load(NamedTuple):
    streams: int
    rate: float
    seconds: float
    turns: int
    most: float = 0


_LOADS = (_Load(1, 50, 1, 2), _Load(10, 50, 1, 2), _Load(100, 50, 5, 2, 0.33), _Load(500, 20, 3, 2, 0.15))
_SMOKE = (_Load(1, 50, 0.2, 1), _Load(10, 50, 0.2, 1))


def measure(smoke: bool) -> list[Aim]:
    """Measure the clients with more and more streams."""
    aims: list[Aim] = []
    for load in _SMOKE if smoke else _LOADS:
        plan = AnswerPlan(round(load.rate * load.seconds), load.rate)
        costs = compare((PIPELINE, BARE, OFFICIAL, RAW), plan, streams=load.streams, rounds=1, turns=load.turns)
        print(f"Streams: {load.streams}, each of {load.rate:g} chunks/s for {load.seconds:g} s:")
        costs.print()
        if load.most:
            reached = costs.dearer(PIPELINE, OFFICIAL).median
            what = f"{load.streams} streams, {PIPELINE}, CPU by that of the official client"
            aims.append(Aim(what, reached, most=load.most))
    return aims


if __name__ == "__main__":
    main(measure, __doc__)
