"""The thread of a scripted server, with its event loop, its listening socket and its connections."""

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

# Hundreds of clients may connect at the same moment.
_BACKLOG = 1024

# asyncio needs two turns of its loop from accept to `connection_made`.
_TURNS = 3


class _Connections(web.Server):
    """aiohttp's server, which adds each connection to the journal at once."""

    def __init__(self, handler: Handler, journal: Journal) -> None:
        super().__init__(handler, request_factory=_request, handler_cancellation=True, access_log=None)
        self._journal = journal

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        # A write then lasts until the kernel has all of it, so that the journal's times are those of the socket.
        transport.set_write_buffer_limits(high=0)
        self._journal.connection_opened(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._journal.connection_closed(handler)
        super().connection_lost(handler, exc)


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    # 0 is without limit. aiohttp's default of 1 MiB is less than an image.
    return web.BaseRequest(message, payload, protocol, writer, task, task.get_loop(), client_max_size=0)


class ServerThread:
    """
    The thread of one run of the server, from start to stop. Constructing it starts it.

    Args:
        host: The address to listen on.
        port: The port to listen on. 0 for any free port.
        handler: The function that answers a request.
        journal: The journal of connections.

    Attributes:
        started: The port, as soon as the server listens, or the error that prevents it.
    """

    def __init__(self, host: str, port: int, handler: Handler, journal: Journal) -> None:
        self.started: Future[int] = Future()
        self._stopping: Future[None] = Future()
        self._ended: Future[None] = Future()
        self._address = host, port
        self._handler = handler
        self._journal = journal
        self._thread = threading.Thread(target=self._run, name="scripted-ollama", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Abort all connections, end the thread and wait for it."""
        self._stopping.set_result(None)
        self._thread.join()

    async def astop(self) -> None:
        """Do what `stop` does, without blocking the caller's loop."""
        self._stopping.set_result(None)
        await asyncio.shield(asyncio.wrap_future(self._ended))
        # The thread has only its last statement left.
        self._thread.join()

    def _run(self) -> None:
        # A selector loop, whatever the policy of the process, because only its sockets can be reset.
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
        # asyncio fails if a listener closes while one of its connections is half accepted. So accept no more, and let
        # the connections finish that have begun.
        for listening in listener.sockets:
            loop.remove_reader(listening.fileno())
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        listener.close()
        self._journal.answering.clear()
        for transport in list(self._journal.connections.values()):
            transport.abort()
        # asyncio reports an aborted connection as lost in the next turn of the loop.
        await asyncio.sleep(0)
