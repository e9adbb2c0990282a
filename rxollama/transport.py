"""The seam to the network: one method."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

__all__ = ("Call", "Reply", "Transport")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """
    Be one HTTP request, before it has a server.

    Args:
        method: The HTTP method.
        path: The path from the server's root, such as `/api/chat`.
        body: The JSON body; None for a request without one.
        sent: To be called on the loop of the request, when the connection is there and the body begins to be written;
            None where nobody wants to know. A transport that never calls it does no harm.

    .. versionadded:: 0.1
    """

    method: str
    path: str
    body: bytes | None = msgspec.field(default=None)
    sent: Callable[[], None] | None = msgspec.field(default=None)


class Reply(Protocol):
    """
    Be an HTTP answer whose body is still coming.

    Iterating it gives the decoded body as it arrives, in pieces of any size.

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
        """Bring the body."""
        ...


class Transport(Protocol):
    """
    Carry requests to a server: what stands between the library and the network.

    .. versionadded:: 0.1
    """

    def open(self, call: Call, /) -> AbstractAsyncContextManager[Reply]:
        """
        Send a request.

        Args:
            call: The request.

        Returns:
            A context manager that is entered with the first byte of the answer. Leaving it closes the request: a body
            read to its end leaves the connection for the next request, any other closes the connection at once.

        Raises:
            StreamError: When entering, or while the body is read, as the network fails.
        """
        ...
