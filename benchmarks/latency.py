"""
How long does a text take from the server's write to the callback?

The server writes the moment of sending as the content of each record. Both processes use the same clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from _clients import AITERATE, BARE, CONTENT, ITERATE, OFFICIAL, RAW, Received, open_client
from _fast_server import WARM_UP, AnswerPlan, fast_server
from _harness import Aim, Case, alternate, main, percentiles, print_table, spread

_LOADS = {1: 200.0, 100: 20.0}


class _Delays(list[str]):
    """The microseconds from each text's sending to its arrival, in place of the texts."""

    def __init__(self) -> None:
        super().__init__()
        self.microseconds: list[float] = []

    def append(self, text: str) -> None:
        """Note a text's delay. The texts of several records in one would not be a number."""
        self.microseconds.append((time.monotonic_ns() - int(text)) / 1000)


async def delays(name: str, url: str, plan: AnswerPlan, streams: int) -> AsyncGenerator[list[float] | None]:
    """Measure the delays of all texts of some streams."""
    async with open_client(name, url) as chat:
        await chat(WARM_UP.model(), Received())
        yield None
        while True:
            found = [_Delays() for _ in range(streams)]
            received = [Received() for _ in found]
            for one, content in zip(received, found, strict=True):
                one.content = content
            await asyncio.gather(*(chat(plan.model(), one) for one in received))
            yield [delay for one in found for delay in one.microseconds]


def measure(smoke: bool) -> list[Aim]:
    """Measure one stream, and many."""
    for streams, rate in _LOADS.items():
        plan = AnswerPlan(round(rate * (0.2 if smoke else 2)), rate, "stamped")
        names = [BARE, CONTENT, AITERATE, *([ITERATE] if streams == 1 else []), OFFICIAL, RAW]
        with fast_server() as server:
            cases = {name: Case("latency", "delays", (name, server.url, plan, streams)) for name in names}
            runs = alternate(cases, rounds=1, turns=1)
        print(f"Streams: {streams}, each of {rate:g} chunks/s, in µs:")
        rows: list[tuple[str, ...]] = []
        for name, own in runs.items():
            found = [percentiles(run) for run in own]
            rows.append((name, *(spread(values).show(0) for values in zip(*found, strict=True))))
        print_table(("", "p50", "p99"), rows)
    return []


if __name__ == "__main__":
    main(measure, __doc__)
