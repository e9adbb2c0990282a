"""A transport of httpx with a pool of connections, without a limit of their number."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Self, TypeAlias

import httpx

from rxollama._http._connection import Connection, Take
from rxollama._http._dialing import dial

__all__ = ("ConnectionPool", "DirectBody", "direct_body")

_BODY = "rxollama_body"

_Origin: TypeAlias = tuple[bytes, bytes, int]


def direct_body(response: httpx.Response) -> DirectBody | None:
    """Return the body of a response of the pool, or None for another transport's response."""
    body: DirectBody | None = response.extensions.get(_BODY)
    return body


class ConnectionPool(httpx.AsyncBaseTransport):
    """
    A transport of httpx that keeps connections for the next requests.

    Args:
        context: The settings of TLS, or None if no server of this pool speaks https.
        keepalive: The number of seconds after which an idle connection closes.
    """

    def __init__(self, context: ssl.SSLContext | None, keepalive: float) -> None:
        self._context = context
        self._keepalive = keepalive
        # An ordered set: the connection that was used last is used first.
        self._idle: dict[_Origin, dict[Connection, None]] = {}
        self._connections: set[Connection] = set()
        # The limit of each attempt to connect, and the event that says that it is over.
        self._attempts: dict[asyncio.Timeout, asyncio.Event] = {}
        self._is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and wait for the head of its response."""
        url = request.url
        origin = (url.raw_scheme, url.raw_host, url.port or (443 if url.scheme == "https" else 80))
        connection = self._take_idle(origin) or await self._connect(origin, request)
        try:
            head = await connection.send(request)
        except BaseException:
            connection.abort()
            raise
        body = DirectBody(connection, partial(self._release, origin, connection))
        return httpx.Response(
            head.status,
            headers=head.headers,
            stream=body,
            extensions={"http_version": b"HTTP/" + head.version, "reason_phrase": head.reason, _BODY: body},
        )

    async def aclose(self) -> None:
        """Close all connections, give up those that are being made, and wait until they are closed."""
        self._is_closed = True
        now = asyncio.get_running_loop().time()
        for limit in self._attempts:
            # One that has expired by itself cannot be changed.
            if not limit.expired():
                limit.reschedule(now)
        attempts = [over.wait() for over in self._attempts.values()]
        await asyncio.gather(*attempts, *(connection.aclose() for connection in tuple(self._connections)))

    def _take_idle(self, origin: _Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            if connection.is_usable():
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: _Origin, request: httpx.Request) -> Connection:
        scheme, host, port = origin
        connection = Connection(partial(self._forget, origin))
        limit, over = asyncio.timeout(request.extensions.get("timeout", {}).get("connect")), asyncio.Event()
        try:
            async with limit:
                self._attempts[limit] = over
                # From the call on, the socket is the loop's, which closes it if the handshake fails.
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    sock=await dial(host, port),
                    ssl=self._context if scheme == b"https" else None,
                    server_hostname=host.decode("ascii").rstrip(".") if scheme == b"https" else None,
                )
        except TimeoutError as error:
            connection.abort()
            raise httpx.ConnectTimeout(str(error)) from error
        except (OSError, ExceptionGroup) as error:
            raise httpx.ConnectError(str(error)) from error
        except BaseException:
            connection.abort()
            raise
        finally:
            del self._attempts[limit]
            over.set()
        if self._is_closed:
            connection.abort()
            raise RuntimeError("the client was closed")
        # uvloop does not tell its end to a connection that is cancelled before this moment.
        if not connection.is_lost:
            self._connections.add(connection)
        return connection

    def _release(self, origin: _Origin, connection: Connection) -> None:
        if connection.finish(self._keepalive):
            self._idle.setdefault(origin, {})[connection] = None

    def _forget(self, origin: _Origin, connection: Connection) -> None:
        self._connections.discard(connection)
        self._idle.get(origin, {}).pop(connection, None)


class DirectBody(httpx.AsyncByteStream, AsyncIterator[bytes]):
    """
    The body of a response of the pool.

    Args:
        connection: The connection that it arrives on.
        release: Called once, to return the connection to the pool.
    """

    def __init__(self, connection: Connection, release: Callable[[], None]) -> None:
        self._connection = connection
        self._release: Callable[[], None] | None = release

    def __aiter__(self) -> Self:
        """Yield the pieces of the body that nobody has read."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece."""
        if data := await self._open().read():
            return data
        raise StopAsyncIteration

    async def deliver(self, take: Take) -> BaseException | None:
        """Hand the body to a function; see `Connection.deliver`."""
        return await self._open().deliver(take)

    async def aclose(self) -> None:
        """End the response. The connection serves the next request, or is closed at once."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def _open(self) -> Connection:
        # Afterwards the connection may carry another response.
        if self._release is None:
            raise httpx.StreamClosed
        return self._connection
