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
from weakref import WeakSet

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from rxollama._http._aiohttp import Answer, Direct, Pieces, connector, direct_body
from rxollama._http._network_errors import FAULTS, failure
from rxollama._runtime import Job, never_collect, run_jobs, run_jobs_blocking
from rxollama.errors import ClientClosedError
from rxollama.transport import Request, Response

__all__ = ("HttpTransport",)

_CONNECT_SECONDS = 10.0
_KEEPALIVE_SECONDS = 60.0
_AGENT = f"rxollama/{version('rxollama')} python/{python_version()}"

# A model may load for minutes before the first byte: only connecting has a limit of its own.
_PATIENT = httpx.Timeout(None, connect=_CONNECT_SECONDS)
_HTTPX_DEFAULT = httpx.Timeout(5.0)


class _Kept(NamedTuple):
    client: httpx.AsyncClient
    keeper: AsyncGenerator[httpx.AsyncClient, None]


class HttpTransport:
    """
    Carry requests by HTTP.

    Connections belong to an event loop, so there is one httpx client for each loop that is used; it closes with its
    loop. A client that was passed in is used as it is, on whichever loop, and is never closed here.

    Args:
        base_url: Scheme, host, port and path prefix of the server.
        api_key: Sent as Bearer to this server, and to no other.
        headers: More headers for each request; an `authorization` among them wins over the key.
        client: A client to use instead of own ones. Its timeouts count, unless they are httpx's default of five
            seconds, in which no model loads.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str = "",
        headers: Mapping[str, str] | None = None,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self._base_url = base_url
        self._given = client
        self._headers = {"user-agent": _AGENT, "accept-encoding": "identity"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._headers.update({name.lower(): value for name, value in (headers or {}).items()})
        self._kept: dict[asyncio.AbstractEventLoop, _Kept] = {}
        self._closed = False
        _made.add(self)

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Response, None]:
        """Send a request; see `rxollama.transport.Transport`."""
        url = self._base_url + request.path
        headers, content = self._headers, request.body
        if content is not None:
            headers = {**headers, "content-type": "application/json", "content-length": str(len(content))}
        # The loop looks at its idle connections first, so that one which the server has closed is not used again.
        await asyncio.sleep(0)
        with self.translated("headers"):
            client = self._given or await self._client()
            timeout = _PATIENT if client.timeout == _HTTPX_DEFAULT else client.timeout
            body = Pieces.of(content)
            built = client.build_request(request.method, url, content=body, headers=headers, timeout=timeout)
            response = await client.send(built, stream=True, follow_redirects=False)
        try:
            yield _HttpResponse(response, self)
        except asyncio.CancelledError:
            # The closing of httpx waits, and another cancel, such as its loop's end, would interrupt it for good.
            if (stream := response.extensions.get("network_stream")) is not None:
                with suppress(*FAULTS):
                    await stream.aclose()
            raise
        finally:
            # The answer is had or given up: that its connection does not close well changes nothing.
            with suppress(*FAULTS):
                await response.aclose()

    @contextmanager
    def translated(self, phase: str) -> Generator[None, None, None]:
        """Raise our own error for what goes wrong within."""
        # An exception that is being handled around the whole loop is the context of all that are raised in it.
        around = sys.exc_info()[1]
        try:
            yield
        except FAULTS as fault:
            if self._closed:
                raise ClientClosedError("the client was closed") from fault
            raise failure(fault, phase, self._base_url, around) from fault

    async def _client(self) -> httpx.AsyncClient:
        if self._closed:
            raise ClientClosedError("the client was closed: make a new one")
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        if kept is None:
            for ended in [known for known in list(self._kept) if known.is_closed()]:
                self._kept.pop(ended, None)
            keeper = _keep(self._transport())
            kept = self._kept[loop] = _Kept(await anext(keeper), keeper)
        return kept.client

    def _transport(self) -> AiohttpTransport:
        parts = urlsplit(self._base_url)
        secure, host = parts.scheme == "https", parts.hostname or ""
        proxy = None
        if not _is_loopback(host) and not proxy_bypass(parts.netloc):
            proxies = getproxies()
            proxy = _proxy(proxies.get(parts.scheme) or proxies.get("all"))
        # Certificates are loaded only for those who need them: that takes longer than all the rest.
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

    async def aclose(self) -> None:
        """Close the connections on every loop, and wait for it."""
        await run_jobs(self._closing())

    def close(self) -> None:
        """Close the connections on every loop, and wait for it where that blocks no loop."""
        run_jobs_blocking(self._closing())

    def _closing(self) -> list[Job]:
        self._closed = True
        taken, self._kept = self._kept, {}
        return [(loop, partial(_let_go, kept)) for loop, kept in taken.items()]

    def forget(self) -> None:
        """Start anew in a forked child."""
        never_collect(self._kept)
        self._kept = {}


async def _keep(transport: AiohttpTransport) -> AsyncGenerator[httpx.AsyncClient, None]:
    """
    Hold a client open until its loop ends, or nobody knows it any more.

    A loop that ends closes its async generators (`loop.shutdown_asyncgens`, which `asyncio.run` calls): that is the
    one moment at which connections can be closed for a client that nobody closed.
    """
    async with httpx.AsyncClient(transport=transport, timeout=_PATIENT) as client:
        yield client


_made: WeakSet[HttpTransport] = WeakSet()


def _forget_all() -> None:
    for transport in tuple(_made):
        transport.forget()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks.
    os.register_at_fork(after_in_child=_forget_all)


async def _let_go(kept: _Kept) -> None:
    with suppress(*FAULTS):
        await kept.keeper.aclose()


def _proxy(url: str | None) -> httpx.Proxy | None:
    if not url:
        return None
    proxy = httpx.Proxy(url)
    if proxy.auth:
        # httpx-aiohttp would hand them over in a way that aiohttp warns of.
        credentials = b64encode(":".join(proxy.auth).encode()).decode()
        proxy = httpx.Proxy(proxy.url, headers={"authorization": f"Basic {credentials}"})
    return proxy


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class _HttpResponse:
    """Be the answer to a request."""

    def __init__(self, response: httpx.Response, transport: HttpTransport) -> None:
        self._response = response
        self._transport = transport
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Bring the body, its content-encoding taken off."""
        response = self._response
        plain = response.headers.get("content-encoding", "identity") == "identity"
        # What httpx puts around a stream costs as much as reading it.
        body = direct_body(response) or response.stream if plain else response.aiter_bytes()
        with self._transport.translated("body"):
            async for data in cast("AsyncIterator[bytes]", body):
                yield data
