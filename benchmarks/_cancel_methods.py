"""The methods of cancelling a chat: from threads, with the chat on the background loop, and from coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from _cancel import PATIENCE, CancelLog, Phase, PlannedCancel, WatchedChat
from _client_pair import background_loop
from reactivex import Observable
from reactivex import operators as rx
from reactivex.subject import Subject

from rxollama import ChatChunk, Ollama, aiterate, iterate
from rxollama import operators as op

__all__ = ("COROUTINE_METHODS", "THREAD_METHODS", "CoroutineMethod", "ThreadMethod")

ThreadMethod: TypeAlias = Callable[[Ollama, PlannedCancel, CancelLog], None]
CoroutineMethod: TypeAlias = Callable[[Ollama, PlannedCancel, CancelLog], Coroutine[Any, Any, None]]

_PROMPT = "Why is the sky blue?"
_TIMED: frozenset[Phase] = frozenset({"connecting", "sending", "silent", "streaming", "stalled"})


def _chat(client: Ollama, planned: PlannedCancel) -> Observable[ChatChunk]:
    return client.chat(planned.model, _PROMPT)


def _call_later(seconds: float, cancel: Callable[[], None]) -> None:
    """Call a function on the background loop after some seconds."""
    loop = background_loop()
    loop.call_soon_threadsafe(lambda: loop.call_later(seconds, cancel))


def _by_thread(client: Ollama, planned: PlannedCancel, log: CancelLog) -> None:
    """Dispose from the thread that subscribed, which is not the thread of the stream."""
    chat = WatchedChat(planned, "dispose, other thread", log)
    chat.subscribe(_chat(client, planned))
    chat.wait_for_moment()
    chat.cancel()


def _by_loop(client: Ollama, planned: PlannedCancel, log: CancelLog) -> None:
    """Dispose on the stream's own loop."""
    chat = WatchedChat(planned, "dispose, own loop", log)
    chat.subscribe(_chat(client, planned))
    if planned.phase in _TIMED:
        _call_later(planned.delay, chat.cancel_on_its_loop)
    else:
        chat.wait_for_moment()
        background_loop().call_soon_threadsafe(chat.cancel_on_its_loop)
    chat.wait_for(chat.cancelled, "the loop's turn")


def _by_two_threads(client: Ollama, planned: PlannedCancel, log: CancelLog) -> None:
    """Dispose from two threads at the same moment, and then again."""
    chat = WatchedChat(planned, "dispose twice", log)
    chat.subscribe(_chat(client, planned))
    chat.wait_for_moment()
    background_loop().call_soon_threadsafe(chat.cancel)
    chat.cancel(times=2)


def _by_take_until(client: Ollama, planned: PlannedCancel, log: CancelLog) -> None:
    """Make `take_until` dispose, through another observable."""
    chat, stop = WatchedChat(planned, "take_until", log), Subject[None]()
    over = threading.Event()
    _chat(client, planned).pipe(
        rx.do_action(lambda _: stop.on_next(None) if planned.phase == "callback" else None), rx.take_until(stop)
    ).subscribe(lambda _: None, lambda error: log.add_error(planned, chat.method, repr(error)), over.set)
    if planned.phase in _TIMED:
        chat.wait_for_moment()
        chat.cancel(lambda: stop.on_next(None))
    elif planned.phase == "callback":
        log.add_moment(planned)
    chat.wait_for(over, "the end")


def _by_leaving_for(client: Ollama, planned: PlannedCancel, log: CancelLog) -> None:
    """Leave a `for` loop, or close its iterator while it waits."""
    items = iterate(_chat(client, planned), overflow="keep")
    chat = WatchedChat(planned, "leaving iterate", log)
    if planned.phase in _TIMED:
        _call_later(planned.delay, lambda: chat.cancel(items.close))
    for count, _ in enumerate(items, 1):
        if planned.phase == "callback" and count == planned.chunk:
            break
    if planned.phase in _TIMED:
        chat.wait_for(chat.cancelled, "the loop's turn")
    else:
        chat.cancel(items.close)


