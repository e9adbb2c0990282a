"""Connections over TLS. On asyncio's and uvloop's loops."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from heard import PATIENCE
from http_cases import CHAT, LOOPS, answer, body_of, read_request, run_on, serving
from tls_cases import CERTIFICATE, KEY

from rxollama._http import HttpTransport
from rxollama.errors import ClientClosedError, ConnectionFailedError, ConnectionLostError, StreamTimeoutError
from rxollama.transport import Request

T = TypeVar("T")

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=LOOPS)
def loop_name(request: pytest.FixtureRequest) -> str:
    """Return the name of a kind of loop."""
    return str(request.param)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return the file of a certificate."""
    path = tmp_path / "certificate.pem"
    path.write_text(CERTIFICATE)
    return path


@pytest.fixture
def context(tmp_path: Path, certificate: Path) -> ssl.SSLContext:
    """Return the server's settings of TLS."""
    key = tmp_path / "key.pem"
    key.write_text(KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> Path:
    """Trust the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return certificate


def quiet(main: Coroutine[Any, Any, T], loop_name: str) -> T:
    """Run a test on a kind of loop, within a limit of time."""
    return run_on(loop_name, asyncio.wait_for(main, PATIENCE))


@pytest.mark.usefixtures("trusted")
def test_kept(loop_name: str, context: ssl.SSLContext) -> None:
    """Connections are kept, and a large request arrives as it is."""
    large = Request(method="POST", path="/api/chat", body=b"x" * 3_000_000)

    async def main() -> None:
        connections = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            while True:
                _, body = await read_request(reader)
                writer.write(answer(b"%d" % len(body)))

        async with serving(handle, context) as url:
            transport = HttpTransport(url)
            assert [await body_of(transport, each) for each in (large, CHAT, large, CHAT)] == [
                b"3000000",
                b"2",
                b"3000000",
                b"2",
            ]
            await transport.aclose()
        assert connections == 1

    quiet(main(), loop_name)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "closed"])
def test_ends_early(loop_name: str, context: ssl.SSLContext, is_cut: bool) -> None:
    """A body that ends before its end is a lost connection, however the connection ended."""

    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(CHUNKED + b"5\r\nHello\r\n")
            if is_cut:
                writer.transport.abort()

        async with serving(handle, context) as url:
            transport = HttpTransport(url)
            with pytest.raises(ConnectionLostError):
                await body_of(transport)
            await transport.aclose()

    quiet(main(), loop_name)


@pytest.mark.usefixtures("trusted")
def test_until_close(loop_name: str, context: ssl.SSLContext) -> None:
    """A body without a length ends with its connection."""

    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nHello")

        async with serving(handle, context) as url:
            transport = HttpTransport(url)
            assert await body_of(transport) == b"Hello"
            await transport.aclose()

    quiet(main(), loop_name)


def test_untrusted(loop_name: str, context: ssl.SSLContext) -> None:
    """A certificate that is not trusted is a failed connection, and nothing is sent."""

    async def main() -> None:
        async with serving(_never, context) as url:
            transport = HttpTransport(url)
            with pytest.raises(ConnectionFailedError, match="certificate is not trusted"):
                await body_of(transport)
            await transport.aclose()

    quiet(main(), loop_name)


@pytest.mark.usefixtures("trusted")
def test_another_name(loop_name: str, context: ssl.SSLContext) -> None:
    """A certificate of another name is a failed connection."""

    async def main() -> None:
        async with serving(_never, context) as url:
            transport = HttpTransport(url.replace("localhost", "127.0.0.1"))
            with pytest.raises(ConnectionFailedError, match="certificate is not trusted"):
                await body_of(transport)
            await transport.aclose()

    quiet(main(), loop_name)


async def _never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    assert await reader.read() == b""


@pytest.mark.parametrize("way", ["a timeout", "a cancel", "an end", "closing"])
def test_no_handshake(loop_name: str, way: str) -> None:
    """A handshake that does not happen ends in every way, and leaves no socket."""

    async def main() -> None:
        accepted, left = asyncio.Event(), asyncio.Event()

        async def handle(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            accepted.set()
            if way != "an end":
                while await reader.read(65536):
                    pass
            left.set()

        async with serving(handle) as url:
            seconds = 0.1 if way == "a timeout" else 5
            transport = HttpTransport(url.replace("http:", "https:"), connect_seconds=seconds)
            asking = asyncio.create_task(body_of(transport))
            await accepted.wait()
            if way == "a cancel":
                asking.cancel()
            if way == "closing":
                await transport.aclose()
            (result,) = await asyncio.gather(asking, return_exceptions=True)
            expected = {
                "a timeout": StreamTimeoutError,
                "a cancel": asyncio.CancelledError,
                "an end": ConnectionFailedError,
                "closing": ClientClosedError,
            }
            assert type(result) is expected[way]
            await left.wait()
            await transport.aclose()

    quiet(main(), loop_name)


@pytest.mark.usefixtures("trusted")
def test_given_up(loop_name: str, context: ssl.SSLContext) -> None:
    """The server sees at once that a response is given up."""

    async def main() -> None:
        left = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(CHUNKED + b"5\r\nHello\r\n")
            try:
                await reader.read()
            finally:
                left.set()

        async with serving(handle, context) as url:
            transport = HttpTransport(url)
            async with transport.open(CHAT) as response:
                async for data in response:
                    assert data == b"Hello"
                    break
            await left.wait()
            await transport.aclose()

    quiet(main(), loop_name)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("turns", [*range(12), 20, 40])
def test_cancelled_at_any_turn(loop_name: str, context: ssl.SSLContext, turns: int) -> None:
    """A request that is cancelled during connecting, the handshake or the response leaves no socket and no task."""

    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(answer()[:-3])
            await reader.read()

        async with serving(handle, context) as url:
            transport = HttpTransport(url)
            asking = asyncio.create_task(body_of(transport))
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()
            await transport.aclose()

    quiet(main(), loop_name)
