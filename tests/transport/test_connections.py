"""Connections that serve one request after another, and when they do not. On asyncio's and uvloop's loops."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx
import pytest
from faults_cases import sockets_to, until_sockets
from heard import PATIENCE
from http_cases import CHAT, LOOPS, VERSION, answer, body_of, read_request, run_on, serving

from rxollama._http import HttpTransport
from rxollama._http._connection_pool import ConnectionPool
from rxollama.errors import ClientClosedError, ConnectionFailedError, ConnectionLostError, ProtocolError, StreamError
from rxollama.transport import DeliveringResponse, Request, Response

T = TypeVar("T")
DELETE = Request(method="DELETE", path="/api/delete", body=b"{}")
LARGE = Request(method="POST", path="/api/chat", body=b"x" * 20_000_000)


@pytest.fixture(params=LOOPS)
def loop_name(request: pytest.FixtureRequest) -> str:
    """Return the name of a kind of loop."""
    return str(request.param)


class Server:
    """
    The handler of a raw server, which answers each request with the next of its responses.

    Args:
        responses: The responses. After the last one, connections are held open and silent.
    """

    def __init__(self, *responses: bytes) -> None:
        self._responses = list(responses)
        self.connections = 0
        self.heads: list[bytes] = []
        self.left = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        self.connections += 1
        try:
            while self._responses:
                head, _ = await read_request(reader)
                self.heads.append(head)
                writer.write(self._responses.pop(0))
                await writer.drain()
            await reader.read()
        finally:
            self.left.set()


async def told_after(*responses: bytes) -> tuple[list[bytes], int]:
    """Send a request for each response, and return the bodies and the number of connections."""
    server = Server(*responses)
    async with serving(server) as url:
        transport = HttpTransport(url)
        bodies = [await body_of(transport) for _ in responses]
        await transport.aclose()
    return bodies, server.connections


def quiet(main: Coroutine[Any, Any, T], loop_name: str) -> T:
    """Run a test on a kind of loop, within a limit of time."""
    return run_on(loop_name, asyncio.wait_for(main, PATIENCE))


KEPT = {
    "a length": answer(),
    "no body": answer(b""),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\n\r\n",
    "a trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0005;a=b\r\nHello\r\n0\r\nX: y\r\n\r\n",
    "interim responses": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "keep-alive": answer(b"Hello", b"Connection: Keep-Alive"),
}
CLOSED = {
    "close": answer(b"Hello", b"Connection: keep-alive, Close"),
    "an older version": answer().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a length and chunks": KEPT["chunks"].replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n", 1),
    "surplus": answer() + b"HTTP/1.1 200 OK\r\n",
    "surplus behind chunks": KEPT["chunks"] + b"\r\n",
    "surplus behind nothing": answer(b"") + answer(b"Another"),
    "surplus behind 204": KEPT["204"] + answer(b"Another"),
}


@pytest.mark.parametrize("response", KEPT.values(), ids=KEPT)
def test_kept(loop_name: str, response: bytes) -> None:
    """A complete response leaves its connection to the next request."""
    bodies, connections = quiet(told_after(response, response, answer(b"Last")), loop_name)
    assert bodies[0] == bodies[1]
    assert bodies[0] in {b"Hello", b""}
    assert (bodies[2], connections) == (b"Last", 1)


@pytest.mark.parametrize("response", CLOSED.values(), ids=CLOSED)
def test_not_kept(loop_name: str, response: bytes) -> None:
    """A connection closes if either side asked for it, or if anything followed the response."""
    bodies, connections = quiet(told_after(response, answer(b"Last")), loop_name)
    assert bodies[0] in {b"Hello", b""}
    assert (bodies[1], connections) == (b"Last", 2)


def test_asked_to_close(loop_name: str) -> None:
    """A connection closes after a request that asks for it."""

    async def main() -> None:
        server = Server(answer(), answer())
        async with serving(server) as url:
            transport = HttpTransport(url, headers={"Connection": "Close"})
            assert [await body_of(transport) for _ in range(2)] == [b"Hello"] * 2
            await transport.aclose()
        assert server.connections == 2

    quiet(main(), loop_name)


def test_left_half_way(loop_name: str) -> None:
    """A response that is left while it is iterated leaves no task that closes an iterator."""

    async def main() -> None:
        async with serving(Server(answer()[:-1])) as url:
            transport = HttpTransport(url)
            tasks = asyncio.all_tasks()
            async with transport.open(CHAT) as response:
                async for _ in response:
                    break
            del response
            gc.collect()
            assert asyncio.all_tasks() - tasks <= {each for each in asyncio.all_tasks() if "serving" in repr(each)}
            await transport.aclose()

    quiet(main(), loop_name)


@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "not seen by the loop"])
def test_bytes_while_idle(loop_name: str, is_seen: bool) -> None:
    """Bytes that arrive between two requests close the connection, and are not the next response."""

    async def main() -> None:
        writers: list[asyncio.StreamWriter] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            while True:
                await read_request(reader)
                writer.write(answer(b"%d" % len(writers)))

        async with serving(handle) as url:
            transport = HttpTransport(url)
            assert await body_of(transport) == b"1"
            writers[0].write(answer(b"Forged"))
            if is_seen:
                await asyncio.sleep(0.05)
            assert await body_of(transport) == b"2"
            await transport.aclose()

    quiet(main(), loop_name)


@pytest.mark.parametrize("request_", [CHAT, VERSION, DELETE], ids=["POST", "GET", "DELETE"])
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("reused", [True, False], ids=["a reused connection", "a new one"])
def test_never_repeated(loop_name: str, request_: Request, reset: bool, reused: bool) -> None:
    """A request that was sent and got no response is an error, and is not sent again, whatever its method is."""

    async def main() -> None:
        seen: list[bytes] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if reused:
                await read_request(reader)
                writer.write(answer())
            seen.append((await read_request(reader))[0])
            if reset:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        async with serving(handle) as url:
            transport = HttpTransport(url)
            if reused:
                await body_of(transport)
            with pytest.raises(ConnectionLostError, match="broke before the response began"):
                await body_of(transport, request_)
            await transport.aclose()
        assert len(seen) == 1

    quiet(main(), loop_name)


def test_no_cookie_is_kept(loop_name: str) -> None:
    """A cookie that a server or proxy sets is not sent back."""

    async def main() -> None:
        server = Server(answer(b"One", b"Set-Cookie: a=b; Path=/"), answer(b"Two"))
        async with serving(server) as url:
            transport = HttpTransport(url)
            assert [await body_of(transport) for _ in range(2)] == [b"One", b"Two"]
            await transport.aclose()
        assert not any(b"cookie" in head.lower() for head in server.heads)

    quiet(main(), loop_name)


def test_head(loop_name: str) -> None:
    """The response to HEAD has no body, whatever its length says."""

    async def main() -> None:
        server = Server(answer(b"")[:-2].replace(b"Content-Length: 0", b"Content-Length: 5") + b"\r\n", answer())
        async with serving(server) as url, httpx.AsyncClient(transport=ConnectionPool(None, 60)) as client:
            assert (await client.head(url)).content == b""
            assert (await client.get(url)).content == b"Hello"
        assert server.connections == 1

    quiet(main(), loop_name)


def test_many_at_once(loop_name: str) -> None:
    """Requests at the same time each have a connection, which later ones share."""

    async def main() -> None:
        server = Server(*[answer()] * 60)
        async with serving(server) as url:
            transport = HttpTransport(url)
            for _ in range(2):
                assert await asyncio.gather(*[body_of(transport) for _ in range(30)]) == [b"Hello"] * 30
            await transport.aclose()
        assert server.connections == 30

    quiet(main(), loop_name)


def test_expiry(loop_name: str) -> None:
    """An idle connection closes after its time, and the next request opens another."""

    async def main() -> None:
        server = Server(answer(), answer())
        async with serving(server) as url, httpx.AsyncClient(transport=ConnectionPool(None, 0.01)) as client:
            await client.get(url)
            await server.left.wait()
            await client.get(url)
        assert server.connections == 2

    quiet(main(), loop_name)


def test_early_response(loop_name: str) -> None:
    """A response that arrives before a large request is sent is read, and the rest is not sent."""

    async def main() -> None:
        received = 0
        left = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal received
            received += len(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer(b"Too large").replace(b"200 OK", b"413 Too Large"))
            while data := await reader.read(65536):
                received += len(data)
            left.set()

        async with serving(handle) as url:
            transport = HttpTransport(url)
            async with transport.open(LARGE) as response:
                assert response.status == 413
                assert b"".join([data async for data in response]) == b"Too large"
            await left.wait()
            await transport.aclose()
        assert received < 15_000_000

    quiet(main(), loop_name)


def test_half_close(loop_name: str) -> None:
    """A server that answers a large request and stops reading it ends the connection at once."""

    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b"No").replace(b"200 OK", b"413 Too Large"))
            writer.write_eof()
            await asyncio.sleep(PATIENCE)

        async with serving(handle) as url:
            transport = HttpTransport(url)
            async with transport.open(LARGE) as response:
                assert b"".join([data async for data in response]) == b"No"
            await transport.aclose()

    quiet(main(), loop_name)


def test_given_up_upload(loop_name: str) -> None:
    """A large request that is given up is not sent to its end, and leaves no task."""

    async def main() -> None:
        received = 0
        begun, left = asyncio.Event(), asyncio.Event()

        async def handle(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            nonlocal received
            received += len(await reader.read(1000))
            begun.set()
            await given_up.wait()
            try:
                while data := await reader.read(65536):
                    received += len(data)
            finally:
                left.set()

        given_up = asyncio.Event()
        async with serving(handle) as url:
            transport = HttpTransport(url)
            asking = asyncio.create_task(body_of(transport, LARGE))
            await begun.wait()
            asking.cancel()
            await asyncio.wait([asking])
            given_up.set()
            await left.wait()
            await transport.aclose()
        assert received < 15_000_000

    quiet(main(), loop_name)


def test_whole_upload(loop_name: str) -> None:
    """A large request arrives as it is, again over the same connection."""

    async def main() -> None:
        bodies: list[bytes] = []
        connections = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            while True:
                bodies.append((await read_request(reader))[1])
                writer.write(answer())

        async with serving(handle) as url:
            transport = HttpTransport(url)
            for _ in range(3):
                await body_of(transport, LARGE)
            await transport.aclose()
        assert [body == LARGE.body for body in bodies] == [True] * 3
        assert connections == 1

    quiet(main(), loop_name)


async def read_all(response: Response, reading: str) -> int:
    """Read a body in one of two ways, and return its length."""
    pieces: list[bytes] = []

    def take(data: bytes) -> bool:
        pieces.append(data)
        return False

    if reading == "delivered":
        assert isinstance(response, DeliveringResponse)
        await response.deliver(take)
    else:
        pieces = [data async for data in response]
    return sum(map(len, pieces))


@pytest.mark.parametrize("reading", ["iterated", "delivered"])
def test_nobody_reads(loop_name: str, reading: str) -> None:
    """While nobody reads a response, little of it is held and the server has to wait. Nothing of it is lost."""
    size = 30_000_000

    async def main() -> None:
        sent = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            while True:
                await read_request(reader)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                sent = 0
                while sent < size:
                    writer.write(b"x" * 100_000)
                    await writer.drain()
                    sent += 100_000

        async with serving(handle) as url:
            transport = HttpTransport(url)
            for _ in range(2):
                async with transport.open(CHAT) as response:
                    before = -1
                    while before != sent:
                        before = sent
                        await asyncio.sleep(0.1)
                    assert sent < size
                    assert await read_all(response, reading) == size
            await transport.aclose()

    quiet(main(), loop_name)


def test_paused_at_the_end(loop_name: str) -> None:
    """A connection whose reading is paused at the end of a response reads the next response."""
    body = b"x" * 300_000

    async def main() -> None:
        server = Server(answer(body), answer(body))
        async with serving(server) as url:
            transport = HttpTransport(url)
            for _ in range(2):
                async with transport.open(CHAT) as response:
                    await asyncio.sleep(0.1)
                    assert b"".join([data async for data in response]) == body
            await transport.aclose()
        assert server.connections == 1

    quiet(main(), loop_name)


FLOODS = {
    "interim responses": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 100 + b"\r\n"),
    "a status": (b"HTTP/1.1 200 ", b"x" * 1000),
    "size digits": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 1000),
    "an extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"a=b;" * 250),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: " + b"y" * 100 + b"\r\n"),
}


@pytest.mark.parametrize(("start", "more"), FLOODS.values(), ids=FLOODS)
def test_floods(loop_name: str, start: bytes, more: bytes) -> None:
    """A response whose head, size or trailer does not end is refused, and the connection closes."""

    async def main() -> None:
        sent = 0
        left = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await read_request(reader)
            writer.write(start)
            try:
                while True:
                    writer.write(more)
                    await writer.drain()
                    sent += len(more)
                    await asyncio.sleep(0)
            finally:
                left.set()

        async with serving(handle) as url:
            transport = HttpTransport(url)
            with pytest.raises(ProtocolError):
                await body_of(transport)
            await left.wait()
            await transport.aclose()
        assert sent < 10_000_000

    quiet(main(), loop_name)


@pytest.mark.parametrize("turns", range(6))
def test_about_to_close(loop_name: str, turns: int) -> None:
    """A connection that is about to close serves no request, at whatever turn of the loop it is asked for."""

    async def main() -> None:
        async with (
            serving(Server(answer(), answer())) as url,
            httpx.AsyncClient(transport=ConnectionPool(None, 0)) as client,
        ):
            await client.get(url)
            for _ in range(turns):
                await asyncio.sleep(0)
            assert (await client.get(url)).content == b"Hello"

    quiet(main(), loop_name)


def test_closed_twice(loop_name: str) -> None:
    """A body that is closed again does no harm to the connection."""

    async def main() -> None:
        server = Server(answer(), answer())
        async with serving(server) as url, httpx.AsyncClient(transport=ConnectionPool(None, 60)) as client:
            async with client.stream("GET", url) as response:
                await response.aread()
            body = response.stream
            assert isinstance(body, httpx.AsyncByteStream)
            await body.aclose()
            assert (await client.get(url)).content == b"Hello"
        assert server.connections == 1

    quiet(main(), loop_name)


@pytest.mark.parametrize(
    ("greeting", "kind"), [(b"", ConnectionLostError), (b"220 mail.example ESMTP\r\n", ProtocolError)]
)
def test_lost_at_once(
    loop_name: str, monkeypatch: pytest.MonkeyPatch, greeting: bytes, kind: type[StreamError]
) -> None:
    """A connection on which the server speaks first, or which it closes, is an error, and nothing of it is left."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        connect = loop.create_connection

        async def connect_slowly(*args: Any, **options: Any) -> Any:
            made = await connect(*args, **options)
            await asyncio.sleep(0.05)
            return made

        async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting)

        monkeypatch.setattr(loop, "create_connection", connect_slowly)
        async with serving(handle) as url:
            transport = HttpTransport(url)
            with pytest.raises(kind):
                await body_of(transport)
            await transport.aclose()

    quiet(main(), loop_name)


