"""Requests that are left while connecting, or to a server that accepts and never answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from faults_cases import Client, background_is_idle, no_tasks_left, owned, sockets_to, until_sockets
from heard import Heard

from rxollama import Ollama
from rxollama import operators as op
from rxollama._runtime import background
from rxollama.errors import ClientClosedError, StreamTimeoutError

PATIENCE = 10.0
CONNECTED = "ESTABLISHED"
CONNECTING = "SYN_SENT"


class Listener(NamedTuple):
    """A port that nobody serves, and the state of a connection to it."""

    port: int
    status: str

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self.port}"


def listen(stack: contextlib.ExitStack, status: str) -> socket.socket:
    """Listen without accepting. For a connection that is never established, leave no room in the queue."""
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0 if status == CONNECTING else 16)
    return listener


@pytest.fixture(
    params=[
        CONNECTED,
        pytest.param(
            CONNECTING,
            marks=pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses instead"),
        ),
    ]
)
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    """Listen without answering, and check afterwards that no connection stays."""
    with contextlib.ExitStack() as stack:
        listening = listen(stack, request.param)
        address = listening.getsockname()
        fillers: list[socket.socket] = []
        for _ in range(4 if request.param == CONNECTING else 0):
            fillers.append(stack.enter_context(socket.socket()))
            fillers[-1].setblocking(False)
            fillers[-1].connect_ex(address)
        before = sockets_to(address[1])
        yield Listener(address[1], request.param)
        asyncio.run(until_sockets(address[1], before))


async def connected(listener: Listener, before: int) -> None:
    """Wait until one more socket of this process has its final state."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while sockets_to(listener.port).count(listener.status) <= before:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.005)


async def opened() -> None:
    """
    Let the loop run the turns in which a client notices that its socket is connected.

    A plain httpx client that is cancelled in between loses the connection: encode/httpcore#1093.
    """
    for _ in range(50):
        await asyncio.sleep(0)


def test_dispose(http_client: Client, listener: Listener) -> None:
    """Dispose closes the socket, while the client stays open."""
    before = sockets_to(listener.port)
    with Ollama(listener.url, http_client=http_client) as ollama:
        heard = Heard(ollama.chat("m", "Hello"))
        asyncio.run(connected(listener, before.count(listener.status)))
        asyncio.run_coroutine_threadsafe(opened(), background()).result(PATIENCE)
        heard.dispose()
        asyncio.run(until_sockets(listener.port, before))
        background_is_idle()
        assert not heard.over.is_set()


async def test_cancel(http_client: Client, listener: Listener) -> None:
    """Cancelling the task that awaits closes the socket and leaves no task."""
    before = sockets_to(listener.port)

    async with owned(listener.url, http_client) as ollama:

        async def ask() -> None:
            await ollama.chat("m", "Hello")

        task = asyncio.create_task(ask())
        await connected(listener, before.count(listener.status))
        await opened()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await no_tasks_left()
        await until_sockets(listener.port, before)


def test_close(http_client: Client, listener: Listener) -> None:
    """Closing the client ends the stream and closes the socket."""
    before = sockets_to(listener.port)
    with Ollama(listener.url, http_client=http_client) as ollama:
        heard = Heard(ollama.chat("m", "Hello"))
        asyncio.run(connected(listener, before.count(listener.status)))
        asyncio.run_coroutine_threadsafe(opened(), background()).result(PATIENCE)
    assert type(heard.failure) is ClientClosedError
    asyncio.run(until_sockets(listener.port, before))


def test_timeouts(http_client: Client, listener: Listener) -> None:
    """A limit for the first chunk includes connecting."""
    before = sockets_to(listener.port)
    with Ollama(listener.url, http_client=http_client) as ollama:
        heard = Heard(ollama.chat("m", "Hello").pipe(op.timeouts(first_chunk=0.2)))
        assert isinstance(heard.failure, StreamTimeoutError)
        assert heard.failure.phase == "first_chunk"
        asyncio.run(until_sockets(listener.port, before))
