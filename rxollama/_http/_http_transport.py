"""Requests over HTTP, with one httpx client for each event loop."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from platform import python_version
from typing import NamedTuple, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet, finalize

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from rxollama._http._aiohttp import Answer, Direct, Pieces, connector, direct_body
from rxollama._http._network_errors import FAULTS, failure
from rxollama._runtime import Job, never_collect, run_jobs, run_jobs_blocking, start_jobs
from rxollama.errors import ClientClosedError, ConnectionFailedError
from rxollama.transport import Request, Response

__all__ = ("HttpTransport",)

_CONNECT_SECONDS = 10.0
_KEEPALIVE_SECONDS = 60.0
_DROPPED_SECONDS = 1.0
_AGENT = f"rxollama/{version('rxollama')} python/{python_version()}"

_HTTPX_DEFAULT = httpx.Timeout(5.0)


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
        self._headers = {"user-agent": _AGENT, "accept-encoding": "identity"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._headers.update({name.lower(): value for name, value in (headers or {}).items()})
        self._kept: dict[asyncio.AbstractEventLoop, _Kept] = {}
        self._closed = False
        _made.add(self)
        # It keeps the clients alive until they are closed: aiohttp warns of one that is collected open.
        finalize(self, _close_dropped, self._kept).atexit = False

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Response, None]:
        """Send a request; see `rxollama.transport.Transport`."""
        url = self._base_url + request.path
        headers, content = self._headers, request.body
        if content is not None:
            headers = {**headers, "content-type": "application/json", "content-length": str(len(content))}
        # The loop first sees which idle connections the server has closed, so that none of them is used.
        await asyncio.sleep(0)
        with self.translating("headers"):
            client = self._given or await self._client()
            timeout = self._timeout if client.timeout == _HTTPX_DEFAULT else client.timeout
            body = Pieces.of(content)
            built = client.build_request(request.method, url, content=body, headers=headers, timeout=timeout)
            response = await client.send(built, stream=True, follow_redirects=False)
        try:
            yield _HttpResponse(response, self)
        except asyncio.CancelledError:
            # httpx awaits as it closes. Another cancel, as when the loop ends, would interrupt that for good.
            if (stream := response.extensions.get("network_stream")) is not None:
                with suppress(*FAULTS):
                    await stream.aclose()
            raise
        finally:
            # The response is complete or given up. A connection that fails to close changes nothing.
            with suppress(*FAULTS):
                await response.aclose()

    @contextmanager
    def translating(self, phase: str) -> Generator[None, None, None]:
        """Raise our own error for a fault of the network within."""
        # An exception that was being handled when the loop started is the context of all that are raised on it.
        around = sys.exc_info()[1]
        try:
            yield
        except FAULTS as fault:
            if self._closed:
                raise ClientClosedError("the client was closed") from None
            error = failure(fault, phase, self._base_url, around)
            raise error from error.__cause__

    async def _client(self) -> httpx.AsyncClient:
        if self._closed:
            raise ClientClosedError("the client was closed: make a new one")
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        if kept is None:
            for ended in [known for known in list(self._kept) if known.is_closed()]:
                self._kept.pop(ended, None)
            keeper = _keep(httpx.AsyncClient(transport=self._transport(), timeout=self._timeout))
            kept = self._kept[loop] = _Kept(await anext(keeper), keeper)
        return kept.client

    def _transport(self) -> AiohttpTransport:
        parts = urlsplit(self._base_url)
        secure, host = parts.scheme == "https", parts.hostname or ""
        proxy = None
        if not _is_loopback(host) and not proxy_bypass(parts.netloc):
            proxies = getproxies()
            proxy = self._proxy(proxies.get(parts.scheme) or proxies.get("all"))
        # Loading the certificates takes longer than all the rest, so it is done for https only.
        context = httpx.create_ssl_context(verify=secure)
        return Direct(
            verify=context,
            proxy=proxy,
            # httpx-aiohttp's own session would stop at 100 connections.
            client=lambda: aiohttp.ClientSession(
                connector=connector(context, _KEEPALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                response_class=Answer,
            ),
        )

    def _proxy(self, url: str | None) -> httpx.Proxy | None:
        if not url:
            return None
        # The error would quote the proxy's password, also as a context of ours, which is therefore raised outside.
        proxy = None
        with suppress(ValueError, httpx.InvalidURL):
            proxy = httpx.Proxy(url if "://" in url else f"http://{url}")
        if proxy is None:
            raise ConnectionFailedError(
                f"cannot connect to {self._base_url}: its proxy is not a valid URL; "
                "check http_proxy, https_proxy and no_proxy"
            )
        if proxy.auth:
            # aiohttp warns about credentials in the form in which httpx-aiohttp passes them.
            credentials = b64encode(":".join(proxy.auth).encode()).decode()
            proxy = httpx.Proxy(proxy.url, headers={"authorization": f"Basic {credentials}"})
        return proxy

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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class _HttpResponse:
    """The response to a request."""

    def __init__(self, response: httpx.Response, transport: HttpTransport) -> None:
        self._response = response
        self._transport = transport
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body, decoded from its content-encoding."""
        response = self._response
        plain = response.headers.get("content-encoding", "identity") == "identity"
        # The generators that httpx puts around a body cost as much as reading it.
        body = direct_body(response) or response.stream if plain else response.aiter_bytes()
        with self._transport.translating("body"):
            async for data in cast("AsyncIterator[bytes]", body):
                yield data
