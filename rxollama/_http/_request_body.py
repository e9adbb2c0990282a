"""Large request bodies, sent in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

__all__ = ("large_body",)

_PIECE = 256 * 1024


def large_body(body: bytes | None) -> httpx.AsyncByteStream | None:
    """Return a large body as a stream of pieces, or None for any other body, which is sent as it is."""
    return _LargeBody(body) if body and len(body) > _PIECE else None


class _LargeBody(httpx.AsyncByteStream):
    """
    A large body.

    Between two pieces the loop runs, and a request that is given up is not sent to its end.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces."""
        return _Pieces(self._body)


class _Pieces(AsyncIterator[bytes]):
    """The pieces of a body. An async generator that is given up would leave a task that closes it."""

    def __init__(self, body: bytes) -> None:
        self._starts = iter(range(0, len(body), _PIECE))
        self._body = body

    async def __anext__(self) -> bytes:
        """Return the next piece."""
        for start in self._starts:
            return self._body[start : start + _PIECE]
        raise StopAsyncIteration
