"""
Our errors for what httpx, aiohttp and the operating system raise.

The outermost exception is not enough to tell what happened: httpx-aiohttp reports a refused connection as a connect
timeout, and passes on aiohttp's own errors for a response that is not HTTP. So the whole chain of causes is read.
"""

from __future__ import annotations

import os
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
"""All that the libraries below raise when the network, not the caller, is at fault."""

# Every reason to have no connection, the most specific first.
_NO_CONNECTION: tuple[tuple[type[BaseException], str], ...] = (
    (
        aiohttp.ClientProxyConnectionError,
        "cannot connect to {url}: its proxy cannot be reached ({reason}); check http_proxy, https_proxy and no_proxy",
    ),
    (aiohttp.ClientHttpProxyError, "cannot connect to {url}: its proxy refused the request ({reason})"),
    (httpx.ProxyError, "cannot connect to {url}: its proxy refused the request ({reason})"),
    (
        ConnectionRefusedError,
        (
            "cannot connect to {url}: connection refused; "
            "start Ollama there (`ollama serve`), or set OLLAMA_HOST to its address"
        ),
    ),
    (
        socket.gaierror,
        "cannot connect to {url}: the name of its host or proxy cannot be resolved ({reason}); check OLLAMA_HOST",
    ),
    (
        ssl.SSLCertVerificationError,
        (
            "cannot connect to {url}: its certificate is not trusted ({reason}); "
            "set SSL_CERT_FILE to the certificates to trust"
        ),
    ),
    (ssl.SSLError, "cannot connect to {url}: no TLS ({reason}); check that this server speaks https"),
    (aiohttp.ClientConnectorError, "cannot connect to {url}: {reason}; check that the server can be reached"),
    (httpx.ConnectError, "cannot connect to {url}: {reason}; check that the server can be reached"),
    (httpx.UnsupportedProtocol, "cannot connect to {url}: it is not a valid URL"),
    (httpx.InvalidURL, "cannot connect to {url}: it is not a valid URL"),
    (UnicodeError, "cannot connect to {url}: it is not a valid URL"),
    (httpx.LocalProtocolError, "cannot send the request to {url}: it is not valid HTTP; check the client's headers"),
)
_BROKEN = (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError)
_UNEXPECTED = (aiohttp.ClientResponseError, HttpProcessingError, httpx.RemoteProtocolError, httpx.DecodingError)
_DISCONNECTED = ("peer closed", "peer unexpectedly closed", "Server disconnected")


def failure(fault: BaseException, phase: str, url: str, around: BaseException | None = None) -> StreamError:
    """
    Return our error for a fault of the network.

    Args:
        fault: The exception.
        phase: `headers` until the head of the response has arrived, then `body`.
        url: The base URL of the server.
        around: The exception that was handled already when the fault was raised. It is not part of the chain.

    Returns:
        The error. The fault is its `__cause__` only if it says more than the error's message.
    """
    chain = list(_chain(fault, around))
    _remove_secrets(chain)
    if phase == "headers" and (message := _unreachable(fault, chain, url)):
        return ConnectionFailedError(message)
    if any(isinstance(link, TimeoutError) for link in chain) or _is_httpx_timeout(chain):
        return _timeout(fault, phase, url)
    if any(isinstance(link, _BROKEN) or _is_disconnect(link) for link in chain):
        return _lost(phase, url)
    if any(isinstance(link, _UNEXPECTED) for link in chain):
        error: StreamError = ProtocolError(
            f"{url} does not speak HTTP as Ollama does: check that OLLAMA_HOST is the address of an Ollama server"
        )
    elif isinstance(fault, RuntimeError) and not isinstance(fault, httpx.StreamError):
        return ClientClosedError(f"the HTTP client cannot be used: {fault}")
    else:
        error = _lost(phase, url)
    error.__cause__ = fault
    return error


def _unreachable(fault: BaseException, chain: list[BaseException], url: str) -> str:
    for kind, message in _NO_CONNECTION:
        if any(isinstance(link, kind) for link in chain):
            return message.format(url=url, reason=_reason(kind, chain))
    return f"cannot send the request to {url}: {fault}" if isinstance(fault, ValueError) else ""


def _reason(kind: type[BaseException], chain: list[BaseException]) -> str:
    """Return the shortest text that says why, of the innermost exception of a kind or of another in its chain."""
    link = [link for link in chain if isinstance(link, kind)][-1]
    if isinstance(link, aiohttp.ClientResponseError):
        return f"{link.status} {link.message}"
    if isinstance(link, ssl.SSLError):
        # aiohttp's own kinds of it have neither.
        return getattr(link, "verify_message", "") or getattr(link, "reason", "") or str(link)
    reasons = [reason for each in (link, *chain) if (reason := _system_reason(each))]
    return reasons[0] if reasons else str(link)


def _system_reason(link: BaseException) -> str:
    """Return what the operating system says, without the addresses that asyncio and aiohttp add."""
    if not isinstance(link, OSError) or not link.errno:
        return ""
    # The negative numbers are those of `getaddrinfo`.
    return os.strerror(link.errno) if link.errno > 0 else str(link.strerror)


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


def _remove_secrets(chain: list[BaseException]) -> None:
    """Remove the request's headers, and with them the key, from exceptions that show them."""
    for link in chain:
        if isinstance(link, aiohttp.ClientResponseError):
            headers = link.request_info.headers.copy()
            headers.clear()
            link.request_info = link.request_info._replace(headers=type(link.request_info.headers)(headers))
            link.args = (link.request_info, link.history)
    if any(isinstance(link, httpx.LocalProtocolError) for link in chain):
        for link in chain:
            link.args = ("a header is not valid",)


def _is_httpx_timeout(chain: list[BaseException]) -> bool:
    # Over aiohttp the same exception stands for anything that went wrong while connecting.
    over_aiohttp = any(isinstance(link, aiohttp.ClientError) for link in chain)
    return not over_aiohttp and isinstance(chain[0], httpx.TimeoutException)


def _timeout(fault: BaseException, phase: str, url: str) -> StreamTimeoutError:
    if isinstance(fault, (httpx.ConnectTimeout, httpx.PoolTimeout)):
        message = f"cannot connect to {url} in time: check that the server can be reached"
        return StreamTimeoutError(message, phase="connect")
    if phase == "headers":
        message = f"{url} did not respond in time; loading a model can take minutes"
        return StreamTimeoutError(message, phase="first_chunk")
    return StreamTimeoutError(f"{url} sent nothing for too long, before its response was complete", phase="gap")


def _is_disconnect(link: BaseException) -> bool:
    return isinstance(link, httpx.RemoteProtocolError) and str(link).startswith(_DISCONNECTED)


def _lost(phase: str, url: str) -> ConnectionLostError:
    when = "before the response began" if phase == "headers" else "before the response was complete"
    return ConnectionLostError(f"the connection to {url} broke {when}; a retry can help")
