"""The client of the threads and the client of the coroutines."""

from __future__ import annotations

import asyncio
from functools import cache

import httpx
from _sources import InMemory
from reactivex import operators as rx

from rxollama import Ollama, run

__all__ = ("ClientPair", "background_loop")


@cache
def background_loop() -> asyncio.AbstractEventLoop:
    """Return the loop of the streams that are subscribed without a running one. Call it outside a loop at first."""
    chat = Ollama(transport=InMemory([b'{"done":true}'])).chat("m", "x")
    return run(chat.pipe(rx.map(lambda _: asyncio.get_running_loop())))


class ClientPair:
    """
    A client for streams on the background loop, and one for streams on the loop of their coroutine.

    Args:
        url: The server's address.
        plain: Whether each uses a plain `httpx.AsyncClient`, which belongs to one loop.
    """

    def __init__(self, url: str, *, plain: bool) -> None:
        self._background = background_loop()
        self._passed = (httpx.AsyncClient(), httpx.AsyncClient()) if plain else (None, None)
        self.of_threads, self.of_tasks = (Ollama(url, http_client=passed) for passed in self._passed)

    def close(self) -> None:
        """End all streams at once."""
        self.of_threads.close()
        self.of_tasks.close()

    async def aclose(self) -> None:
        """Close the clients, each on its own loop. Call it on the loop of the coroutines."""
        await self.of_threads.aclose()
        await self.of_tasks.aclose()
        for passed, loop in zip(self._passed, (self._background, asyncio.get_running_loop()), strict=True):
            if passed is not None:
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(passed.aclose(), loop))
