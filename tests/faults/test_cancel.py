"""Requests that are left in every phase, in every way and over both transports."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

import pytest
from faults_cases import WORDS, Client, background_is_idle, no_tasks_left, owned, record, sockets_to, words_of
from heard import PATIENCE, Heard, settle
from reactivex import Observable, Subject
from reactivex import operators as rx

from rxollama import Ollama, aiterate, iterate
from rxollama import operators as op
from rxollama.messages import ChatChunk
from rxollama.testing import Reply, ScriptedOllama


class Phase(NamedTuple):
    """The phase in which a request is left: the reply, and the number of chunks that arrived."""

    reply: Reply
    chunks: int


PHASES = {
    "waiting for headers": Phase(Reply.answer(WORDS).stalled(0), 0),
    "between chunks": Phase(Reply.answer(WORDS).stalled(2), 2),
    "within a chunk": Phase(Reply.records([record(0), record(1)[:40]]).stalled(2), 1),
    "streaming": Phase(Reply.answer(["word "] * 100_000, gap=0.001), 20),
    "after done": Phase(Reply.answer(WORDS).stalled(4), 4),
}


class Stage(NamedTuple):
    """The arguments of a way to leave a request."""

    ollama: Ollama
    server: ScriptedOllama
    http_client: Client
    chunks: int

    @property
    def chat(self) -> Observable[ChatChunk]:
        """The request."""
        return self.ollama.chat("m", "Count.")


Way: TypeAlias = Callable[[Stage], None]


def dispose(stage: Stage) -> None:
    """Dispose on another thread than the stream's."""
    heard = Heard(stage.chat).wait_items(stage.chunks)
    stage.server.wait_for(1)
    heard.dispose()
    settle()
    came = len(heard.items)
    stage.server.requests[0].wait_left()
    assert len(heard.items) == came
    assert not heard.over.is_set()


def dispose_operators(stage: Stage) -> None:
    """Dispose a stream behind operators with timers and several subscribers."""
    paced = stage.chat.pipe(op.timeouts(first_chunk=60, gap=60, total=60), op.retry(), op.coalesce(30), op.share())
    first, second = Heard(paced).wait_items(min(stage.chunks, 1)), Heard(paced)
    stage.server.wait_for(1)
    first.dispose()
    second.dispose()
    assert not first.over.is_set()


def take_until(stage: Stage) -> None:
    """Complete the stream by another observable."""
    stop: Subject[None] = Subject()
    heard = Heard(stage.chat.pipe(rx.take_until(stop))).wait_items(stage.chunks)
    stage.server.wait_for(1)
    stop.on_next(None)
    assert heard.wait().completed


def leave_for(stage: Stage) -> None:
    """Leave a `for`. If no chunk arrives, another thread closes its iterator."""
    items = iterate(stage.chat, overflow="keep")
    came: list[ChatChunk] = []

    def consume() -> None:
        for chunk in items:
            came.append(chunk)
            if len(came) == stage.chunks:
                break

    consuming = threading.Thread(target=consume)
    consuming.start()
    stage.server.wait_for(1)
    if stage.chunks:
        consuming.join(PATIENCE)
    items.close()
    consuming.join(PATIENCE)
    assert len(came) == stage.chunks


def drop_for(stage: Stage) -> None:
    """Drop an iterator without closing it."""
    items = iterate(stage.chat, overflow="keep")
    assert len([next(items) for _ in range(stage.chunks)]) == stage.chunks
    del items


def in_asyncio(work: Callable[[Ollama, Stage], Coroutine[Any, Any, None]]) -> Way:
    """Leave on an event loop of the caller's own, which has no task afterwards."""

    async def main(stage: Stage) -> None:
        async with owned(stage.server.url, stage.http_client) as ollama:
            await work(ollama, stage)
            await no_tasks_left()
            await asyncio.to_thread(stage.server.requests[0].wait_left)

    return lambda stage: asyncio.run(main(stage))


