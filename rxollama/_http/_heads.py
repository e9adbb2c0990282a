"""The heads of a request and of its response, by h11."""

from __future__ import annotations

from typing import NamedTuple

import h11
import httpx

from rxollama._http._framing import Framing, KnownLength, Unchunker, UntilClose

__all__ = ("Head", "HeadExchange")

# For the head of the response and the interim responses before it.
_LIMIT = 100 * 1024
_HTTP = b"HTTP/1."
_NO_BODY = (204, 304)


class Head(NamedTuple):
    """
    The head of a response.

    Args:
        status: The status.
        reason: The text behind the status.
        version: The version of HTTP, such as `1.1`.
        headers: The headers, with the names in the server's spelling.
        framing: The framing of the body.
        keeps_alive: Whether the connection may serve another request after the body.
        rest: The bytes behind the head in the same read.
    """

    status: int
    reason: bytes
    version: bytes
    headers: list[tuple[bytes, bytes]]
    framing: Framing
    keeps_alive: bool
    rest: bytes


class HeadExchange:
    """
    The heads of one request and its response.

    h11 never sees a body: it would return it in events, at 20 µs each.
    """

    def __init__(self) -> None:
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LIMIT)
        self._room = _LIMIT
        self._start = b""
        self._has_no_body = self._is_last = False

    def encode(self, request: httpx.Request) -> bytes:
        """Return the head of a request."""
        self._has_no_body = request.method == "HEAD"
        self._is_last = "close" in _options(request.headers.get("connection", ""))
        try:
            head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
            return self._parser.send(head) or b""
        except h11.LocalProtocolError:
            pass
        # Raised outside of `except`, since h11's error quotes the header and its frames hold all of them.
        raise httpx.LocalProtocolError("a header is not valid")

    def feed(self, data: bytes) -> Head | None:
        """
        Return the head of the response, or None if more is needed.

        Args:
            data: The next read.

        Raises:
            RemoteProtocolError: If the bytes cannot be the head of a response.
        """
        if len(self._start) < len(_HTTP):
            # h11 would wait for the end of a line, which other protocols may never send.
            self._start = (self._start + data[: len(_HTTP)])[: len(_HTTP)]
            if not _HTTP.startswith(self._start):
                raise httpx.RemoteProtocolError("the response does not begin with an HTTP version")
        part, rest = data[: self._room], data[self._room :]
        self._room -= len(part)
        try:
            self._parser.receive_data(part)
            while type(event := self._parser.next_event()) is h11.InformationalResponse:
                pass
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        if isinstance(event, h11.Response):
            return self._head(event, self._parser.trailing_data[0] + rest)
        if not self._room:
            raise httpx.RemoteProtocolError("the head of the response is too long")
        return None

    def _head(self, response: h11.Response, rest: bytes) -> Head:
        values: dict[bytes, bytes] = {}
        for name, value in response.headers:
            values[name] = values[name] + b"," + value if name in values else value
        is_chunked, length = b"transfer-encoding" in values, values.get(b"content-length")
        is_last = self._is_last or "close" in _options(values.get(b"connection", b"").decode("latin-1"))
        framing: Framing
        if self._has_no_body or response.status_code in _NO_BODY:
            framing = KnownLength(0)
        elif is_chunked:
            framing = Unchunker()
        elif length is not None:
            framing = KnownLength(int(length))
        else:
            framing = UntilClose()
        return Head(
            response.status_code,
            response.reason,
            response.http_version,
            response.headers.raw_items(),
            framing,
            # Both a length and chunks may be an attempt to hide a second response (RFC 9112, section 6.1).
            not is_last and response.http_version == b"1.1" and not (is_chunked and length is not None),
            rest,
        )


def _options(connection: str) -> set[str]:
    """Return the options of a `Connection` header."""
    return {option.strip() for option in connection.lower().split(",")}
