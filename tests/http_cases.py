"""Helpers of the transport's tests: raw servers on the same loop, and runs on asyncio's and uvloop's loops."""

from __future__ import annotations

import asyncio
import gc
import ssl
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias, TypeVar

import uvloop

from rxollama._http import HttpTransport
from rxollama.transport import Request

__all__ = (
    "CHAT",
    "LOOPS",
    "VERSION",
    "Handler",
    "Run",
    "answer",
    "body_of",
    "read_request",
    "run_on",
    "serving",
)

T = TypeVar("T")

Handler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Run: TypeAlias = Callable[[Coroutine[Any, Any, T]], T]

CHAT = Request(method="POST", path="/api/chat", body=b"{}")
VERSION = Request(method="GET", path="/api/version")
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def run_on(name: str, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop in debug mode. A resource or an async generator that it leaves open fails the test."""
    try:
        with asyncio.Runner(debug=True, loop_factory=LOOPS[name]) as runner:
            runner.get_loop().slow_callback_duration = 60
            return runner.run(_closing_generators(main))
    finally:
        gc.collect()


async def _closing_generators(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, and assert that no async generator is left to the loop, which closes it in a task."""
    hooks, left = sys.get_asyncgen_hooks(), list[str]()
    loop_closes = hooks.finalizer
    assert loop_closes is not None

    def finalize(generator: AsyncGenerator[Any, Any]) -> None:
        left.append(repr(generator))
        loop_closes(generator)

    sys.set_asyncgen_hooks(finalizer=finalize)
    try:
        result = await main
    finally:
        sys.set_asyncgen_hooks(finalizer=loop_closes)
    assert left == []
    return result


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncGenerator[str]:
    """
    Serve raw connections within an `async with`.

    Args:
        handler: Called with each connection, which is closed afterwards.
        context: The settings of TLS.

    Yields:
        The address of the server.
    """
    tasks: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await handler(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            tasks.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    scheme = "https" if context else "http"
    name = "localhost" if context else "127.0.0.1"
    try:
        yield f"{scheme}://{name}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read a request, and return its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    return head, await reader.readexactly(length)


def answer(body: bytes = b"Hello", *headers: bytes) -> bytes:
    """Return a response with a length."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


async def body_of(transport: HttpTransport, request: Request = CHAT) -> bytes:
    """Send a request, and return the body of its response."""
    async with transport.open(request) as response:
        return b"".join([data async for data in response])
