"""A scripted Ollama in its own process, and the times of its requests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from _harness import child_process

from rxollama.testing import Reply, ScriptedOllama

__all__ = ("RequestTimes", "ServerProcess", "server_process")

_ENOUGH = 64
_NO_ANSWER_SECONDS = 0.2


class RequestTimes(NamedTuple):
    """The times of one request at the server, by `time.monotonic`, which all processes share."""

    model: str
    received_at: float
    first_byte_at: float | None
    finished_at: float | None
    left_at: float | None


class ServerProcess:
    """
    The server, as the process of its clients sees it.

    Args:
        pipe: The pipe to the server's process.

    Attributes:
        url: The server's address.
        full_url: An address where connecting neither succeeds nor fails.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.url: str
        self.full_url: str
        self.url, self.full_url = pipe.recv()

    def open_connections(self) -> int:
        """Return the number of the server's open connections."""
        count: int = self._ask("connections")
        return count

    def requests(self) -> list[RequestTimes]:
        """Return the times of all requests so far."""
        return [RequestTimes(*fields) for fields in self._ask("requests")]

    def _ask(self, what: str) -> Any:
        self._pipe.send(what)
        return self._pipe.recv()


@contextmanager
def server_process(choose: Callable[[str], Reply]) -> Generator[ServerProcess]:
    """
    Run the server during a `with` block.

    Args:
        choose: The function from a model's name to its reply. It is sent to another process, so it must be importable.

    Yields:
        The server.
    """
    with child_process(_run, choose) as pipe:
        yield ServerProcess(pipe)


async def _run(pipe: Connection, choose: Callable[[str], Reply]) -> None:
    with ScriptedOllama() as server, _full_listener() as full_port:
        for path in ("/api/chat", "/api/generate"):
            server.always(lambda seen: choose(seen.json["model"]), path=path)
        pipe.send((server.url, f"http://127.0.0.1:{full_port}"))
        await asyncio.to_thread(_answer_questions, pipe, server)


def _answer_questions(pipe: Connection, server: ScriptedOllama) -> None:
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        if question == "connections":
            pipe.send(server.open_connections)
        else:
            seen = server.requests
            pipe.send(
                [(one.json["model"], *(getattr(one, field) for field in RequestTimes._fields[1:])) for one in seen]
            )


@contextmanager
def _full_listener() -> Generator[int]:
    """Listen on a port whose queue is full and never emptied, so that a client stays connecting."""
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
