"""Requests that are left twice: by dispose, and by closing the client or the end of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
import pytest
from faults_cases import WORDS, Client, no_tasks_left, until_sockets
from heard import PATIENCE, Heard
from reactivex import abc

from rxollama import Ollama
from rxollama.testing import Reply, ScriptedOllama

STALLED = Reply.answer(WORDS).stalled(2)
TURNS = range(12)


async def close_client(ollama: Ollama) -> None:
    """Close the client."""
    ollama.close()


async def end_loop(_: Ollama) -> None:
    """Cancel every task, as `asyncio.run` does at its end."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def begun(ollama: Ollama) -> abc.DisposableBase:
    """Send a request, wait for its first chunk, and return the subscription."""
    came = asyncio.Event()
    subscription = ollama.chat("m", "Count.").subscribe(lambda _: came.set())
    await asyncio.wait_for(came.wait(), PATIENCE)
    return subscription


@pytest.mark.parametrize("again", [close_client, end_loop])
async def test_some_turns_later(
    server: ScriptedOllama,
    http_client: Client,
    again: Callable[[Ollama], Awaitable[None]],
) -> None:
    """The socket of a disposed stream is closed, however soon everything else ends."""
    for turns in TURNS:
        server.enqueue(STALLED)
        client = None if http_client is None else httpx.AsyncClient()
        ollama = Ollama(server.url, http_client=client)
        subscription = await begun(ollama)
        subscription.dispose()
        for _ in range(turns):
            await asyncio.sleep(0)
        with suppress(asyncio.CancelledError):
            await again(ollama)
        await no_tasks_left()
        await until_sockets(server.port, [])
        await ollama.aclose()
        if client is not None:
            await client.aclose()


def test_from_outside(server: ScriptedOllama, http_client: Client) -> None:
    """A client that is closed on another thread right after a dispose closes the connection."""
    for _ in range(10):
        server.enqueue(STALLED)
        ollama = Ollama(server.url, http_client=http_client)
        heard = Heard(ollama.chat("m", "Count.")).wait_items(2)
        heard.dispose()
        ollama.close()
        server.requests[-1].wait_left()
        assert not heard.over.is_set()
