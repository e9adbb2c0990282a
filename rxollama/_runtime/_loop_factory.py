"""The event loop that the background thread runs: uvloop's if it is installed, else asyncio's."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

try:
    from uvloop import Loop
except ImportError:
    _kind: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:

    class _Loop(Loop):
        """
        The event loop of uvloop, with names resolved on threads of Python.

        uvloop resolves them, and even plain addresses, on libuv's thread pool. A forked child has none of its threads,
        but libuv waits for them as the child exits, which ends in SIGSEGV.
        """

        async def getaddrinfo(
            self,
            host: Any,
            port: Any,
            *,
            family: int = 0,
            type: int = 0,  # noqa: A002 - asyncio's own name.
            proto: int = 0,
            flags: int = 0,
        ) -> list[Any]:
            """Return the addresses of a name."""
            # A plain address needs no thread: the system is not asked for it.
            with suppress(socket.gaierror):
                return socket.getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
            found = _on_a_thread(partial(socket.getaddrinfo, host, port, family, type, proto, flags))
            return await asyncio.wrap_future(found, loop=self)

    _kind = _Loop

__all__ = ("new_loop",)


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop."""
    return _kind()


def _on_a_thread(ask: Callable[[], list[Any]]) -> Future[list[Any]]:
    """
    Return the future of a call on a thread of its own.

    The threads of an executor would stay. Python also waits for them at exit, even if no name server answers. It does
    not wait for a daemon thread.
    """
    future: Future[list[Any]] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(ask())
        except Exception as error:  # noqa: BLE001 - It is raised where the future is awaited.
            future.set_exception(error)

    threading.Thread(target=run, name="rxollama-resolver", daemon=True).start()
    return future
