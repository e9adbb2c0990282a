"""Responses that hand their bodies to a function, over our own transport and over a plain client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context

import pytest
from faults_cases import Client
from heard import PATIENCE
from http_cases import CHAT, Handler, answer, body_of, read_request, serving

from rxollama._http import HttpTransport
from rxollama.errors import ConnectionLostError, ProtocolError
from rxollama.transport import DeliveringResponse

PIECES = [b"One", b" two", b" three"]
CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


def answering(*, cut: bool = False, head: bytes = b"") -> Handler:
    """Return a handler that sends each piece only after the one before was taken."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + head + b"\r\n")
            for piece in PIECES:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
                await asyncio.sleep(0.01)
            if cut:
                return
            writer.write(b"0\r\n\r\n")

    return handle


@asynccontextmanager
async def opened(http_client: Client, handler: Handler) -> AsyncGenerator[DeliveringResponse]:
    """Yield the response to a request."""
    async with serving(handler) as url:
        transport = HttpTransport(url, client=http_client)
        try:
            async with asyncio.timeout(PATIENCE), transport.open(CHAT) as response:
                assert isinstance(response, DeliveringResponse)
                yield response
        finally:
            await transport.aclose()
            if http_client is not None:
                await http_client.aclose()


class Taking:
    """
    A function that takes pieces.

    Args:
        count: The number of pieces after which it wants no more; 0 for all.
    """

    def __init__(self, count: int = 0) -> None:
        self.pieces: list[bytes] = []
        self.callers: set[str] = set()
        self._count = count

    def __call__(self, data: bytes) -> bool:
        """Receive a piece."""
        self.pieces.append(data)
        self.callers.add(CALLER.get())
        return len(self.pieces) == self._count


async def test_to_the_end(http_client: Client) -> None:
    """Every piece is delivered as it arrives, and the end of the body ends the delivery."""
    take = Taking()
    async with opened(http_client, answering()) as response:
        await response.deliver(take)
        assert take.pieces == PIECES
        await response.deliver(take)
        assert [data async for data in response] == []
    assert take.pieces == PIECES


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_goes_on(http_client: Client, count: int) -> None:
    """After a delivery that was enough, iterating and delivering go on with the rest."""
    first, second = Taking(count), Taking(1)
    async with opened(http_client, answering()) as response:
        await response.deliver(first)
        assert first.pieces == PIECES[:count]
        await asyncio.sleep(0.02)
        await response.deliver(second)
        rest = [data async for data in response]
        assert b"".join(second.pieces + rest) == b"".join(PIECES[count:])


@pytest.mark.parametrize("kind", [OSError, ValueError, RuntimeError, KeyboardInterrupt, asyncio.CancelledError])
@pytest.mark.parametrize("count", [1, 2])
async def test_raising(http_client: Client, kind: type[BaseException], count: int) -> None:
    """An exception of the function leaves the delivery as it is, though a network could raise it too."""
    raised = kind("of the function's own")
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        if len(taken) == count:
            raise raised
        return False

    async with opened(http_client, answering()) as response:
        with pytest.raises(kind) as caught:
            await response.deliver(take)
        assert caught.value is raised
        assert b"".join([data async for data in response]) == b"".join(PIECES[count:])


async def test_raising_on_what_is_held(http_client: Client) -> None:
    """That holds for bytes that had arrived before the delivery, too."""
    raised = OSError("of the function's own")

    def take(_: bytes) -> bool:
        raise raised

    async with opened(http_client, answering()) as response:
        await asyncio.sleep(0.05)
        with pytest.raises(OSError, match="own") as caught:
            await response.deliver(take)
    assert caught.value is raised


async def test_lost(http_client: Client) -> None:
    """A connection that breaks ends the delivery with our error, after all that arrived."""
    take = Taking()
    async with opened(http_client, answering(cut=True)) as response:
        with pytest.raises(ConnectionLostError):
            await response.deliver(take)
    assert b"".join(take.pieces) == b"".join(PIECES)


async def test_encoded(http_client: Client) -> None:
    """A content-encoding that was not asked for ends the delivery before it begins."""
    take = Taking()
    async with opened(http_client, answering(head=b"Content-Encoding: gzip\r\n")) as response:
        with pytest.raises(ProtocolError, match="content-encoding"):
            await response.deliver(take)
    assert take.pieces == []


async def test_context() -> None:
    """The function runs in the context of the caller, also over a connection that another caller opened."""
    async with serving(answering()) as url:
        transport = HttpTransport(url)
        for name in ("first", "second"):
            take = Taking()

            async def ask(name: str, take: Taking) -> None:
                CALLER.set(name)
                async with transport.open(CHAT) as response:
                    assert isinstance(response, DeliveringResponse)
                    await response.deliver(take)

            await asyncio.create_task(ask(name, take), context=copy_context())
            assert take.callers == {name}
        await transport.aclose()


async def test_cancelled(http_client: Client) -> None:
    """A delivery that is cancelled stops, and closes the connection."""
    taken, left = asyncio.Event(), asyncio.Event()

    def take(_: bytes) -> bool:
        taken.set()
        return False

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer(b"Hello")[:-1])
        try:
            await reader.read()
        finally:
            left.set()

    async with serving(handle) as url:
        transport = HttpTransport(url, client=http_client)

        async def ask() -> None:
            async with transport.open(CHAT) as response:
                assert isinstance(response, DeliveringResponse)
                await response.deliver(take)

        asking = asyncio.create_task(ask())
        await asyncio.wait_for(taken.wait(), PATIENCE)
        asking.cancel()
        await asyncio.wait([asking])
        await asyncio.wait_for(left.wait(), PATIENCE)
        await transport.aclose()
        if http_client is not None:
            await http_client.aclose()


async def test_a_closed_response() -> None:
    """A response that was left reads nothing of the next one on its connection."""
    async with serving(answering()) as url:
        transport = HttpTransport(url)
        async with transport.open(CHAT) as response:
            assert isinstance(response, DeliveringResponse)
            await response.deliver(Taking())
        async with transport.open(CHAT) as other:
            with pytest.raises(ConnectionLostError):
                await response.deliver(Taking())
            assert b"".join([data async for data in other]) == b"".join(PIECES)
        assert await body_of(transport) == b"".join(PIECES)
        await transport.aclose()
