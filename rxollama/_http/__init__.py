"""The default transport: httpx over aiohttp's C parser. Only this package knows httpx."""

from httpx import AsyncClient

from rxollama._http._http_transport import HttpTransport

__all__ = ("AsyncClient", "HttpTransport")
