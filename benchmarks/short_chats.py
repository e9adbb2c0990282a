"""
What does a chat cost that is hardly longer than its request?

Many chats of three chunks run at the same time, over connections that are open or have to be opened. In `paced.py` this
cost is part of each chunk's: of a chat of 60 chunks each of them bears a sixtieth.
"""

from __future__ import annotations

from _clients import BARE, COLLECT, OFFICIAL, PIPELINE, RAW, compare
from _fast_server import AnswerPlan
from _harness import Aim, main

_CHUNKS = 3


def measure(smoke: bool) -> list[Aim]:
    """Measure the clients."""
    streams, turns = (5, 1) if smoke else (100, 7)
    names = (PIPELINE, BARE, COLLECT, OFFICIAL, RAW)
    costs = compare(names, AnswerPlan(_CHUNKS), streams=streams, rounds=1, turns=turns)
    print(f"{streams} chats of {_CHUNKS} chunks at once; a chat costs {_CHUNKS} times as much as a chunk:")
    costs.print()
    return []


if __name__ == "__main__":
    main(measure, __doc__)
