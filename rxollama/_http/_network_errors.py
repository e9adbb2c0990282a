"""
What the network does wrong, in our own errors.

The outermost exception does not tell: httpx-aiohttp reports a refused connection as a connect timeout, and lets
aiohttp's own errors through for an answer that is no HTTP. So the whole chain of causes is read.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import TypeGuard

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError

from rxollama.errors import (
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    ProtocolError,
    StreamError,
    StreamTimeoutError,
)

__all__ = ("FAULTS", "failure")

FAULTS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    aiohttp.ClientError,
    HttpProcessingError,
    OSError,
    RuntimeError,
    ValueError,
)
"""Everything that the libraries below are known to raise when the network, not the caller, is at fault."""

_START = "start Ollama there (`ollama serve`), or set OLLAMA_HOST to where it is"

# Every reason to have no connection, the most telling first.
_NO_CONNECTION: tuple[tuple[type[BaseException], str], ...] = (
    (ConnectionRefusedError, f"nothing listens at {{url}}: {_START}"),
    (socket.gaierror, "the host of {url} cannot be resolved: is OLLAMA_HOST right?"),
    (ssl.SSLError, "no secure connection to {url}: {fault}; does this server speak https?"),
    (aiohttp.ClientProxyConnectionError, "the proxy to {url} cannot be reached: {fault}"),
    (aiohttp.ClientHttpProxyError, "the proxy to {url} refuses: {fault}"),
    (httpx.ProxyError, "the proxy to {url} refuses: {fault}"),
    (aiohttp.ClientConnectorError, "no connection to {url}: {fault}; is the server there?"),
    (httpx.ConnectError, "no connection to {url}: {fault}; is the server there?"),
    (httpx.UnsupportedProtocol, "{url} is no address that can be asked"),
    (httpx.InvalidURL, "{url} is no address that can be asked"),
    (httpx.LocalProtocolError, "the request to {url} cannot be sent: {fault}"),
)
_BROKEN = (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError)
_STRANGE = (aiohttp.ClientResponseError, HttpProcessingError, httpx.RemoteProtocolError, httpx.DecodingError)
_DISCONNECTED = ("peer closed", "peer unexpectedly closed", "Server disconnected")


def failure(fault: BaseException, phase: str, url: str, around: BaseException | None = None) -> StreamError:
    """
    Translate a fault of the network.

    Args:
        fault: What was raised.
        phase: `headers` while nothing of the answer was there, `body` after that.
        url: The server.
        around: What was being handled already, and has nothing to do with the fault.

    Returns:
        Our error; the fault is to become its cause.
    """
    chain = list(_chain(fault, around))
    for link in chain:
        _forget_headers(link)
    if phase == "headers" and (message := _unreachable(fault, chain)):
        return ConnectionFailedError(message.format(url=url, fault=fault))
    if any(isinstance(link, TimeoutError) for link in chain) or _httpx_timeout(chain):
        return _timeout(fault, phase, url)
    if any(isinstance(link, _BROKEN) or _cut_off(link) for link in chain):
        return ConnectionLostError(_lost(phase, url))
    if any(isinstance(link, _STRANGE) for link in chain):
        return ProtocolError(f"what answers at {url} does not speak HTTP as Ollama does: is this the right server?")
    if isinstance(fault, RuntimeError) and not isinstance(fault, httpx.StreamError):
        return ClientClosedError(f"the HTTP client cannot be used: {fault}")
    return ConnectionLostError(_lost(phase, url))


def _unreachable(fault: BaseException, chain: list[BaseException]) -> str:
    for kind, message in _NO_CONNECTION:
        if any(isinstance(link, kind) for link in chain):
            return message
    return "{url} cannot be asked: {fault}" if isinstance(fault, ValueError) else ""


def _chain(fault: BaseException | None, around: BaseException | None) -> Iterator[BaseException]:
    while fault is not None and fault is not around:
        yield fault
        if _is_group(fault):
            # One for each address that was tried.
            for one in fault.exceptions:
                yield from _chain(one, around)
        fault = fault.__cause__ or fault.__context__


def _is_group(fault: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return isinstance(fault, BaseExceptionGroup)


def _forget_headers(link: BaseException) -> None:
    """Take the request's headers, and with them the key, out of what aiohttp's errors show of themselves."""
    if isinstance(link, aiohttp.ClientResponseError):
        headers = link.request_info.headers.copy()
        headers.clear()
        link.request_info = link.request_info._replace(headers=type(link.request_info.headers)(headers))
        link.args = (link.request_info, link.history)


def _httpx_timeout(chain: list[BaseException]) -> bool:
    # Over aiohttp the same exception stands for anything that went wrong while connecting.
    over_aiohttp = any(isinstance(link, aiohttp.ClientError) for link in chain)
    return not over_aiohttp and isinstance(chain[0], httpx.TimeoutException)


def _timeout(fault: BaseException, phase: str, url: str) -> StreamTimeoutError:
    connecting = isinstance(fault, (httpx.ConnectTimeout, httpx.PoolTimeout))
    name = "connect" if connecting else "first_chunk" if phase == "headers" else "gap"
    told = {
        "connect": f"no connection to {url} in time: is the server there?",
        "first_chunk": "the server did not begin to answer in time; loading a model can take minutes",
        "gap": "the server fell silent in the middle of its answer",
    }
    return StreamTimeoutError(told[name], phase=name)


def _cut_off(link: BaseException) -> bool:
    return isinstance(link, httpx.RemoteProtocolError) and str(link).startswith(_DISCONNECTED)


def _lost(phase: str, url: str) -> str:
    when = "before the answer began" if phase == "headers" else "in the middle of the answer"
    return f"the connection to {url} broke {when}; a retry can help"
