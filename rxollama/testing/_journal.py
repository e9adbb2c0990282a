"""What the server was asked, and what became of each request."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import orjson
from aiohttp import web

_T = TypeVar("_T")


@dataclass(eq=False, kw_only=True)
class SeenRequest:
    """
    One request as it came in, and how its answer went; times are of `time.monotonic`.

    The waiting methods block the calling thread: from a coroutine, call them by `asyncio.to_thread`.

    Attributes:
        method: The HTTP method.
        path: The path, without the query.
        headers: The headers under lower-case names.
        body: All bytes of the body.
        peer_port: The port of the client's end of the connection.
        received_at: When the request was there in full.
        first_byte_at: When the first byte of the answer was written.
        finished_at: When the answer had been played to its scripted end, whichever that is.
        left_at: When the client disconnected, if that was before the answer was finished.
        longest_write_wait: The longest time in seconds that one write took: next to nothing, unless the
            client did not read what was sent.
        sent: How many bytes of the body were written so far, chunk framing not counted.
        journal: Where the server notes what happens; not for callers.

    .. versionadded:: 0.1
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    peer_port: int
    received_at: float = field(default_factory=time.monotonic)
    first_byte_at: float | None = None
    finished_at: float | None = None
    left_at: float | None = None
    longest_write_wait: float = 0.0
    sent: int = 0
    journal: Journal = field(repr=False)

    @cached_property
    def json(self) -> Any:
        """The body as JSON, or ``None`` where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    def wait_finished(self, timeout: float = 5.0) -> float:
        """
        Block until the answer is finished.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            The moment it was finished.

        Raises:
            TimeoutError: It was not finished in time.
        """
        return self.journal.wait(lambda: self.finished_at, timeout, f"{self.method} {self.path} to be finished")

    def wait_left(self, timeout: float = 5.0) -> float:
        """
        Block until the client has disconnected ahead of the end of the answer.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            The moment it disconnected.

        Raises:
            TimeoutError: It did not in time.
        """
        return self.journal.wait(lambda: self.left_at, timeout, f"the client of {self.method} {self.path} to leave")


class Journal:
    """
    The requests and connections of one server: written by its thread, read by any.

    Attributes:
        changed: Guards the rest, and is notified when something in it changed.
        requests: All requests, in order of arrival.
        connections: The open connections.
        answering: The request that is being answered on a connection.
    """

    def __init__(self) -> None:
        self.changed: threading.Condition = threading.Condition()
        self.requests: list[SeenRequest] = []
        self.connections: dict[web.RequestHandler, asyncio.Transport] = {}
        self.answering: dict[web.RequestHandler, SeenRequest] = {}

    def opened(self, connection: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Note a new connection."""
        with self.changed:
            self.connections[connection] = transport

    def closed(self, connection: web.RequestHandler) -> None:
        """Note the end of a connection, and who left by it."""
        now = time.monotonic()
        with self.changed:
            del self.connections[connection]
            seen = self.answering.pop(connection, None)
            if seen is not None and seen.finished_at is None:
                seen.left_at = now
            self.changed.notify_all()

    def began(self, connection: web.RequestHandler, seen: SeenRequest) -> None:
        """Note a request."""
        with self.changed:
            self.requests.append(seen)
            self.answering[connection] = seen
            self.changed.notify_all()

    def finished(self, seen: SeenRequest) -> None:
        """Note that an answer was played to its end."""
        with self.changed:
            seen.finished_at = time.monotonic()
            self.changed.notify_all()

    def ended(self, connection: web.RequestHandler) -> None:
        """Note that a connection has no answer going any more, whatever the reason."""
        with self.changed:
            self.answering.pop(connection, None)
            self.changed.notify_all()

    def wait(self, read: Callable[[], _T | None], timeout: float, what: str) -> _T:
        """
        Block until there is something to read.

        Args:
            read: Returns ``None`` as long as there is nothing yet.
            timeout: Seconds to wait at most.
            what: Words for what is waited for.

        Returns:
            What was read.

        Raises:
            TimeoutError: Nothing came in time.
        """
        with self.changed:
            self.changed.wait_for(lambda: read() is not None, timeout)
            value = read()
        if value is None:
            raise TimeoutError(f"waited {timeout} s for {what}")
        return value
