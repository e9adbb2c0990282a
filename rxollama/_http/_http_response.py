"""The response to a request, over any client of httpx."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, suppress

import httpx

from rxollama._http._connection import Take
from rxollama._http._connection_pool import direct_body
from rxollama.errors import ProtocolError

__all__ = ("HttpResponse",)

# A server may send anything there, such as the key that it was sent. No encoding has a longer name.
_LONGEST_NAME = 20

Translating = Callable[[], AbstractContextManager[None]]


class HttpResponse:
    """
    A response.

    Args:
        response: The response of httpx.
        host: The base URL of the server.
        translating: Returns a context manager that raises our own error for a fault of the network.
    """

    def __init__(self, response: httpx.Response, host: str, translating: Translating) -> None:
        self._response = response
        self.host = host
        self._translating = translating
        self._body: AsyncGenerator[bytes, None] | None = None
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body, decoded from a content-encoding that was asked for."""
        # There is one generator. Closing a second one that is left half-way would close the connection of both.
        if self._body is None:
            self._body = self._read()
        return self._body

    async def deliver(self, take: Take) -> None:
        """Hand the body to a function; see `rxollama.transport.DeliveringResponse`."""
        body = None if self._encoding() else direct_body(self._response)
        if body is None:
            async for data in self:
                if take(data):
                    return
            return
        with self._translating():
            raised = await body.deliver(take)
        if raised is not None:
            raise raised

    async def _read(self) -> AsyncGenerator[bytes, None]:
        # A hook or an auth of a caller's client may have read the body already, and `aiter_bytes` yields it again.
        # In our own client, the generators that httpx puts around a body would cost as much as reading it.
        own = None if self._encoding() else direct_body(self._response)
        with self._translating():
            async for data in own or self._response.aiter_bytes():
                yield data

    def _encoding(self) -> str:
        """
        Return the content-encoding, empty if there is none.

        Raises:
            ProtocolError: If it was not asked for. A few kilobytes can decode to gigabytes, so that decoding is left to
                those who ask for it.
        """
        encoding = self.headers.get("content-encoding", "").strip()[:_LONGEST_NAME].lower()
        if encoding in {"", "identity"}:
            return ""
        accepted = self._response.request.headers.get("accept-encoding", "")
        if encoding not in {each.partition(";")[0].strip().lower() for each in accepted.split(",")}:
            raise ProtocolError(
                f"content-encoding: expected none, got {encoding!r}, which was not asked for; "
                "check the proxy in front of the server"
            )
        return encoding

    async def aclose(self) -> None:
        """Close the generator of the body."""
        if self._body is not None:
            with suppress(RuntimeError):
                await self._body.aclose()
