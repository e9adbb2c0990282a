"""The default transport, loaded when a client first connects: it takes a third of the library's import time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from rxollama.transport import Request, Response

if TYPE_CHECKING:
    from rxollama._http import AsyncClient, HttpTransport

__all__ = ("LazyTransport", "http_transport")


def http_transport(
    base_url: str, api_key: str, headers: Mapping[str, str] | None, client: AsyncClient | None
) -> Callable[[], HttpTransport]:
    """Return a function that makes the HTTP transport of a server."""

    def make() -> HttpTransport:
        from rxollama._http import HttpTransport  # noqa: PLC0415 - See the head of this module.

        return HttpTransport(base_url, api_key=api_key, headers=headers, client=client)

    return make


class LazyTransport:
    """
    A transport that is made when it is first used.

    Args:
        make: Returns the transport.
    """

    def __init__(self, make: Callable[[], HttpTransport]) -> None:
        self._make = make
        self._made: dict[None, HttpTransport] = {}

    def open(self, request: Request) -> AbstractAsyncContextManager[Response]:
        """Send a request; see `rxollama.transport.Transport`."""
        # A lock could stay locked in a forked child. `setdefault` is atomic, so two threads that are first share one.
        made = self._made.get(None) or self._made.setdefault(None, self._make())
        return made.open(request)

    def close(self) -> None:
        """Close the transport, if it was made."""
        for made in list(self._made.values()):
            made.close()

    async def aclose(self) -> None:
        """Close the transport, if it was made."""
        for made in list(self._made.values()):
            await made.aclose()
