"""What aiohttp and httpx-aiohttp need to be told, or to have mended, under our own clients."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, Self
from weakref import WeakSet

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from httpx_aiohttp import AiohttpTransport

__all__ = ("Answer", "Direct", "Pieces", "connector", "direct_body")

_PIECE = 256 * 1024
_READ = 16 * 1024
_HEAD_END = b"\r\n\r\n"
_ANSWER = "rxollama_answer"

_entered: ContextVar[Answer] = ContextVar("rxollama_entered")


def direct_body(response: httpx.Response) -> AsyncIterator[bytes] | None:
    """Return the body without the generators that httpx and httpx-aiohttp put around it, if it can be had so."""
    answer: Answer | None = response.extensions.get(_ANSWER)
    return answer.body() if answer is not None else None


class Direct(AiohttpTransport):
    """Be httpx-aiohttp's transport, which tells with a response what aiohttp's answer to it is."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        response = await super().handle_async_request(request)
        # The answer was entered in this very task.
        response.extensions[_ANSWER] = _entered.get()
        return response


def connector(context: ssl.SSLContext, keepalive: float) -> aiohttp.TCPConnector:
    """Make aiohttp's connector, without a limit, whose connections lose nothing that came before what is no HTTP."""
    made = aiohttp.TCPConnector(limit=0, ssl=context, keepalive_timeout=keepalive)
    made._factory = partial(_reader, loop=asyncio.get_running_loop())  # noqa: SLF001 - See `_Reader`.
    return made


def _reader(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _Reader(loop)


class _Reader(ResponseHandler):
    """
    Read a head by itself.

    When aiohttp's parser fails, all that it has parsed of that read is lost: with the head go the records behind it.
    aiohttp has no other place to say so than its connector's own factory.
    """

    _awaits_head = False

    def set_response_params(self, **params: Any) -> None:
        self._awaits_head = True
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if self._awaits_head and (end := data.find(_HEAD_END)) >= 0:
            self._awaits_head = False
            end += len(_HEAD_END)
            super().data_received(data[:end])
            data = data[end:]
            if not data:
                return
        super().data_received(data)


class Answer(aiohttp.ClientResponse):
    """
    Be an answer that ends when its connection does.

    Given up, it closes its connection without sending what is left of the request. When its connection is lost, who
    reads its body is told in every case.
    """

    _closed_future: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        _entered.set(self)
        await super().__aenter__()
        return self

    async def start(self, connection: Connection) -> Self:
        """Read the head."""
        await super().start(connection)
        # httpx-aiohttp writes it as UTF-8, which what a server sends need not be.
        self.reason = (self.reason or "").encode("ascii", "replace").decode()
        closed = connection.protocol.closed if connection.protocol is not None else None
        if closed is not None:
            self._closed_future = closed
            closed.add_done_callback(self._lost)
            if closed not in _heard:
                # It outlives this answer, and asyncio complains of an error that nobody heard.
                _heard.add(closed)
                closed.add_done_callback(_hear)
        return self

    async def body(self) -> AsyncIterator[bytes]:
        """Bring the body."""
        read = self.content.read
        while data := await read(_READ):
            yield data

    def close(self) -> None:
        """Give it up."""
        self._abort()
        super().close()

    def release(self) -> Any:
        """Let it go; at its end it has no connection any more."""
        self._abort()
        return super().release()

    def _abort(self) -> None:
        if self._closed_future is not None:
            self._closed_future.remove_done_callback(self._lost)
        transport = self.connection and self.connection.transport
        if transport:
            transport.abort()

    def _lost(self, _: asyncio.Future[None]) -> None:
        # What stops being HTTP in the middle closes the connection, and aiohttp tells nobody who reads.
        if not self.content.is_eof() and self.content.exception() is None:
            self.content.set_exception(aiohttp.ClientPayloadError("the connection was closed"))


_heard: WeakSet[asyncio.Future[None]] = WeakSet()


def _hear(closed: asyncio.Future[None]) -> None:
    with suppress(asyncio.CancelledError):
        closed.exception()


class Pieces(httpx.AsyncByteStream):
    """
    A large request body, sent in pieces.

    Between two pieces the loop runs, and a request that is given up is not sent to its end.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body

    @classmethod
    def of(cls, body: bytes | None) -> Pieces | bytes | None:
        """Return a large body in pieces, and any other as it is."""
        return cls(body) if body and len(body) > _PIECE else body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces."""
        for start in range(0, len(self._body), _PIECE):
            yield self._body[start : start + _PIECE]
