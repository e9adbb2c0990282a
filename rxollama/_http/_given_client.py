"""
What goes wrong in a caller's own HTTP client: the network, or the caller's code.

The law: httpx raises a `RequestError` for the network, and puts the request into it that it was sending. An exception
of any other class, or with another request or none, was raised by code that the caller gave to the client: a hook, an
auth or a transport. So a mock that raises `httpx.ConnectError` is a failing network, and a hook that cannot open its
file, or cannot reach a token server, is not.

Tracebacks are no better witness. The network may break while a hook reads the body, and a failure that passes through
the wrappers of a tracer is not the tracer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

import httpx

from rxollama._http._network_errors import linked
from rxollama.errors import ClientClosedError, HttpClientError, StreamError

__all__ = ("client_error", "refused")

_LIBRARIES = {
    *("anyio", "asyncio", "contextlib", "h11", "h2", "hpack", "httpcore", "httpx", "rxollama"),
    # They stand between a client and its server: https://www.python-httpx.org/third_party_packages/.
    *("aiohttp", "httpx_aiohttp", "opentelemetry", "respx", "wrapt"),
}


def client_error(
    client: httpx.AsyncClient, fault: Exception, url: str, around: BaseException | None = None
) -> StreamError | None:
    """
    Return our error for what a caller's client raised.

    Args:
        client: The client.
        fault: The exception.
        url: The base URL of the server.
        around: The exception that was handled already when the fault was raised.

    Returns:
        The error, whose cause is the exception, or None for a failure of the network.
    """
    if _is_network(fault, url):
        return None
    if isinstance(fault, RuntimeError) and (client.is_closed or _is_of_loop(fault)):
        return ClientClosedError(f"the HTTP client cannot be used: {fault}")
    for link in linked(fault, around):
        link.__traceback__ = _own_frames(link.__traceback__)
    error = HttpClientError(
        f"http_client: its own code raised {type(fault).__name__} ({fault}), which is not a failure of the network; "
        "check its headers, hooks, auth and transport"
    )
    error.__cause__ = fault
    return error


def refused(fault: httpx.HTTPStatusError, request: httpx.Request) -> httpx.Response | None:
    """
    Return the response of a hook's `raise_for_status`, or None if it was not about this request.

    The status is the server's answer, so that it ends the stream as it does without the hook.
    """
    response = fault.response
    return response if fault.request.url == request.url and not response.is_success else None


def _is_network(fault: Exception, url: str) -> bool:
    if not isinstance(fault, httpx.RequestError):
        return False
    try:
        sent = fault.request.url
    except RuntimeError:
        # No request was put into it: it was not raised by sending one.
        return False
    own = httpx.URL(url)
    return (sent.scheme, sent.host, sent.port) == (own.scheme, own.host, own.port)


def _is_of_loop(fault: RuntimeError) -> bool:
    """Return whether an event loop refused to work, as it does for connections of another loop that was closed."""
    *_, innermost = _frames(fault.__traceback__)
    # Loops that are written in C have no frames.
    return _library(innermost) in {"anyio", "asyncio", "httpcore"}


def _own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """
    Return a traceback with the frames of the caller's code only.

    Frames of httpx and of what is below it hold the request's headers, and with them the key, as local variables.
    """
    kept: TracebackType | None = None
    for each in reversed([*_frames(traceback)]):
        if _library(each) not in _LIBRARIES:
            kept = TracebackType(kept, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return kept


def _frames(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _library(traceback: TracebackType) -> str:
    name: str = traceback.tb_frame.f_globals.get("__name__", "")
    return name.partition(".")[0]
