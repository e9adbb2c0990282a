"""The ways to cancel a chat: from threads, where it lives on the background loop, and from coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from _attempt import PATIENCE, Attempt, Cancel, Ledger, Phase
from reactivex import Observable
from reactivex import operators as rx
from reactivex.subject import Subject

from rxollama import ChatChunk, Ollama, aiterate, iterate
from rxollama import operators as op
from rxollama._runtime import background

__all__ = ("COROUTINE_WAYS", "THREAD_WAYS", "CoroutineWay", "ThreadWay")

ThreadWay: TypeAlias = Callable[[Ollama, Cancel, Ledger], None]
CoroutineWay: TypeAlias = Callable[[Ollama, Cancel, Ledger], Coroutine[Any, Any, None]]

_PROMPT = "Why is the sky blue?"
_TIMED: frozenset[Phase] = frozenset({"connecting", "sending", "silent", "streaming", "stalled"})


def _chat(client: Ollama, cancel: Cancel) -> Observable[ChatChunk]:
    return client.chat(cancel.model, _PROMPT)


def _later(seconds: float, strike: Callable[[], None]) -> None:
    """Do something on the background loop after a while."""
    loop = background()
    loop.call_soon_threadsafe(lambda: loop.call_later(seconds, strike))


def _by_thread(client: Ollama, cancel: Cancel, ledger: Ledger) -> None:
    """Dispose from the thread that subscribed, which is not the stream's."""
    attempt = Attempt(cancel, "dispose, other thread", ledger)
    attempt.begin(_chat(client, cancel))
    attempt.wait()
    attempt.strike()


def _by_loop(client: Ollama, cancel: Cancel, ledger: Ledger) -> None:
    """Dispose on the stream's own loop."""
    attempt = Attempt(cancel, "dispose, own loop", ledger)
    attempt.begin(_chat(client, cancel))
    if cancel.phase in _TIMED:
        _later(cancel.delay, attempt.strike_at_home)
    else:
        attempt.wait()
        background().call_soon_threadsafe(attempt.strike_at_home)
    attempt.expect(attempt.struck, "the loop's turn")


def _twice(client: Ollama, cancel: Cancel, ledger: Ledger) -> None:
    """Dispose from two threads at the same moment, and once more."""
    attempt = Attempt(cancel, "dispose twice", ledger)
    attempt.begin(_chat(client, cancel))
    attempt.wait()
    background().call_soon_threadsafe(attempt.strike)
    attempt.strike(times=2)


def _by_stop(client: Ollama, cancel: Cancel, ledger: Ledger) -> None:
    """Let `take_until` dispose, as another observable says so."""
    attempt, stop = Attempt(cancel, "take_until", ledger), Subject[None]()
    over = threading.Event()
    _chat(client, cancel).pipe(
        rx.do_action(lambda _: stop.on_next(None) if cancel.phase == "callback" else None), rx.take_until(stop)
    ).subscribe(lambda _: None, lambda error: ledger.wrong(cancel, attempt.way, repr(error)), over.set)
    if cancel.phase in _TIMED:
        attempt.wait()
        attempt.strike(lambda: stop.on_next(None))
    elif cancel.phase == "callback":
        ledger.strike(cancel)
    attempt.expect(over, "the end")


def _by_leaving(client: Ollama, cancel: Cancel, ledger: Ledger) -> None:
    """Leave a `for`, or have its iterator closed while it waits."""
    items = iterate(_chat(client, cancel), overflow="keep")
    attempt = Attempt(cancel, "leaving iterate", ledger)
    if cancel.phase in _TIMED:
        _later(cancel.delay, lambda: attempt.strike(items.close))
    for count, _ in enumerate(items, 1):
        if cancel.phase == "callback" and count == cancel.chunk:
            break
    if cancel.phase in _TIMED:
        attempt.expect(attempt.struck, "the loop's turn")
    else:
        attempt.strike(items.close)


async def _by_cancelled_await(client: Ollama, cancel: Cancel, ledger: Ledger) -> None:
    """Cancel a task that awaits a chat."""
    count = 0

    def on_next(_: ChatChunk) -> None:
        nonlocal count
        count += 1
        if cancel.phase == "callback" and count == cancel.chunk:
            strike()

    async def wait() -> None:
        await _chat(client, cancel).pipe(rx.do_action(on_next), op.collect())

    def strike() -> None:
        ledger.strike(cancel)
        task.cancel()

    task = asyncio.create_task(wait())
    await _cancelled(task, strike, cancel, ledger, "cancelled await")


async def _by_cancelled_loop(client: Ollama, cancel: Cancel, ledger: Ledger) -> None:
    """Cancel a task that is in an `async for`."""

    async def loop() -> None:
        count = 0
        async for _ in aiterate(_chat(client, cancel), overflow="keep"):
            count += 1
            if cancel.phase == "callback" and count == cancel.chunk:
                strike()

    def strike() -> None:
        ledger.strike(cancel)
        task.cancel()

    task = asyncio.create_task(loop())
    await _cancelled(task, strike, cancel, ledger, "cancelled async for")


async def _cancelled(
    task: asyncio.Task[None], strike: Callable[[], None], cancel: Cancel, ledger: Ledger, way: str
) -> None:
    if cancel.phase in _TIMED:
        await asyncio.sleep(cancel.delay)
        strike()
    done, _ = await asyncio.wait([task], timeout=PATIENCE)
    if not done:
        ledger.wrong(cancel, way, "the task never ended")
    elif task.cancelled() == (cancel.phase == "done"):
        ledger.wrong(cancel, way, "the task was not cancelled" if cancel.phase != "done" else "it was cancelled")
    elif cancel.phase == "done":
        strike()
        task.result()


async def _by_leaving_loop(client: Ollama, cancel: Cancel, ledger: Ledger) -> None:
    """Leave an `async for`, or have its iterator closed by another task."""
    items = aiterate(_chat(client, cancel), overflow="keep")

    async def close() -> None:
        ledger.strike(cancel)
        await items.aclose()

    async def close_later() -> None:
        await asyncio.sleep(cancel.delay)
        await close()

    closing = asyncio.create_task(close_later()) if cancel.phase in _TIMED else None
    count = 0
    try:
        async with asyncio.timeout(PATIENCE):
            async for _ in items:
                count += 1
                if cancel.phase == "callback" and count == cancel.chunk:
                    break
    except TimeoutError:
        ledger.wrong(cancel, "leaving async for", "the end never came")
    if closing is None:
        await close()
        await items.aclose()
    else:
        await closing


async def _by_coroutine(client: Ollama, cancel: Cancel, ledger: Ledger) -> None:
    """Dispose in a coroutine on the stream's own loop."""
    attempt = Attempt(cancel, "dispose, coroutine", ledger)
    over = asyncio.Event()
    attempt.begin(_chat(client, cancel).pipe(rx.finally_action(over.set)))
    if cancel.phase in _TIMED:
        await asyncio.sleep(cancel.delay)
    else:
        await asyncio.wait_for(over.wait(), PATIENCE)
    attempt.strike_at_home()


THREAD_WAYS: dict[str, ThreadWay] = {
    "dispose, other thread": _by_thread,
    "dispose, own loop": _by_loop,
    "dispose twice": _twice,
    "take_until": _by_stop,
    "leaving iterate": _by_leaving,
}
COROUTINE_WAYS: dict[str, CoroutineWay] = {
    "dispose, coroutine": _by_coroutine,
    "cancelled await": _by_cancelled_await,
    "cancelled async for": _by_cancelled_loop,
    "leaving async for": _by_leaving_loop,
}
