"""
How much memory does a live stream take?

Many chats receive 20 chunks each, and then wait for more. The resident memory of the client's process is compared with
that before them, after a warm-up.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator

import psutil  # type: ignore[import-untyped] # psutil brings no types of its own.
from _clients import BARE, OFFICIAL, PIPELINE, RAW, Received, open_client
from _fast_server import WARM_UP, AnswerPlan, fast_server
from _harness import Aim, Case, alternate, main, print_table, spread

_PLAN = AnswerPlan(20, kind="held")
_STEP_SECONDS = 0.05


def _memory() -> int:
    gc.collect()
    used: int = psutil.Process().memory_info().rss
    return used


async def per_stream(name: str, url: str, streams: int) -> AsyncGenerator[float | None]:
    """Yield the KiB that each of many live streams takes. Only the first step finds fresh memory."""
    async with open_client(name, url) as chat:
        await asyncio.gather(*(chat(WARM_UP.model(), Received()) for _ in range(10)))
        yield None
        before = _memory()
        received = [Received() for _ in range(streams)]
        chats = [asyncio.create_task(chat(_PLAN.model(), one)) for one in received]
        while not all(one.content for one in received):  # noqa: ASYNC110 - A list cannot set an event.
            await asyncio.sleep(_STEP_SECONDS)
        yield (_memory() - before) / streams / 1024
        for one in chats:
            one.cancel()


def measure(smoke: bool) -> list[Aim]:
    """Measure each client."""
    streams, rounds = (20, 1) if smoke else (500, 2)
    with fast_server(_PLAN) as server:
        cases = {
            name: Case("memory", "per_stream", (name, server.url, streams)) for name in (PIPELINE, BARE, OFFICIAL, RAW)
        }
        runs = alternate(cases, rounds=rounds)
    print(f"With {streams} streams:")
    print_table(("", "KiB per stream"), ((name, spread(own).show(1)) for name, own in runs.items()))
    return []


if __name__ == "__main__":
    main(measure, __doc__)
