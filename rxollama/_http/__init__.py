"""The HTTP transport: httpx over a transport of our own. No other room knows httpx."""

from httpx import AsyncClient

from rxollama._http._http_transport import HttpTransport

__all__ = ("AsyncClient", "HttpTransport")
