"""
How fast can a client read an answer that comes as fast as the socket carries it?

There is one stream, from a server in its own process that is never the slowest part. The whole pipeline is: log with
structlog and orjson, share, thinking and content each paced to 30 updates per second, tool calls gathered, the response
collected. A client that loses text is an error.
"""

from __future__ import annotations

from _clients import AITERATE, BARE, COLLECT, OFFICIAL, PIPELINE, RAW, compare
from _fast_server import AnswerPlan, Kind
from _harness import Aim, main

_KINDS: tuple[Kind, ...] = ("thinking first", "alternating")
_LEAST = {PIPELINE: 8, BARE: 7, COLLECT: 12, AITERATE: 6}


def measure(smoke: bool) -> list[Aim]:
    """Measure the clients, once for each order of thinking and content."""
    chunks, rounds, turns = (1000, 1, 1) if smoke else (20_000, 2, 4)
    aims: list[Aim] = []
    for kind in _KINDS:
        names = (PIPELINE, BARE, COLLECT, AITERATE, OFFICIAL, RAW)
        costs = compare(names, AnswerPlan(chunks, kind=kind), streams=1, rounds=rounds, turns=turns)
        print(f"{chunks:,} chunks, {kind}:")
        costs.print()
        for name, least in _LEAST.items():
            cheaper = costs.dearer(OFFICIAL, name).median
            aims.append(Aim(f"{kind}, {name}, times cheaper than the official client", cheaper, least=least))
        dearer = costs.dearer(PIPELINE, RAW).median
        aims.append(Aim(f"{kind}, {PIPELINE}, CPU by that of the raw socket", dearer, most=2.5))
    return aims


if __name__ == "__main__":
    main(measure, __doc__)
