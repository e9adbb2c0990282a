"""Carry out many cancels at the same time, from threads and from coroutines."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from random import Random
from typing import get_args

import httpx
from _attempt import PATIENCE, Cancel, Ledger, Phase
from _hosted import Host
from _ways import COROUTINE_WAYS, THREAD_WAYS, CoroutineWay, ThreadWay

from rxollama import Ollama
from rxollama._runtime import background

__all__ = ("AT_ONCE", "Clients", "planned", "serve", "storm")

_THREADS, _COROUTINES = 8, 24
AT_ONCE = _THREADS + _COROUTINES
"""Chats that go on at the same time, at most."""

_CHUNKS = 8
# Seconds after the subscription within which a cancel strikes; a chunk comes every ten milliseconds.
_MOMENTS: dict[Phase, tuple[float, float]] = {
    "connecting": (0.0, 0.03),
    "sending": (0.0, 0.003),
    "silent": (0.01, 0.1),
    "streaming": (0.02, 0.12),
    "stalled": (0.04, 0.12),
}


class Clients:
    """
    Be the clients of a storm: those of the threads and those of the coroutines, each with one that never connects.

    Args:
        host: The server.
        plain: Whether to pass in a plain `httpx.AsyncClient`, which belongs to one loop and is not closed by ours.
    """

    def __init__(self, host: Host, *, plain: bool) -> None:
        self._passed: list[tuple[httpx.AsyncClient, bool]] = []

        def client(url: str, *, of_threads: bool) -> Ollama:
            if not plain:
                return Ollama(url)
            passed = httpx.AsyncClient()
            self._passed.append((passed, of_threads))
            return Ollama(url, http_client=passed)

        self.of_threads, self.of_threads_full = (
            client(host.url, of_threads=True),
            client(host.full_url, of_threads=True),
        )
        self.of_tasks, self.of_tasks_full = client(host.url, of_threads=False), client(host.full_url, of_threads=False)

    async def aclose(self) -> None:
        """Close them all, on the loops that they belong to."""
        for client in (self.of_threads, self.of_threads_full, self.of_tasks, self.of_tasks_full):
            await client.aclose()
        for passed, of_threads in self._passed:
            home = background() if of_threads else asyncio.get_running_loop()
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(passed.aclose(), home))


def planned(count: int, random: Random) -> tuple[deque[tuple[ThreadWay, Cancel]], deque[tuple[CoroutineWay, Cancel]]]:
    """Draw cancels: every way in every phase equally often, in any order, at moments of their own."""
    phases: tuple[Phase, ...] = get_args(Phase)
    ways = [*THREAD_WAYS, *COROUTINE_WAYS]
    pairs: list[tuple[str, Phase]] = [(way, phase) for way in ways for phase in phases]
    drawn = [pairs[index % len(pairs)] for index in range(count)]
    random.shuffle(drawn)
    by_threads: deque[tuple[ThreadWay, Cancel]] = deque()
    by_coroutines: deque[tuple[CoroutineWay, Cancel]] = deque()
    for number, (way, phase) in enumerate(drawn):
        delay = random.uniform(*_MOMENTS.get(phase, (0.0, 0.0)))
        cancel = Cancel(number, phase, delay, random.randint(1, _CHUNKS))
        if way in THREAD_WAYS:
            by_threads.append((THREAD_WAYS[way], cancel))
        else:
            by_coroutines.append((COROUTINE_WAYS[way], cancel))
    return by_threads, by_coroutines


async def storm(clients: Clients, count: int, random: Random, ledger: Ledger, halfway: Callable[[], None]) -> None:
    """Carry out cancels, and tell how far it is; *halfway* is called in the thick of it."""
    by_threads, by_coroutines = planned(count, random)
    stop = threading.Event()
    threads = [
        threading.Thread(target=_in_thread, args=(clients, by_threads, ledger, stop), name="storm", daemon=True)
        for _ in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_COROUTINES):
                group.create_task(_in_coroutine(clients, by_coroutines, ledger))
            group.create_task(_tell(ledger, count, halfway))
    finally:
        stop.set()
        # Their chats live on another loop, and each has its end in sight.
        for thread in threads:
            thread.join(PATIENCE)


def serve(clients: Clients, runner: asyncio.Runner, number: int, ledger: Ledger) -> None:
    """See that the clients still serve those who come after the storm."""
    cancel = Cancel(number, "done", 0.0, 0)
    for by_thread in THREAD_WAYS.values():
        by_thread(clients.of_threads, cancel, ledger)
    for name, by_coroutine in COROUTINE_WAYS.items():
        try:
            runner.run(asyncio.wait_for(by_coroutine(clients.of_tasks, cancel, ledger), PATIENCE))
        except TimeoutError:
            ledger.wrong(cancel, name, "the client does not serve any more")


def _in_thread(
    clients: Clients, cancels: deque[tuple[ThreadWay, Cancel]], ledger: Ledger, stop: threading.Event
) -> None:
    while cancels and not stop.is_set():
        try:
            way, cancel = cancels.popleft()
        except IndexError:
            return
        try:
            way(clients.of_threads_full if cancel.phase == "connecting" else clients.of_threads, cancel, ledger)
        except Exception as error:  # noqa: BLE001 - It is what is looked for.
            ledger.wrong(cancel, way.__name__, repr(error))
        ledger.done()


async def _in_coroutine(clients: Clients, cancels: deque[tuple[CoroutineWay, Cancel]], ledger: Ledger) -> None:
    while cancels:
        way, cancel = cancels.popleft()
        try:
            await way(clients.of_tasks_full if cancel.phase == "connecting" else clients.of_tasks, cancel, ledger)
        except Exception as error:  # noqa: BLE001 - It is what is looked for.
            ledger.wrong(cancel, way.__name__, repr(error))
        ledger.done()


async def _tell(ledger: Ledger, count: int, halfway: Callable[[], None]) -> None:
    began, told, pending = time.monotonic(), 0.0, [halfway]
    while ledger.count < count:
        await asyncio.sleep(0.05)
        if pending and ledger.count >= count / 2:
            pending.pop()()
        if time.monotonic() - told > 1:
            told = time.monotonic()
            print(f"{ledger.count:,} of {count:,} cancels in {told - began:.0f} s", file=sys.stderr)
