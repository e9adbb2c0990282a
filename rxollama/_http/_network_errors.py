"""
Our errors for what httpx and the operating system raise.

The outermost exception is not enough to tell what happened. httpx reports a refused connection and an unknown name
alike, and httpx-aiohttp, over which a caller's client may be, reports both as a connect timeout. So the whole chain of
causes is read.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from typing import TypeGuard

import httpx

from rxollama._http._proxy import ProxyUnreachable
from rxollama.errors import (
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    ProtocolError,
    StreamError,
    StreamTimeoutError,
)

__all__ = ("FAULTS", "failure", "linked")

FAULTS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    OSError,
    RuntimeError,
    ValueError,
)
"""All that the libraries below raise when the network, not the caller, is at fault."""

_NO_CONNECTION_TEXT = "cannot connect to {url}: {reason}; check that the server can be reached"

# Every reason to have no connection, the most specific first.
_NO_CONNECTION: tuple[tuple[type[BaseException], str], ...] = (
    (
        ssl.SSLCertVerificationError,
        (
            "cannot connect to {url}: its certificate is not trusted ({reason}); "
            "set SSL_CERT_FILE to the certificates to trust"
        ),
    ),
    (ssl.SSLError, "cannot connect to {url}: no TLS ({reason}); check that this server speaks https"),
    (
        ProxyUnreachable,
        "cannot connect to {url}: its proxy cannot be reached ({reason}); check http_proxy, https_proxy and no_proxy",
    ),
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
    (httpx.ConnectError, _NO_CONNECTION_TEXT),
    (httpx.UnsupportedProtocol, "cannot connect to {url}: it is not a valid URL"),
    (httpx.InvalidURL, "cannot connect to {url}: it is not a valid URL"),
    (UnicodeError, "cannot connect to {url}: it is not a valid URL"),
    (httpx.LocalProtocolError, "cannot send the request to {url}: it is not valid HTTP; check the client's headers"),
)
_BROKEN = (ConnectionResetError, BrokenPipeError)
_UNEXPECTED = (httpx.RemoteProtocolError, httpx.DecodingError)
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
    _remove_secrets(fault, around)
    if phase == "headers" and (message := _unreachable(fault, chain, url)):
        return ConnectionFailedError(message)
    if _is_timeout(chain):
        return _timeout(fault, phase, url)
    if _is_broken(chain):
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
    if isinstance(fault, httpx.ConnectTimeout) and not _is_timeout(chain) and not _is_broken(chain):
        return _NO_CONNECTION_TEXT.format(url=url, reason=_reason(OSError, chain))
    return f"cannot send the request to {url}: {fault}" if isinstance(fault, ValueError) else ""


def _reason(kind: type[BaseException], chain: list[BaseException]) -> str:
    """Return the shortest text that says why, of the innermost exception of a kind or of another in its chain."""
    link = [link for link in chain if isinstance(link, kind)][-1]
    if isinstance(link, ssl.SSLError):
        return getattr(link, "verify_message", "") or getattr(link, "reason", "") or str(link)
    reasons = [reason for each in (link, *chain) if (reason := _system_reason(each))]
    return reasons[0] if reasons else str(link)


def _system_reason(link: BaseException) -> str:
    """Return what the operating system says, without the addresses that asyncio and others add."""
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


def linked(fault: BaseException, around: BaseException | None = None) -> set[BaseException]:
    """Return an exception and all that are linked to it, without *around* and what only that one is linked to."""
    found, rest = {fault}, [fault]
    while rest:
        link = rest.pop()
        members = link.exceptions if _is_group(link) else ()
        new = {each for each in (link.__cause__, link.__context__, *members) if each is not None} - found - {around}
        found |= new
        rest += new
    return found


def _remove_secrets(fault: BaseException, around: BaseException | None) -> None:
    """
    Remove what shows the request's headers, and with them the key.

    Frames of httpx, httpcore and h11 hold the headers as local variables, which some formatters of tracebacks print.
    The error of a header that is not valid quotes it. So does the error of a response, in which a server may repeat
    what it was sent.
    """
    found = linked(fault, around)
    for link in found:
        link.__traceback__ = None
        # httpx, httpcore and h11 each have one.
        if type(link).__name__ == "RemoteProtocolError":
            link.args = (str(link).partition(":")[0],)
    if any(isinstance(link, httpx.LocalProtocolError) for link in found):
        for link in found:
            link.args = ("a header is not valid",)


def _is_timeout(chain: list[BaseException]) -> bool:
    if any(isinstance(link, TimeoutError) for link in chain):
        return True
    # Over httpx-aiohttp the same exception stands for anything that goes wrong while connecting.
    other = any(isinstance(link, OSError) or _is_disconnect(link) for link in chain)
    return isinstance(chain[0], httpx.TimeoutException) and not other


def _timeout(fault: BaseException, phase: str, url: str) -> StreamTimeoutError:
    if isinstance(fault, (httpx.ConnectTimeout, httpx.PoolTimeout)):
        message = f"cannot connect to {url} in time: check that the server can be reached"
        return StreamTimeoutError(message, phase="connect")
    if phase == "headers":
        message = f"{url} did not respond in time; loading a model can take minutes"
        return StreamTimeoutError(message, phase="first_chunk")
    return StreamTimeoutError(f"{url} sent nothing for too long, before its response was complete", phase="gap")


def _is_broken(chain: list[BaseException]) -> bool:
    return any(isinstance(link, _BROKEN) or _is_disconnect(link) for link in chain)


def _is_disconnect(link: BaseException) -> bool:
    return isinstance(link, httpx.HTTPError) and str(link).startswith(_DISCONNECTED)


def _lost(phase: str, url: str) -> ConnectionLostError:
    when = "before the response began" if phase == "headers" else "before the response was complete"
    return ConnectionLostError(f"the connection to {url} broke {when}; a retry can help")