async def cancel_await(ollama: Ollama, stage: Stage) -> None:
    """Cancel the task that awaits."""
    came: asyncio.Queue[ChatChunk] = asyncio.Queue()

    async def ask() -> None:
        await ollama.chat("m", "Count.").pipe(rx.do_action(came.put_nowait))

    await cancel(ask(), stage, came)


async def cancel_async_for(ollama: Ollama, stage: Stage) -> None:
    """Cancel the task that iterates."""
    came: asyncio.Queue[ChatChunk] = asyncio.Queue()

    async def ask() -> None:
        async for chunk in aiterate(ollama.chat("m", "Count."), overflow="keep"):
            came.put_nowait(chunk)

    await cancel(ask(), stage, came)


async def cancel(ask: Coroutine[Any, Any, None], stage: Stage, came: asyncio.Queue[ChatChunk]) -> None:
    """Cancel a task after the chunks of the phase have arrived."""
    task = asyncio.create_task(ask)
    for _ in range(stage.chunks):
        await asyncio.wait_for(came.get(), PATIENCE)
    await asyncio.to_thread(stage.server.wait_for, 1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def leave_async_for(ollama: Ollama, stage: Stage) -> None:
    """Leave an `async for`. If no chunk arrives, a timeout around it ends it."""
    count = 0
    expiring: asyncio.Task[None] | None = None

    async def expire(limit: asyncio.Timeout) -> None:
        await asyncio.to_thread(stage.server.wait_for, 1)
        limit.reschedule(0)

    with suppress(TimeoutError):
        async with asyncio.timeout(None) as limit:
            expiring = None if stage.chunks else asyncio.create_task(expire(limit))
            async for _ in aiterate(ollama.chat("m", "Count."), overflow="keep"):
                count += 1
                if count == stage.chunks:
                    break
    assert count == stage.chunks
    if expiring is not None:
        await expiring


WAYS: dict[str, Way] = {
    "dispose": dispose,
    "dispose operators": dispose_operators,
    "take_until": take_until,
    "leave for": leave_for,
    "drop for": drop_for,
    "cancel await": in_asyncio(cancel_await),
    "cancel async for": in_asyncio(cancel_async_for),
    "leave async for": in_asyncio(leave_async_for),
}


# An iterator that waits for its first chunk cannot be dropped: whoever waits holds it.
LEAVINGS = [
    pytest.param(phase, way, id=f"{when}-{how}")
    for when, phase in PHASES.items()
    for how, way in WAYS.items()
    if phase.chunks or way is not drop_for
]


@pytest.mark.parametrize(("phase", "way"), LEAVINGS)
def test_leaving(ollama: Ollama, server: ScriptedOllama, http_client: Client, phase: Phase, way: Way) -> None:
    """In every phase and way, the server sees that the client leaves, and no socket, task or thread stays."""
    server.enqueue(phase.reply)
    way(Stage(ollama, server, http_client, phase.chunks))
    (seen,) = server.requests
    seen.wait_left()
    server.wait_closed()
    background_is_idle()
    assert sockets_to(server.port) == []


def test_forgotten(ollama: Ollama, server: ScriptedOllama) -> None:
    """A client keeps nothing of a stream that was left."""
    server.enqueue(Reply.answer(WORDS).stalled(2))
    heard = Heard(ollama.chat("m", "Count.")).wait_items(2)
    subscriber = weakref.ref(heard)
    heard.dispose()
    server.requests[0].wait_left()
    background_is_idle()
    del heard
    gc.collect()
    assert subscriber() is None


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_next_request(ollama: Ollama, server: ScriptedOllama, http_client: Client, way: Way) -> None:
    """The same client can send another request after one was left, if its loop is still there."""
    server.enqueue(Reply.answer(WORDS).stalled(2), Reply.answer("Here I am."))
    way(Stage(ollama, server, http_client, 2))
    if http_client is None or not http_client.is_closed:
        (last,) = Heard(ollama.chat("m", "Again.").pipe(op.collect())).wait().items
        assert words_of(last) == ("", "Here I am.", ())
