"""
The clients that are compared, and what an answer costs each of them.

A client's process imports its own library and none of the others'.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from time import perf_counter, process_time
from typing import Any, NamedTuple, TypeAlias

from _fast_server import WARM_UP, Answer, AnswerPlan, expected_answer, fast_server
from _harness import Case, Spread, alternate, print_table, ratio, spread

__all__ = (
    "AITERATE",
    "BARE",
    "COLLECT",
    "CONTENT",
    "ITERATE",
    "OFFICIAL",
    "PIPELINE",
    "RAW",
    "Chat",
    "Costs",
    "Received",
    "compare",
    "cost",
    "open_client",
)

PIPELINE, BARE, COLLECT = "whole pipeline", "one callback", "collect"
CONTENT, ITERATE, AITERATE = "share, content, callback", "iterate, in a thread", "aiterate, every chunk"
OFFICIAL, RAW = "official client, bare loop", "raw socket + orjson"

# The places of the clients: modules of this folder, and functions there.
_CLIENTS = {
    PIPELINE: ("_client_rxollama", "pipeline"),
    BARE: ("_client_rxollama", "bare"),
    COLLECT: ("_client_rxollama", "collect"),
    CONTENT: ("_client_rxollama", "content"),
    ITERATE: ("_client_rxollama", "iterate_in_thread"),
    AITERATE: ("_client_rxollama", "aiterate_every_chunk"),
    OFFICIAL: ("_client_official", "official"),
    RAW: ("_client_raw", "raw"),
}


class Received:
    """The answer that a client received, added up with as little work as possible."""

    def __init__(self) -> None:
        self.chunks = self.calls = 0
        self.thinking: list[str] = []
        self.content: list[str] = []

    def add(self, message: Any) -> None:
        """Add a chunk's message."""
        self.chunks += 1
        if message.thinking:
            self.thinking.append(message.thinking)
        if message.content:
            self.content.append(message.content)
        if message.tool_calls:
            self.calls += len(message.tool_calls)

    def answer(self) -> Answer:
        """Return the answer."""
        return Answer(self.chunks, "".join(self.thinking), "".join(self.content), self.calls)


Chat: TypeAlias = Callable[[str, Received], Coroutine[Any, Any, None]]
"""Asks a model, and fills in what was received, up to its end."""


def open_client(name: str, url: str) -> AbstractAsyncContextManager[Chat]:
    """Return a context manager that opens a client."""
    module, function = _CLIENTS[name]
    client: AbstractAsyncContextManager[Chat] = getattr(importlib.import_module(module), function)(url)
    return client


class Cost(NamedTuple):
    """The cost of a run: chunks per second, and microseconds of CPU per chunk, of all threads and the kernel."""

    speed: float
    cpu: float


async def cost(name: str, url: str, plan: AnswerPlan, streams: int) -> AsyncGenerator[Cost | None]:
    """Measure the cost of some streams at once."""
    async with open_client(name, url) as chat:
        await chat(WARM_UP.model(), Received())
        yield None
        while True:
            received = [Received() for _ in range(streams)]
            gc.collect()
            began, busy_began = perf_counter(), process_time()
            await asyncio.gather(*(chat(plan.model(), one) for one in received))
            wall, busy = perf_counter() - began, process_time() - busy_began
            if {one.answer() for one in received} != {expected_answer(plan)}:
                raise ValueError(f"{name}: expected the whole answer, got another one")
            chunks = plan.chunks * streams
            yield Cost(chunks / wall, busy / chunks * 1e6)


class Costs:
    """
    The costs of some clients in the same runs.

    Args:
        runs: The runs of each client.
    """

    def __init__(self, runs: dict[str, list[Cost]]) -> None:
        self._cpu = {name: [run.cpu for run in own] for name, own in runs.items()}
        self._speed = {name: [run.speed for run in own] for name, own in runs.items()}

    def dearer(self, name: str, other: str) -> Spread:
        """Return a client's CPU time by that of another."""
        return ratio(self._cpu[name], self._cpu[other])

    def print(self) -> None:
        """Print a table."""
        head = ("", "µs of CPU per chunk", "times cheaper than official", "by raw socket", "chunks/s")
        print_table(
            head,
            (
                (
                    name,
                    spread(own).show(),
                    self.dearer(OFFICIAL, name).show(),
                    self.dearer(name, RAW).show(),
                    f"{spread(self._speed[name]).median:,.0f}",
                )
                for name, own in self._cpu.items()
            ),
        )


def compare(names: tuple[str, ...], plan: AnswerPlan, *, streams: int, rounds: int, turns: int) -> Costs:
    """Measure clients with the same answers, in alternation. A client that loses text is an error."""
    with fast_server(plan) as server:
        cases = {name: Case(__name__, cost.__name__, (name, server.url, plan, streams)) for name in names}
        return Costs(alternate(cases, rounds=rounds, turns=turns))
