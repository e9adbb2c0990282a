"""What the fault suite shares: servers of raw bytes, bodies as they are on the wire, and the ways to look at an end."""

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
from rxollama.testing import Reply

__all__ = (
    "CLIENTS",
    "HEAD",
    "WORDS",
    "Client",
    "chunked",
    "held_background",
    "listening",
    "no_tasks_left",
    "owned",
    "partial_of",
    "record",
    "reset",
    "sockets_to",
    "sum_of",
    "words_of",
)

Client: TypeAlias = httpx.AsyncClient | None
Script: TypeAlias = Callable[[socket.socket], None]

CLIENTS = ("None", "httpx.AsyncClient()")
"""Both transports, as the code of a program has them."""

WORDS = ["One", " two", " three"]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"

# Linger on, for no time: closing then resets the connection. Windows has shorter fields.
_LINGER = struct.pack("hh" if hasattr(socket, "SO_EXCLUSIVEADDRUSE") else "ii", 1, 0)


def record(place: int) -> bytes:
    """Give one record of the answer `WORDS`; the one after the words is the one that is done."""
    return Reply.answer(WORDS).pieces[place].data


def chunked(*pieces: bytes) -> bytes:
    """Frame pieces as an HTTP body has them on the wire, its end not included."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def reset(connection: socket.socket) -> None:
    """Reset a connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    connection.close()


@contextmanager
def listening(script: Script) -> Generator[str]:
    """
    Serve connections one after another, for the length of a `with`.

    Args:
        script: What to do with a connection once its request was read; it is closed afterwards.

    Yields:
        The server's address.
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
    """Hold the background loop for the length of a `with`: what happens meanwhile, it finds all at once."""
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
    """Make a client for the running loop; at the end close it, and the HTTP client that it was given."""
    try:
        async with Ollama(url, http_client=http_client, **options) as ollama:
            yield ollama
    finally:
        if http_client is not None:
            await http_client.aclose()


async def no_tasks_left() -> None:
    """Block until the running loop has no task but this one, and has closed the sockets it was told to close."""
    for _ in range(3):
        await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, pending = await asyncio.wait(others, timeout=PATIENCE)
        assert not pending


def sockets_to(port: int) -> list[str]:
    """List the sockets of this process that are connected, or connecting, to a port."""
    found: Iterable[Any] = psutil.Process().net_connections(kind="tcp")
    return [str(one.status) for one in found if one.raddr and one.raddr.port == port]


def words_of(said: Any) -> tuple[Any, ...]:
    """Give all that a chunk or a response says."""
    return said.message.thinking, said.message.content, said.message.tool_calls


def sum_of(chunks: list[ChatChunk]) -> tuple[Any, ...]:
    """Give all that chunks say together."""
    return words_of(reduce(add, chunks, ChatChunk()))


def partial_of(error: Exception | None) -> tuple[Any, ...]:
    """Give all that an error says had arrived before it, of an answer that is not done."""
    assert isinstance(error, StreamError)
    assert error.partial is not None
    assert not error.partial.done
    return words_of(error.partial)
