"""Requests over HTTP, with one httpx client for each event loop."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from platform import python_version
from typing import NamedTuple
from weakref import WeakSet, finalize

import httpx

from rxollama._http._connection_pool import ConnectionPool
from rxollama._http._given_client import client_error, refused
from rxollama._http._http_response import HttpResponse
from rxollama._http._network_errors import FAULTS, failure
from rxollama._http._proxy import proxy_transport
from rxollama._http._request_body import large_body
from rxollama._runtime import Job, never_collect, run_jobs, run_jobs_blocking, start_jobs
from rxollama.errors import ClientClosedError, ConnectionFailedError, ProtocolError
from rxollama.transport import Request, Response

__all__ = ("HttpTransport",)

_CONNECT_SECONDS = 10.0
_KEEPALIVE_SECONDS = 60.0
_DROPPED_SECONDS = 1.0
_AGENT = f"rxollama/{version('rxollama')} python/{python_version()}"

_HTTPX_DEFAULT = httpx.Timeout(5.0)
_NO_TARGET = "Invalid URL in location header"

# httpx imports certifi late, which would block the loop of the first request to an https server.
httpx.create_ssl_context(verify=False)


class _Kept(NamedTuple):
    client: httpx.AsyncClient
    keeper: AsyncGenerator[httpx.AsyncClient, None]


class HttpTransport:
    """
    The HTTP transport.

    Connections belong to an event loop, so each loop has an httpx client of its own, which closes with the loop. A
    client that was passed in is used on every loop and never closed here.

    Args:
        base_url: Scheme, host, port and path prefix of the server.
        api_key: The key, sent as Bearer to this server only.
        headers: More headers for each request. An `authorization` among them replaces the key.
        client: A client to use instead. Its timeouts apply, unless they are httpx's default of five seconds, in which
            no model loads.
        connect_seconds: The limit for connecting. Nothing else has one, since a model may load for minutes before the
            first byte.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str = "",
        headers: Mapping[str, str] | None = None,
        client: httpx.AsyncClient | None = None,
        connect_seconds: float = _CONNECT_SECONDS,
    ) -> None:
        self._base_url = base_url
        self._timeout = httpx.Timeout(None, connect=connect_seconds)
        self._given = client
        # Unlike a dict, httpx's headers do not show the key in the locals of a traceback.
        self._headers = httpx.Headers({"user-agent": _AGENT, "accept-encoding": "identity"})
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._headers.update(headers)
        self._kept: dict[asyncio.AbstractEventLoop, _Kept] = {}
        self._closed = False
        _made.add(self)
        # It keeps the clients alive until they are closed: asyncio warns of a connection that is collected open.
        finalize(self, _close_dropped, self._kept).atexit = False

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Response, None]:
        """Send a request; see `rxollama.transport.Transport`."""
        with self._translating("headers"):
            client = self._given or await self._client()
            is_ours = self._given is None or client.timeout == _HTTPX_DEFAULT
            timeout = self._timeout_for(request) if is_ours else client.timeout
            large = large_body(request.body)
            built = client.build_request(
                request.method,
                self._base_url + request.path,
                content=request.body if large is None else None,
                headers=self._headers_for(request.body),
                timeout=timeout,
            )
            if large is not None:
                # As `content`, it would be wrapped in an async generator, which a request that is given up leaves open.
                built.stream = large
            sent = await _send(client, built, is_own=self._given is None)
        response = HttpResponse(sent, self._base_url, partial(self._translating, "body"))
        try:
            yield response
        except asyncio.CancelledError:
            # httpx awaits as it closes. Another cancel, as when the loop ends, would interrupt that for good.
            if (stream := sent.extensions.get("network_stream")) is not None:
                with suppress(*FAULTS):
                    await stream.aclose()
            raise
        finally:
            # The response is complete or given up. A connection that fails to close changes nothing.
            with suppress(*FAULTS):
                await sent.aclose()
            await response.aclose()

    def _timeout_for(self, request: Request) -> httpx.Timeout:
        limit = request.connect_timeout
        return self._timeout if limit is None else httpx.Timeout(None, connect=limit)

    def _headers_for(self, body: bytes | None) -> httpx.Headers:
        headers = self._headers
        if body is not None:
            headers = headers.copy()
            headers.update({"content-type": "application/json", "content-length": str(len(body))})
        return headers

    @contextmanager
    def _translating(self, phase: str) -> Generator[None, None, None]:
        """Raise our own error for a fault of the network, or of the caller's client, within."""
        # An exception that was being handled when the loop started is the context of all that are raised on it.
        around = sys.exc_info()[1]
        try:
            yield
        except Exception as fault:
            given = self._given
            if given is not None and (raised := client_error(given, fault, self._base_url, around)) is not None:
                raise raised from raised.__cause__
            if not isinstance(fault, FAULTS):
                raise
            error = failure(fault, phase, self._base_url, around)
            if self._closed:
                raise ClientClosedError("the client was closed") from None
            raise error from error.__cause__

    async def _client(self) -> httpx.AsyncClient:
        if self._closed:
            raise ClientClosedError("the client was closed: make a new one")
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        if kept is None:
            for ended in [known for known in list(self._kept) if known.is_closed()]:
                self._kept.pop(ended, None)
            keeper = _keep(self._new_client())
            kept = self._kept[loop] = _Kept(await anext(keeper), keeper)
        return kept.client

    def _new_client(self) -> httpx.AsyncClient:
        transport = proxy_transport(self._base_url, _KEEPALIVE_SECONDS)
        if transport is None:
            # Loading the certificates takes longer than all the rest, so it is done for https only.
            context = self._context() if self._base_url.startswith("https:") else None
            transport = ConnectionPool(context, _KEEPALIVE_SECONDS)
        # Cookies of no domain are allowed. A proxy may set some, and one subscription must not change the next.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        return httpx.AsyncClient(transport=transport, timeout=self._timeout, cookies=cookies)

    def _context(self) -> ssl.SSLContext:
        try:
            return httpx.create_ssl_context()
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror
            raise ConnectionFailedError(
                f"cannot connect to {self._base_url}: the certificates to trust cannot be loaded ({reason}); "
                "set SSL_CERT_FILE to a file of certificates, or unset it"
            ) from error

    async def aclose(self) -> None:
        """Close the connections on every loop, and wait until they are closed."""
        await run_jobs(self._closing())

    def close(self) -> None:
        """Close the connections on every loop, and wait for it unless that would block a loop."""
        run_jobs_blocking(self._closing())

    def _closing(self) -> list[Job]:
        self._closed = True
        return _jobs(self._kept)

    def forget(self) -> None:
        """Forget the connections of the parent, in a forked child."""
        never_collect(self._kept.copy())
        self._kept.clear()