@pytest.mark.parametrize("moment", ["connecting", "waiting", "reading", "idle"])
def test_closed_at_any_moment(loop_name: str, moment: str) -> None:
    """Closing the transport ends what is under way, and leaves no socket."""

    async def main() -> None:
        asked = asyncio.Event()
        body = answer()[:-3]

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            if moment != "waiting":
                writer.write(body + b"llo" if moment == "idle" else body)
            asked.set()
            await reader.read()

        async with serving(handle) as url:
            transport = HttpTransport(url)
            asking = asyncio.create_task(body_of(transport))
            if moment == "connecting":
                await asyncio.sleep(0)
            elif moment == "idle":
                await asking
            else:
                await asked.wait()
            await transport.aclose()
            (result,) = await asyncio.gather(asking, return_exceptions=True)
            assert result == b"Hello" if moment == "idle" else type(result).__name__ == "ClientClosedError"

    quiet(main(), loop_name)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses instead")
@pytest.mark.parametrize("is_awaited", [True, False])
def test_closed_while_nobody_accepts(loop_name: str, full_port: int, is_awaited: bool) -> None:
    """Closing the transport gives up a connection that is never accepted, whatever limit connecting has."""

    async def main() -> None:
        before = sockets_to(full_port)
        transport = HttpTransport(f"http://127.0.0.1:{full_port}", connect_seconds=600)
        asking = asyncio.create_task(body_of(transport))
        await until_sockets(full_port, [*before, "SYN_SENT"])
        if is_awaited:
            await transport.aclose()
            assert sockets_to(full_port) == before
        else:
            transport.close()
        with pytest.raises(ClientClosedError):
            await asking
        assert sockets_to(full_port) == before

    quiet(main(), loop_name)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses instead")
