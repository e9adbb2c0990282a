"""A scripted Ollama in a process of its own, and what it saw of its clients."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from _server import apart

from rxollama.testing import Reply, ScriptedOllama

__all__ = ("Host", "Visit", "hosted")

_ENOUGH = 64
_NO_ANSWER_SECONDS = 0.2


class Visit(NamedTuple):
    """Be one request as the server saw it; the moments are of `time.monotonic`, which all processes share."""

    model: str
    received_at: float
    first_byte_at: float | None
    finished_at: float | None
    left_at: float | None


class Host:
    """
    Be the server, seen from the process of its clients.

    Args:
        pipe: The way to the server's process.

    Attributes:
        url: Its address.
        full_url: Where connecting neither succeeds nor fails.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.url: str
        self.full_url: str
        self.url, self.full_url = pipe.recv()

    def open_connections(self) -> int:
        """Count the connections that the server has open."""
        count: int = self._ask("connections")
        return count

    def visits(self) -> list[Visit]:
        """List all requests so far."""
        return [Visit(*fields) for fields in self._ask("visits")]

    def _ask(self, what: str) -> Any:
        self._pipe.send(what)
        return self._pipe.recv()


@contextmanager
def hosted(choose: Callable[[str], Reply]) -> Generator[Host]:
    """
    Run the server for the length of a `with`.

    Args:
        choose: Gives the reply for the name of a model; a function of a module, since it goes to another process.

    Yields:
        The server.
    """
    with apart(_live, choose) as pipe:
        yield Host(pipe)


async def _live(pipe: Connection, choose: Callable[[str], Reply]) -> None:
    with ScriptedOllama() as server, _full() as full_port:
        for path in ("/api/chat", "/api/generate"):
            server.always(lambda seen: choose(seen.json["model"]), path=path)
        pipe.send((server.url, f"http://127.0.0.1:{full_port}"))
        await asyncio.to_thread(_tell, pipe, server)


def _tell(pipe: Connection, server: ScriptedOllama) -> None:
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        if asked == "connections":
            pipe.send(server.open_connections)
        else:
            seen = server.requests
            pipe.send([(one.json["model"], *(getattr(one, field) for field in Visit._fields[1:])) for one in seen])


@contextmanager
def _full() -> Generator[int]:
    """Listen, accept nobody, and take up all the room there is for those who wait: a further one stays connecting."""
    waiting: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        try:
            while len(waiting) < _ENOUGH:
                waiting.append(socket.create_connection(listener.getsockname(), timeout=_NO_ANSWER_SECONDS))
        except TimeoutError:
            pass
        try:
            yield listener.getsockname()[1]
        finally:
            for one in waiting:
                one.close()
