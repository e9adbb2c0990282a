"""The thread that a scripted server lives in: its loop, its listening socket, its connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeAlias

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from rxollama.testing._journal import Journal

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# Clients by the hundred may knock at the same moment.
_BACKLOG = 1024

# From accept to `connection_made` asyncio takes two turns of its loop.
_TURNS = 3


class _Connections(web.Server):
    """aiohttp's server, which tells the journal of each connection at once."""

    def __init__(self, handler: Handler, journal: Journal) -> None:
        super().__init__(handler, request_factory=_request, handler_cancellation=True, access_log=None)
        self._journal = journal

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        # A write is held up for as long as the kernel does not take it all: nothing hides in our own buffer.
        transport.set_write_buffer_limits(high=0)
        self._journal.opened(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._journal.closed(handler)
        super().connection_lost(handler, exc)


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    # Zero is no limit: aiohttp's own of 1 MiB is less than a picture.
    return web.BaseRequest(message, payload, protocol, writer, task, task.get_loop(), client_max_size=0)


class ServerThread:
    """
    One life of the server, from start to stop; constructing it starts it.

    Args:
        host: The address to listen on.
        port: The port to listen on; 0 for any that is free.
        handler: What answers a request.
        journal: Where to note connections.

    Attributes:
        started: The port, as soon as the server listens there, or why it does not.
    """

    def __init__(self, host: str, port: int, handler: Handler, journal: Journal) -> None:
        self.started: Future[int] = Future()
        self._stopping: Future[None] = Future()
        self._ended: Future[None] = Future()
        self._address = host, port
        self._handler = handler
        self._journal = journal
        self._thread = threading.Thread(target=self._live, name="scripted-ollama", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Cut all connections, end the thread and wait for it."""
        self._stopping.set_result(None)
        self._thread.join()

    async def astop(self) -> None:
        """Do as `stop` does, and leave the caller's loop free meanwhile."""
        self._stopping.set_result(None)
        await asyncio.shield(asyncio.wrap_future(self._ended))
        # What is left of the thread is its last statement.
        self._thread.join()

    def _live(self) -> None:
        # A loop of this kind, whatever the policy of the process: its sockets can be reset.
        try:
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve())
        finally:
            self._ended.set_result(None)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        server = _Connections(self._handler, self._journal)
        try:
            listener = await loop.create_server(server, *self._address, backlog=_BACKLOG)
        except (OSError, OverflowError) as error:
            self.started.set_exception(error)
            return
        self.started.set_result(listener.sockets[0].getsockname()[1])
        await asyncio.wrap_future(self._stopping)
        # asyncio fails on a connection that is half accepted when its listener closes: accept no more, and
        # let those come up that have begun.
        for listening in listener.sockets:
            loop.remove_reader(listening.fileno())
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        listener.close()
        self._journal.answering.clear()
        for transport in list(self._journal.connections.values()):
            transport.abort()
        # An aborted connection is lost at the loop's next turn.
        await asyncio.sleep(0)
