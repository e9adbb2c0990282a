"""The HTTP transport: httpx over aiohttp's C parser. No other room knows httpx."""

from httpx import AsyncClient

from rxollama._http._http_transport import HttpTransport

__all__ = ("AsyncClient", "HttpTransport")
