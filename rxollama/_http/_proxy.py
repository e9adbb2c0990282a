"""The proxies of the environment. httpx's own transport carries the requests that go through one."""

from __future__ import annotations

import asyncio
import ipaddress
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from rxollama.errors import ConnectionFailedError

__all__ = ("ProxyUnreachable", "proxy_transport")


class ProxyUnreachable(httpx.ProxyError):
    """A proxy that cannot be connected to. httpx reports it as it reports a server."""


class _ProxyTransport(httpx.AsyncHTTPTransport):
    """
    httpx's transport through a proxy.

    The limit for connecting includes what a proxy takes to connect to an https server. httpx waits for that as long as
    for a response, which has no limit.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        seconds = request.extensions.get("timeout", {}).get("connect")
        loop = asyncio.get_running_loop()

        async def trace(event: str, _: object) -> None:
            if event == "connection.connect_tcp.started" and seconds is not None and request.url.scheme == "https":
                limit.reschedule(loop.time() + seconds)
            elif event == "proxy.start_tls.complete":
                limit.reschedule(None)

        request.extensions = {**request.extensions, "trace": trace}
        try:
            async with asyncio.timeout(None) as limit:
                return await super().handle_async_request(request)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except httpx.ConnectError as error:
            raise ProxyUnreachable(str(error)) from error


def proxy_transport(base_url: str, keepalive: float) -> httpx.AsyncBaseTransport | None:
    """
    Return the transport through the proxy of the environment.

    Args:
        base_url: The server.
        keepalive: The number of seconds after which an idle connection closes.

    Returns:
        The transport, without a limit of connections. None if the environment has no proxy for the server.

    Raises:
        ConnectionFailedError: If the proxy is not valid.
    """
    # The URL may hold a password, so it is no local variable here, where the error is raised.
    made = _transport_through(_proxy_url(urlsplit(base_url)), keepalive)
    if isinstance(made, str):
        raise ConnectionFailedError(
            f"cannot connect to {base_url}: its proxy {made}; check http_proxy, https_proxy and no_proxy"
        )
    return made


def _proxy_url(server: SplitResult) -> str:
    if _is_loopback(server.hostname or "") or proxy_bypass(server.netloc):
        return ""
    proxies = getproxies()
    url = proxies.get(server.scheme) or proxies.get("all") or ""
    return url if "://" in url or not url else f"http://{url}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _transport_through(url: str, keepalive: float) -> httpx.AsyncBaseTransport | str | None:
    """Return the transport, or the reason why there is none."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=keepalive)
    try:
        return _ProxyTransport(proxy=httpx.Proxy(url), limits=limits) if url else None
    except ImportError:
        return "needs SOCKS, which `pip install httpx[socks]` installs"
    except (ValueError, httpx.InvalidURL):
        return "is not a valid URL"