@pytest.mark.parametrize("turns", range(5))
def test_closed_as_connecting_ends(loop_name: str, full_port: int, turns: int) -> None:
    """A pool may be closed at any turn of the loop in which the time for connecting runs out."""

    async def main() -> None:
        before, timeout = sockets_to(full_port), httpx.Timeout(None, connect=0)
        client = httpx.AsyncClient(transport=ConnectionPool(None, 60), timeout=timeout)
        asking = asyncio.create_task(client.get(f"http://127.0.0.1:{full_port}"))
        for _ in range(1 + turns):
            await asyncio.sleep(0)
        await client.aclose()
        with pytest.raises(httpx.ConnectTimeout):
            await asking
        assert sockets_to(full_port) == before

    quiet(main(), loop_name)


@pytest.mark.parametrize("turns", range(12))
def test_closed_at_any_turn(loop_name: str, turns: int) -> None:
    """A transport that is closed after any number of turns of the loop leaves no request open, and no socket."""

    async def main() -> None:
        async with serving(Server(answer()[:-3])) as url:
            transport = HttpTransport(url)
            asking = asyncio.create_task(body_of(transport))
            for _ in range(1 + turns):
                await asyncio.sleep(0)
            await transport.aclose()
            with pytest.raises(ClientClosedError):
                await asking

    quiet(main(), loop_name)


