"""Servers, systems and callers that do what they should not. On asyncio's and uvloop's loops."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from heard import PATIENCE
from http_cases import CHAT, LOOPS, answer, body_of, read_request, run_on, serving
from programs import Program
from tls_cases import CERTIFICATE, KEY, REMOTE_CERTIFICATE

from rxollama._http import HttpTransport
from rxollama.errors import ConnectionFailedError, ConnectionLostError, StreamTimeoutError
from rxollama.transport import Request

T = TypeVar("T")

_FILES = 128
_ROUNDS = 30


@pytest.fixture(params=LOOPS)
def loop_name(request: pytest.FixtureRequest) -> str:
    """Return the name of a kind of loop."""
    return str(request.param)


@pytest.fixture(params=["tcp", "tls"])
def context(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext | None:
    """Return the server's settings of TLS, whose certificate is trusted, or None."""
    if request.param == "tcp":
        return None
    return served(tmp_path, monkeypatch, CERTIFICATE)


def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> ssl.SSLContext:
    """Trust a certificate, and return the settings of TLS of its server."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_text(text)
    key.write_text(KEY)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def quiet(main: Coroutine[Any, Any, T], loop_name: str) -> T:
    """Run a test on a kind of loop, within a limit of time."""
    return run_on(loop_name, asyncio.wait_for(main, PATIENCE))


def test_a_second_response_while_paused(loop_name: str, context: ssl.SSLContext | None) -> None:
    """A response that nobody asked for answers no request, also if reading was paused as it arrived."""

    async def main() -> None:
        paused, sent = asyncio.Event(), asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            if sent.is_set():
                writer.write(answer(b"good"))
                return
            writer.write(answer(b"x" * 300_000))
            await paused.wait()
            writer.write(answer(b"evil"))
            await writer.drain()
            sent.set()
            await reader.read()

        async with serving(handle, context) as url:
            transport = HttpTransport(url)
            async with transport.open(CHAT) as response:
                # What was sent arrives before the next bytes, which a busy loop does not see.
                await asyncio.sleep(0.1)
                paused.set()
                await sent.wait()
                await asyncio.sleep(0.1)
                assert len(b"".join([data async for data in response])) == 300_000
            assert await body_of(transport) == b"good"
            await transport.aclose()

    quiet(main(), loop_name)


def test_no_free_file_descriptor(loop_name: str) -> None:
    """An idle connection serves the next request while the process can open no file."""

    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await read_request(reader)
                writer.write(answer())

        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        async with serving(handle) as url:
            transport = HttpTransport(url)
            await body_of(transport)
            with ExitStack() as stack:
                stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
                resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, limits[1]))
                with pytest.raises(OSError, match="Too many open files"):  # noqa: PT012 - One of them fails.
                    while True:
                        stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
                assert await body_of(transport) == b"Hello"
            await transport.aclose()

    quiet(main(), loop_name)


def test_refused_upload(loop_name: str) -> None:
    """A refusal is heard from a server that closes at once, which resets the connection while the request is sent."""
    request = Request(method="POST", path="/api/chat", body=b"x" * 5_000_000)

    def serve(listener: socket.socket) -> None:
        for _ in range(_ROUNDS):
            connection, _ = listener.accept()
            with connection:
                for _ in range(8):
                    connection.recv(65536)
                connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nlong")

    async def main(port: int) -> None:
        transport = HttpTransport(f"http://127.0.0.1:{port}")
        for _ in range(_ROUNDS):
            async with transport.open(request) as response:
                assert response.status == 413
                assert b"".join([data async for data in response]) == b"long"
        await transport.aclose()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        serving = threading.Thread(target=serve, args=(listener,))
        serving.start()
        quiet(main(listener.getsockname()[1]), loop_name)
        serving.join()


def test_reset(loop_name: str, context: ssl.SSLContext | None) -> None:
    """A connection that is reset within a body breaks it, also over TLS."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer()[:-1])
        await writer.drain()
        await asyncio.sleep(0.05)
        # With a linger time of 0, closing a socket resets its connection.
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async def main() -> None:
        async with serving(handle, context) as url:
            transport = HttpTransport(url)
            with pytest.raises(ConnectionLostError):
                await body_of(transport)
            await transport.aclose()

    quiet(main(), loop_name)


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "wrong"])
def test_certificates_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """Certificates that are not there, or none, are told as that: a retry cannot help, and the server is not asked."""
    path = tmp_path / "certificates.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(ConnectionFailedError, match="certificates to trust cannot be loaded"):
        asyncio.run(body_of(HttpTransport("https://127.0.0.1:1")))


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Return the settings of TLS of `ollama.example`, whose certificate is trusted."""
    return served(tmp_path, monkeypatch, REMOTE_CERTIFICATE)


@pytest.mark.parametrize("kind", ["silent", "slow"])
def test_a_proxy_that_connects(
    loop_name: str, remote: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The limit for connecting includes what a proxy takes to connect, and no more than that."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if kind == "silent":
            await reader.read()
            return
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await writer.start_tls(remote)
        await read_request(reader)
        await asyncio.sleep(seconds + 0.5)
        writer.write(answer())

    # A busy machine needs some time for the handshake, which has to be done within the limit.
    seconds = 0.5 if kind == "silent" else 3.0

    async def main() -> None:
        async with serving(handle) as url:
            monkeypatch.setenv("https_proxy", url)
            transport = HttpTransport("https://ollama.example", connect_seconds=seconds)
            if kind == "silent":
                with pytest.raises(StreamTimeoutError, match="cannot connect"):
                    await body_of(transport)
            else:
                assert await body_of(transport) == b"Hello"
            await transport.aclose()

    quiet(main(), loop_name)


def test_no_thread_to_resolve(start: Callable[..., Program]) -> None:
    """A name that no thread is left to resolve is a failed connection, and not an unknown name."""
    program = start(
        """
        import asyncio
        import threading
        from rxollama import Ollama

        async def main():
            threading.stack_size(1 << 46)
            async with Ollama("localhost:1") as ollama:
                try:
                    await ollama.version()
                except Exception as error:
                    print(type(error).__name__, str(error).partition(";")[0])
            # asyncio ends with a thread.
            threading.stack_size(0)

        asyncio.run(main())
        """
    )
    assert program.end() == "ConnectionFailedError cannot connect to http://localhost:1: can't start new thread"