async def _send(client: httpx.AsyncClient, request: httpx.Request, *, is_own: bool) -> httpx.Response:
    try:
        return await client.send(request, stream=True, follow_redirects=False)
    except httpx.HTTPStatusError as raised:
        if (response := refused(raised, request)) is None:
            raise
        return response
    except (httpx.RemoteProtocolError, httpx.InvalidURL) as raised:
        # httpx reads the target of a redirect also if it is not followed. The request's own URL was read before.
        if not (str(raised).startswith(_NO_TARGET) or (is_own and isinstance(raised, httpx.InvalidURL))):
            raise
    raise ProtocolError(
        "location: expected a URL, got a redirect to what is not one; "
        "check that OLLAMA_HOST is the address of an Ollama server"
    )


async def _keep(client: httpx.AsyncClient) -> AsyncGenerator[httpx.AsyncClient, None]:
    """
    Yield an open client, and close it when the generator is closed.

    A loop that ends closes its async generators: `asyncio.run` calls `loop.shutdown_asyncgens`. At no other moment can
    connections be closed for a client that nobody closed.
    """
    async with client:
        yield client


_made: WeakSet[HttpTransport] = WeakSet()


def _forget_all() -> None:
    for transport in tuple(_made):
        transport.forget()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks.
    os.register_at_fork(after_in_child=_forget_all)


def _jobs(clients: dict[asyncio.AbstractEventLoop, _Kept]) -> list[Job]:
    """Remove the clients, and return the jobs that close them."""
    taken = clients.copy()
    clients.clear()
    return [(loop, partial(_let_go, kept)) for loop, kept in taken.items()]


def _close_dropped(clients: dict[asyncio.AbstractEventLoop, _Kept]) -> None:
    """
    Close the clients of a transport that was dropped; the garbage collector must not wait for it.

    A client is often dropped as its program ends. A loop that ends closes its clients itself, and must not find them
    half closed, so that it gets time to end.
    """
    for loop, job in _jobs(clients):
        # A loop that was closed closed its clients.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(loop.call_later, _DROPPED_SECONDS, start_jobs, [(loop, job)])


async def _let_go(kept: _Kept) -> None:
    with suppress(*FAULTS):
        await kept.keeper.aclose()