async def _by_cancelled_await(client: Ollama, planned: PlannedCancel, log: CancelLog) -> None:
    """Cancel a task that awaits a chat."""
    count = 0

    def on_next(_: ChatChunk) -> None:
        nonlocal count
        count += 1
        if planned.phase == "callback" and count == planned.chunk:
            cancel()

    async def wait() -> None:
        await _chat(client, planned).pipe(rx.do_action(on_next), op.collect())

    def cancel() -> None:
        log.add_moment(planned)
        task.cancel()

    task = asyncio.create_task(wait())
    await _cancelled(task, cancel, planned, log, "cancelled await")


async def _by_cancelled_async_for(client: Ollama, planned: PlannedCancel, log: CancelLog) -> None:
    """Cancel a task that is in an `async for` loop."""

    async def loop() -> None:
        count = 0
        async for _ in aiterate(_chat(client, planned), overflow="keep"):
            count += 1
            if planned.phase == "callback" and count == planned.chunk:
                cancel()

    def cancel() -> None:
        log.add_moment(planned)
        task.cancel()

    task = asyncio.create_task(loop())
    await _cancelled(task, cancel, planned, log, "cancelled async for")


async def _cancelled(
    task: asyncio.Task[None], cancel: Callable[[], None], planned: PlannedCancel, log: CancelLog, method: str
) -> None:
    if planned.phase in _TIMED:
        await asyncio.sleep(planned.delay)
        cancel()
    done, _ = await asyncio.wait([task], timeout=PATIENCE)
    if not done:
        log.add_error(planned, method, "the task never ended")
    elif task.cancelled() == (planned.phase == "done"):
        log.add_error(planned, method, "the task was not cancelled" if planned.phase != "done" else "it was cancelled")
    elif planned.phase == "done":
        cancel()
        task.result()


async def _by_leaving_async_for(client: Ollama, planned: PlannedCancel, log: CancelLog) -> None:
    """Leave an `async for` loop, or close its iterator from another task."""
    items = aiterate(_chat(client, planned), overflow="keep")

    async def close() -> None:
        log.add_moment(planned)
        await items.aclose()

    async def close_later() -> None:
        await asyncio.sleep(planned.delay)
        await close()

    closing = asyncio.create_task(close_later()) if planned.phase in _TIMED else None
    count = 0
    try:
        async with asyncio.timeout(PATIENCE):
            async for _ in items:
                count += 1
                if planned.phase == "callback" and count == planned.chunk:
                    break
    except TimeoutError:
        log.add_error(planned, "leaving async for", "the end never came")
    if closing is None:
        await close()
        await items.aclose()
    else:
        await closing


async def _by_coroutine(client: Ollama, planned: PlannedCancel, log: CancelLog) -> None:
    """Dispose in a coroutine on the stream's own loop."""
    chat = WatchedChat(planned, "dispose, coroutine", log)
    over = asyncio.Event()
    chat.subscribe(_chat(client, planned).pipe(rx.finally_action(over.set)))
    if planned.phase in _TIMED:
        await asyncio.sleep(planned.delay)
    else:
        await asyncio.wait_for(over.wait(), PATIENCE)
    chat.cancel_on_its_loop()


THREAD_METHODS: dict[str, ThreadMethod] = {
    "dispose, other thread": _by_thread,
    "dispose, own loop": _by_loop,
    "dispose twice": _by_two_threads,
    "take_until": _by_take_until,
    "leaving iterate": _by_leaving_for,
}
COROUTINE_METHODS: dict[str, CoroutineMethod] = {
    "dispose, coroutine": _by_coroutine,
    "cancelled await": _by_cancelled_await,
    "cancelled async for": _by_cancelled_async_for,
    "leaving async for": _by_leaving_async_for,
}
