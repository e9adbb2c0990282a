"""Helpers of the fault tests: servers of raw bytes, bodies as they are on the wire, and checks after an end."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import reduce
from operator import add
from typing import Any, TypeAlias

import httpx
import psutil  # type: ignore[import-untyped] # It brings no types.
from heard import PATIENCE

from rxollama import Ollama
from rxollama._runtime import background
from rxollama.errors import StreamError
from rxollama.messages import ChatChunk
from rxollama.testing import Reply, SeenRequest

__all__ = (
    "CLIENTS",
    "HEAD",
    "WORDS",
    "Client",
    "background_is_idle",
    "chunked",
    "closed_at_once",
    "closed_at_once_here",
    "held_background",
    "listening",
    "no_tasks_left",
    "owned",
    "partial_of",
    "record",
    "reset",
    "sockets_to",
    "sum_of",
    "until_sockets",
    "words_of",
)

Client: TypeAlias = httpx.AsyncClient | None
Script: TypeAlias = Callable[[socket.socket], None]

CLIENTS = ("None", "httpx.AsyncClient()")
"""Both transports, as code for a program."""

WORDS = ["One", " two", " three"]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"

# With a linger time of 0, closing a socket resets its connection. Windows has shorter fields.
_LINGER = struct.pack("hh" if hasattr(socket, "SO_EXCLUSIVEADDRUSE") else "ii", 1, 0)


def record(place: int) -> bytes:
    """Return one record of the answer `WORDS`. The one after the words has `done=True`."""
    return Reply.answer(WORDS).pieces[place].data


def chunked(*pieces: bytes) -> bytes:
    """Return pieces as chunks of an HTTP body, without the last chunk."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def reset(connection: socket.socket) -> None:
    """Reset a connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    connection.close()


@contextmanager
def listening(script: Script) -> Generator[str]:
    """
    Serve connections one after another, within a `with`.

    Args:
        script: Called with a connection whose request has been read. The connection is closed afterwards.

    Yields:
        The address of the server.
    """
    over = threading.Event()

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                if over.is_set():
                    return
                connection.settimeout(PATIENCE)
                _read_request(connection)
                script(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, name="raw-server", daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            socket.create_connection(listener.getsockname()).close()
            serving.join(PATIENCE)


def _read_request(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    while len(body) < length:
        body += _some(connection)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError("the client left before its request was there")
    return data


@contextmanager
def held_background() -> Generator[None]:
    """Block the background loop within a `with`, so that afterwards it finds at once all that happened meanwhile."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        release.wait(PATIENCE)

    background().call_soon_threadsafe(hold)
    assert held.wait(PATIENCE)
    try:
        yield
    finally:
        release.set()


@asynccontextmanager
async def owned(url: str, http_client: Client, **options: Any) -> AsyncGenerator[Ollama]:
    """Yield a client for the running loop, and close it and its HTTP client afterwards."""
    try:
        async with Ollama(url, http_client=http_client, **options) as ollama:
            yield ollama
    finally:
        if http_client is not None:
            await http_client.aclose()


async def no_tasks_left() -> None:
    """Wait until the running loop has no other task."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, pending = await asyncio.wait(others, timeout=PATIENCE)
        assert not pending


def sockets_to(port: int) -> list[str]:
    """Return the states of the sockets of this process that are connected, or connecting, to a port, sorted."""
    found: Iterable[Any] = psutil.Process().net_connections(kind="tcp")
    return sorted(str(one.status) for one in found if one.raddr and one.raddr.port == port)


async def until_sockets(port: int, states: list[str]) -> None:
    """Wait until the sockets of this process to a port have these states."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while (found := sockets_to(port)) != sorted(states):
        assert asyncio.get_running_loop().time() < deadline, found
        await asyncio.sleep(0.005)


def closed_at_once(seen: SeenRequest) -> None:
    """
    Assert that a request that was left has no connection after some turns of its loop, and that the server sees it.

    Turns and not seconds: a busy machine takes its time for them, and a client that waits for a timer does not close
    its connection within them.

    Args:
        seen: The request, whose stream lives on the background loop.
    """
    asyncio.run_coroutine_threadsafe(_turns(), background()).result(PATIENCE)
    assert _sockets_of(seen) == []
    seen.wait_left()


async def closed_at_once_here(seen: SeenRequest) -> None:
    """Assert the same of a request on the running loop."""
    await _turns()
    assert _sockets_of(seen) == []
    await asyncio.to_thread(seen.wait_left)


async def _turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def _sockets_of(seen: SeenRequest) -> list[Any]:
    found: Iterable[Any] = psutil.Process().net_connections(kind="tcp")
    return [one for one in found if one.raddr and one.laddr.port == seen.peer_port]


def background_is_idle() -> None:
    """Block until the background loop has no task."""
    asyncio.run_coroutine_threadsafe(no_tasks_left(), background()).result(PATIENCE)


def words_of(said: Any) -> tuple[Any, ...]:
    """Return the thinking, the content and the tool calls of a chunk or a response."""
    return said.message.thinking, said.message.content, said.message.tool_calls


def sum_of(chunks: list[ChatChunk]) -> tuple[Any, ...]:
    """Return the thinking, the content and the tool calls of a sum of chunks."""
    return words_of(reduce(add, chunks, ChatChunk()))


def partial_of(error: Exception | None) -> tuple[Any, ...]:
    """Return the thinking, the content and the tool calls of an error's partial response, which is not done."""
    assert isinstance(error, StreamError)
    assert error.partial is not None
    assert not error.partial.done
    return words_of(error.partial)
