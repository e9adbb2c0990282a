"""The requests that the server received, and how each answer went."""

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
    One request, and how its answer went.

    Times are those of `time.monotonic`. The waiting methods block the calling thread: in a coroutine, call them through
    `asyncio.to_thread`.

    Attributes:
        method: The HTTP method.
        path: The path, without the query.
        headers: The headers, with lower-case names.
        body: The bytes of the body.
        peer_port: The client's port.
        received_at: When the request had arrived in full.
        first_byte_at: When the first byte of the answer was written.
        finished_at: When the answer had reached its scripted end.
        left_at: When the client disconnected, if that was before the answer was finished.
        longest_write_wait: The longest time in seconds that one write took. It is close to zero, unless the client did
            not read.
        sent: The number of bytes of the body that were written so far, without chunk framing.
        journal: The server's journal; not for callers.

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
        """The body as JSON. None if the body is not JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    def wait_finished(self, timeout: float = 5.0) -> float:
        """
        Block until the answer is finished.

        Args:
            timeout: The longest time to wait, in seconds.

        Returns:
            The moment at which it was finished.

        Raises:
            TimeoutError: If it is not finished in time.
        """
        return self.journal.wait(lambda: self.finished_at, timeout, f"{self.method} {self.path} to be finished")

    def wait_left(self, timeout: float = 5.0) -> float:
        """
        Block until the client has disconnected before the end of the answer.

        Args:
            timeout: The longest time to wait, in seconds.

        Returns:
            The moment at which it disconnected.

        Raises:
            TimeoutError: If it does not disconnect in time.
        """
        return self.journal.wait(lambda: self.left_at, timeout, f"the client of {self.method} {self.path} to leave")


class Journal:
    """
    The requests and connections of one server, written by its thread and read by any.

    Attributes:
        changed: The condition that guards the other attributes, and is notified of each change.
        requests: All requests, in order of arrival.
        connections: The open connections.
        answering: The request that is being answered on a connection.
    """

    def __init__(self) -> None:
        self.changed: threading.Condition = threading.Condition()
        self.requests: list[SeenRequest] = []
        self.connections: dict[web.RequestHandler, asyncio.Transport] = {}
        self.answering: dict[web.RequestHandler, SeenRequest] = {}

    def connection_opened(self, connection: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Add a connection."""
        with self.changed:
            self.connections[connection] = transport

    def connection_closed(self, connection: web.RequestHandler) -> None:
        """Remove a connection, and note that its client left if its answer is not finished."""
        now = time.monotonic()
        with self.changed:
            del self.connections[connection]
            seen = self.answering.pop(connection, None)
            if seen is not None and seen.finished_at is None:
                seen.left_at = now
            self.changed.notify_all()

    def request_began(self, connection: web.RequestHandler, seen: SeenRequest) -> None:
        """Add a request."""
        with self.changed:
            self.requests.append(seen)
            self.answering[connection] = seen
            self.changed.notify_all()

    def reply_finished(self, seen: SeenRequest) -> None:
        """Note that an answer reached its scripted end."""
        with self.changed:
            seen.finished_at = time.monotonic()
            self.changed.notify_all()

    def request_ended(self, connection: web.RequestHandler) -> None:
        """Note that nothing is being answered on a connection any more."""
        with self.changed:
            self.answering.pop(connection, None)
            self.changed.notify_all()

    def wait(self, read: Callable[[], _T | None], timeout: float, what: str) -> _T:
        """
        Block until a function returns a value.

        Args:
            read: The function. It returns None as long as there is no value.
            timeout: The longest time to wait, in seconds.
            what: A description for the error.

        Returns:
            The value.

        Raises:
            TimeoutError: If there is no value in time.
        """
        with self.changed:
            self.changed.wait_for(lambda: read() is not None, timeout)
            value = read()
        if value is None:
            raise TimeoutError(f"waited {timeout} s for {what}")
        return value