@pytest.mark.parametrize("turns", range(12))
def test_cancelled_at_any_turn(loop_name: str, turns: int) -> None:
    """A request that is cancelled after any number of turns of the loop leaves no socket and no task."""

    async def main() -> None:
        async with serving(Server(*[answer()[:-3]] * 3)) as url:
            transport = HttpTransport(url)
            asking = asyncio.create_task(body_of(transport))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()
            await transport.aclose()

    quiet(main(), loop_name)


def test_the_end_of_the_loop(loop_name: str) -> None:
    """A loop that ends closes idle connections of a transport that nobody closed."""

    async def main() -> HttpTransport:
        async with serving(Server(answer())) as url:
            transport = HttpTransport(url)
            assert await body_of(transport) == b"Hello"
            return transport

    quiet(main(), loop_name)


class Addresses:
    """
    Connections to the addresses of a host, each of which does as it is told.

    Args:
        ways: By the last number of an address: `refuse`, `hang`, `connect`, or the number of seconds until it connects
            once all have been tried.
        port: The port of a server that listens at each of them.
    """

    def __init__(self, ways: dict[int, str | float], port: int, patch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._connect = loop.sock_connect
        self._ways = ways
        self._port = port
        self.tried: list[int] = []
        self.all_tried = asyncio.Event()
        patch.setattr(loop, "sock_connect", self._sock_connect)
        patch.setattr(loop, "getaddrinfo", self._resolve)

    async def _resolve(self, *_: Any, **__: Any) -> Any:
        addresses = [(f"127.0.0.{number}", self._port) for number in self._ways]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    async def _sock_connect(self, connecting: socket.socket, address: tuple[str, int]) -> None:
        number = int(address[0].rpartition(".")[2])
        self.tried.append(number)
        if len(self.tried) == len(self._ways):
            self.all_tried.set()
        way = self._ways[number]
        if way == "refuse":
            raise ConnectionRefusedError(111, "Connection refused")
        if way == "hang":
            await asyncio.sleep(PATIENCE * 2)
        if isinstance(way, float):
            await self.all_tried.wait()
            await asyncio.sleep(way)
        if way == "connect" or isinstance(way, float):
            connecting.setblocking(True)
            connecting.connect(("127.0.0.1", self._port))
            connecting.setblocking(False)


@pytest.mark.parametrize(
    ("ways", "tried"),
    [
        ({1: 0.0}, [1]),
        ({1: "refuse", 2: 0.0}, [1, 2]),
        ({1: "hang", 2: 0.0}, [1, 2]),
        ({1: "hang", 2: "refuse", 3: 0.0}, [1, 2, 3]),
        ({1: 0.15, 2: "refuse"}, [1, 2]),
        ({1: 0.05, 2: 0.05}, [1, 2]),
        ({1: "connect", 2: 0.0}, [1]),
        ({1: 0.0, 2: 0.0}, [1, 2]),
    ],
    ids=repr,
)
def test_several_addresses(
    loop_name: str, monkeypatch: pytest.MonkeyPatch, ways: dict[int, str | float], tried: list[int]
) -> None:
    """The first address that answers is used, and no other connection is left."""

    async def main() -> None:
        async with serving(Server(answer())) as url:
            port = int(url.rpartition(":")[2])
            addresses = Addresses(ways, port, monkeypatch)
            transport = HttpTransport(f"http://several.example:{port}")
            assert await body_of(transport) == b"Hello"
            assert addresses.tried == tried
            await transport.aclose()

    quiet(main(), loop_name)


def test_no_address(loop_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose addresses all refuse has the error of one that refuses."""

    async def main() -> None:
        Addresses({1: "refuse", 2: "refuse"}, 80, monkeypatch)
        transport = HttpTransport("http://several.example")
        with pytest.raises(ConnectionFailedError, match="connection refused"):
            await body_of(transport)
        await transport.aclose()

    quiet(main(), loop_name)


@pytest.mark.parametrize("ways", [{1: "hang", 2: "hang"}, {1: 0.01, 2: 0.01}], ids=repr)
def test_cancelled_between_addresses(
    loop_name: str, monkeypatch: pytest.MonkeyPatch, ways: dict[int, str | float]
) -> None:
    """A request that is cancelled while several addresses are tried leaves no socket."""

    async def main() -> None:
        async with serving(Server(answer())) as url:
            port = int(url.rpartition(":")[2])
            addresses = Addresses(ways, port, monkeypatch)
            transport = HttpTransport(f"http://several.example:{port}")
            asking = asyncio.create_task(body_of(transport))
            await addresses.all_tried.wait()
            asking.cancel()
            await asyncio.wait([asking])
            await transport.aclose()

    quiet(main(), loop_name)
