"""The parts of aiohttp and httpx-aiohttp that our own clients replace, and why."""

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
    """Return the body without the generators of httpx and httpx-aiohttp. None for another transport."""
    answer: Answer | None = response.extensions.get(_ANSWER)
    return answer.body() if answer is not None else None


class Direct(AiohttpTransport):
    """The transport of httpx-aiohttp, with aiohttp's response among the extensions of httpx's."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        response = await super().handle_async_request(request)
        # aiohttp's response was entered in this task.
        response.extensions[_ANSWER] = _entered.get()
        return response


def connector(context: ssl.SSLContext, keepalive: float) -> aiohttp.TCPConnector:
    """Return a connector of aiohttp, without a limit of connections, that reads with `_Reader`."""
    made = aiohttp.TCPConnector(limit=0, ssl=context, keepalive_timeout=keepalive)
    made._factory = partial(_reader, loop=asyncio.get_running_loop())  # noqa: SLF001 - See `_Reader`.
    return made


def _reader(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _Reader(loop)


class _Reader(ResponseHandler):
    """
    A protocol of aiohttp that parses the head of a response by itself.

    When aiohttp's parser fails, all that it has parsed of that read is lost. Without this, a bad chunk would lose the
    records before it, and the head. aiohttp offers only the factory of its connector to replace the protocol.
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
    A response of aiohttp that ends with its connection.

    If it is given up, its connection closes without sending the rest of the request. If its connection is lost, reading
    its body always raises.
    """

    _closed_future: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        _entered.set(self)
        await super().__aenter__()
        return self

    async def start(self, connection: Connection) -> Self:
        """Read the head."""
        await super().start(connection)
        # httpx-aiohttp encodes it as UTF-8, and a server may send other bytes.
        self.reason = (self.reason or "").encode("ascii", "replace").decode()
        closed = connection.protocol.closed if connection.protocol is not None else None
        if closed is not None:
            self._closed_future = closed
            closed.add_done_callback(self._lost)
            if closed not in _retrieved:
                # It outlives this response, and asyncio complains about an error that is never retrieved.
                _retrieved.add(closed)
                closed.add_done_callback(_retrieve)
        return self

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        read = self.content.read
        while data := await read(_READ):
            yield data

    def close(self) -> None:
        """Close the connection."""
        self._abort()
        super().close()

    def release(self) -> Any:
        """Close the connection, unless the response is complete and has none any more."""
        self._abort()
        return super().release()

    def _abort(self) -> None:
        if self._closed_future is not None:
            self._closed_future.remove_done_callback(self._lost)
        transport = self.connection and self.connection.transport
        if transport:
            transport.abort()

    def _lost(self, _: asyncio.Future[None]) -> None:
        # A body that stops being HTTP closes the connection, and aiohttp does not tell its reader.
        if not self.content.is_eof() and self.content.exception() is None:
            self.content.set_exception(aiohttp.ClientPayloadError("the connection was closed"))


_retrieved: WeakSet[asyncio.Future[None]] = WeakSet()


def _retrieve(closed: asyncio.Future[None]) -> None:
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
