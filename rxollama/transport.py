"""The interface to the network: requests, responses and what carries them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

__all__ = ("Request", "Response", "Transport")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """
    An HTTP request, without the server that it goes to.

    Args:
        method: The HTTP method.
        path: The path from the server's root, such as `/api/chat`.
        body: The JSON body; None for a request without one.

    .. versionadded:: 0.1
    """

    method: str
    path: str
    body: bytes | None = msgspec.field(default=None)


class Response(Protocol):
    """
    An HTTP response whose body is still arriving.

    Iterating it yields the decoded body as it arrives, in pieces of any size.

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
