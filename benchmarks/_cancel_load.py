"""Many cancels at the same time, from threads and from coroutines."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from random import Random
from typing import TypeAlias, get_args

from _cancel import PATIENCE, CancelLog, Phase, PlannedCancel
from _cancel_methods import COROUTINE_METHODS, THREAD_METHODS, CoroutineMethod, ThreadMethod
from _client_pair import ClientPair
from _server_process import ServerProcess

__all__ = ("AT_ONCE", "Clients", "check_service", "plan_cancels", "run_cancels")

ThreadCancels: TypeAlias = deque[tuple[ThreadMethod, PlannedCancel]]
CoroutineCancels: TypeAlias = deque[tuple[CoroutineMethod, PlannedCancel]]

_THREADS, _COROUTINES = 8, 24
AT_ONCE = _THREADS + _COROUTINES
"""The largest number of chats at the same time."""

_CHUNKS = 8
# The seconds after the subscription within which a cancel comes. A chunk comes every ten milliseconds.
_MOMENTS: dict[Phase, tuple[float, float]] = {
    "connecting": (0.0, 0.03),
    "sending": (0.0, 0.003),
    "silent": (0.01, 0.1),
    "streaming": (0.02, 0.12),
    "stalled": (0.04, 0.12),
}


class Clients:
    """
    Clients of the server, and clients that never connect.

    Args:
        server: The server.
        plain: See `ClientPair`.
    """

    def __init__(self, server: ServerProcess, *, plain: bool) -> None:
        self.working = ClientPair(server.url, plain=plain)
        self._connecting = ClientPair(server.full_url, plain=plain)

    def of(self, phase: Phase) -> ClientPair:
        """Return the clients for a phase."""
        return self._connecting if phase == "connecting" else self.working

    async def aclose(self) -> None:
        """Close all clients."""
        await self.working.aclose()
        await self._connecting.aclose()


def plan_cancels(count: int, random: Random) -> tuple[ThreadCancels, CoroutineCancels]:
    """Return random cancels: every method in every phase equally often, in random order, at random moments."""
    phases: tuple[Phase, ...] = get_args(Phase)
    methods = [*THREAD_METHODS, *COROUTINE_METHODS]
    pairs: list[tuple[str, Phase]] = [(method, phase) for method in methods for phase in phases]
    drawn = [pairs[index % len(pairs)] for index in range(count)]
    random.shuffle(drawn)
    by_threads: ThreadCancels = deque()
    by_coroutines: CoroutineCancels = deque()
    for number, (method, phase) in enumerate(drawn):
        delay = random.uniform(*_MOMENTS.get(phase, (0.0, 0.0)))
        planned = PlannedCancel(number, phase, delay, random.randint(1, _CHUNKS))
        if method in THREAD_METHODS:
            by_threads.append((THREAD_METHODS[method], planned))
        else:
            by_coroutines.append((COROUTINE_METHODS[method], planned))
    return by_threads, by_coroutines


async def run_cancels(
    clients: Clients, count: int, random: Random, log: CancelLog, halfway: Callable[[], None]
) -> None:
    """Carry out random cancels and print the progress. *halfway* is called after half of them."""
    by_threads, by_coroutines = plan_cancels(count, random)
    stop = threading.Event()
    threads = [
        threading.Thread(target=_in_thread, args=(clients, by_threads, log, stop), name="cancels", daemon=True)
        for _ in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_COROUTINES):
                group.create_task(_in_coroutine(clients, by_coroutines, log))
            group.create_task(_print_progress(log, count, halfway))
    finally:
        stop.set()
        # Their chats live on the background loop, and each of them ends soon.
        for thread in threads:
            thread.join(PATIENCE)


def check_service(clients: Clients, runner: asyncio.Runner, number: int, log: CancelLog) -> None:
    """Check that the clients still work after the cancels."""
    planned = PlannedCancel(number, "done", 0.0, 0)
    for by_thread in THREAD_METHODS.values():
        by_thread(clients.working.of_threads, planned, log)
    for name, by_coroutine in COROUTINE_METHODS.items():
        try:
            runner.run(asyncio.wait_for(by_coroutine(clients.working.of_tasks, planned, log), PATIENCE))
        except TimeoutError:
            log.add_error(planned, name, "the client does not work any more")


def _in_thread(clients: Clients, cancels: ThreadCancels, log: CancelLog, stop: threading.Event) -> None:
    while cancels and not stop.is_set():
        try:
            method, planned = cancels.popleft()
        except IndexError:
            return
        try:
            method(clients.of(planned.phase).of_threads, planned, log)
        except Exception as error:  # noqa: BLE001 - Any error is a finding.
            log.add_error(planned, method.__name__, repr(error))
        log.add_done()


async def _in_coroutine(clients: Clients, cancels: CoroutineCancels, log: CancelLog) -> None:
    while cancels:
        method, planned = cancels.popleft()
        try:
            await method(clients.of(planned.phase).of_tasks, planned, log)
        except Exception as error:  # noqa: BLE001 - Any error is a finding.
            log.add_error(planned, method.__name__, repr(error))
        log.add_done()


async def _print_progress(log: CancelLog, count: int, halfway: Callable[[], None]) -> None:
    began, printed, pending = time.monotonic(), 0.0, [halfway]
    while log.count < count:
        await asyncio.sleep(0.05)
        if pending and log.count >= count / 2:
            pending.pop()()
        if time.monotonic() - printed > 1:
            printed = time.monotonic()
            print(f"{log.count:,} of {count:,} cancels in {printed - began:.0f} s", file=sys.stderr)
