"""The interface to the network: requests, responses and what carries them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

import msgspec

__all__ = ("DeliveringResponse", "Request", "Response", "Transport")


class Request(msgspec.Struct, frozen=True, kw_only=True, weakref=True):
    """
    An HTTP request, without the server that it goes to.

    A stream sends one and the same object at each subscription, and again if it repeats a request that failed. So a
    transport with several hosts can tell which of them has it already.

    Args:
        method: The HTTP method.
        path: The path from the server's root, such as `/api/chat`.
        body: The JSON body; None for a request without one.
        model: The model that is asked for. Empty if the request is about none. A transport with several hosts chooses
            by it, so that it need not parse the body.
        prefixes: Returns a hash for each beginning of the conversation, from its first message to all of them. Two
            requests with an equal hash begin alike, so that a server that answered one has the beginning in its cache.
            None for a request without messages.
        connect_timeout: The limit for connecting, in seconds. None leaves it to the transport.
        continues: The request whose answer broke, if this one asks for the rest of it. A transport with several hosts
            treats both as one request. None for any other.

    .. versionadded:: 0.1
    """

    method: str
    path: str
    body: bytes | None = msgspec.field(default=None)
    model: str = ""
    prefixes: Callable[[], tuple[int, ...]] | None = None
    connect_timeout: float | None = None
    continues: Request | None = None


class Response(Protocol):
    """
    An HTTP response whose body is still arriving.

    Iterating it yields the decoded body as it arrives, in pieces of any size. A response of one host among several may
    have a `host`, the base URL of that host as a str. Errors and metrics then name it.

    .. versionadded:: 0.1
    """

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by lower-case names."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        ...


@runtime_checkable
class DeliveringResponse(Response, Protocol):
    """
    A response that can hand its body to a function.

    A transport need not offer it. The library uses it where it is there, since a function that is called with each read
    costs less than an iterator that is awaited for it.

    .. versionadded:: 0.1
    """

    async def deliver(self, take: Callable[[bytes], bool], /) -> None:
        """
        Call a function with each piece of the body as it is read, in the context (`contextvars`) of the caller.

        Args:
            take: Called with each piece, possibly outside of any task. It returns True if it wants no more; iterating
                the response then continues with the rest of the body.

        Raises:
            StreamError: If the network fails.
            BaseException: If *take* raises. Its exception leaves this method as it is.
        """
        ...


class Transport(Protocol):
    """
    The interface between the library and the network.

    .. versionadded:: 0.1
    """

    def open(self, request: Request, /) -> AbstractAsyncContextManager[Response]:
        """
        Send a request.

        Args:
            request: The request.

        Returns:
            A context manager that is entered when the head of the response has arrived. Leaving it ends the request.
            A body that was read to its end leaves the connection open for the next request. Otherwise the connection
            is closed at once.

        Raises:
            StreamError: If the network fails, on entering or while the body is read.
        """
        ...
