"""
How long does it take from a cancel until the server sees that the client has left?

A chat is cancelled at a random moment after its first chunk. Both processes use the same clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from random import Random
from typing import Any, TypeAlias

import ollama
from _fast_server import AnswerPlan, fast_server
from _harness import Aim, Case, alternate, main, percentiles, print_table

from rxollama import Ollama

Cancel: TypeAlias = Callable[[str], Awaitable[float]]
"""Asks a model, cancels the chat, and returns the moment of the cancel."""

_PAUSE_SECONDS = 0.01
_PLAN = AnswerPlan(1000, rate=100)
_ON_LOOP, _IN_THREAD = "rxollama, dispose on the stream's loop", "rxollama, dispose in another thread"
_OFFICIAL = "official client, task cancelled"


async def _until_its_moment(begun: asyncio.Event) -> None:
    await begun.wait()
    await asyncio.sleep(Random().uniform(0.005, 0.02))


def _disposing(client: Ollama, *, in_thread: bool) -> Cancel:
    async def cancel(model: str) -> float:
        begun = asyncio.Event()
        subscription = client.chat(model, "x").subscribe(lambda _: begun.set())
        await _until_its_moment(begun)

        def dispose() -> float:
            moment = time.monotonic()
            subscription.dispose()
            return moment

        return await asyncio.to_thread(dispose) if in_thread else dispose()

    return cancel


def _cancelling(client: Any) -> Cancel:
    async def follow(model: str, begun: asyncio.Event) -> None:
        async for _ in await client.chat(model, [{"role": "user", "content": "x"}], stream=True):
            begun.set()

    async def cancel(model: str) -> float:
        begun = asyncio.Event()
        task = asyncio.create_task(follow(model, begun))
        await _until_its_moment(begun)
        moment = time.monotonic()
        task.cancel()
        await asyncio.wait([task])
        return moment

    return cancel


async def moments(name: str, first: int, url: str, cancels: int) -> AsyncGenerator[dict[str, float] | None]:
    """Cancel some chats one after another, and yield the moments by the models."""
    async with AsyncExitStack() as stack:
        if name == _OFFICIAL:
            cancel = _cancelling(await stack.enter_async_context(ollama.AsyncClient(url)))
        else:
            client = await stack.enter_async_context(Ollama(url))
            cancel = _disposing(client, in_thread=name == _IN_THREAD)
        models = map(_PLAN.model, count(first))
        await cancel(next(models))
        yield None
        while True:
            found: dict[str, float] = {}
            for model, _ in zip(models, range(cancels), strict=False):
                found[model] = await cancel(model)
                # The next request would delay the close, and a paused process would not close at all.
                await asyncio.sleep(_PAUSE_SECONDS)
            yield found


def measure(smoke: bool) -> list[Aim]:
    """Measure each way of cancelling."""
    cancels, turns = (5, 1) if smoke else (60, 2)
    names = (_ON_LOOP, _IN_THREAD, _OFFICIAL)
    with fast_server(_PLAN) as server:
        cases = {
            name: Case("cancel_latency", "moments", (name, number * 1_000_000, server.url, cancels))
            for number, name in enumerate(names)
        }
        runs = alternate(cases, rounds=1, turns=turns)
        left = server.departures()
    rows: list[tuple[str, ...]] = []
    for name, own in runs.items():
        delays = [(left[model] - moment) * 1e6 for run in own for model, moment in run.items()]
        rows.append((name, f"{len(delays)}", *(f"{value:,.0f}" for value in percentiles(delays))))
    print("From the cancel until the server sees it, in µs:")
    print_table(("", "cancels", "p50", "p99"), rows)
    return []


if __name__ == "__main__":
    main(measure, __doc__)
