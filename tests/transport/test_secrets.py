"""The API key in all that an error carries: texts, and the local variables of every frame of its tracebacks."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from types import FrameType

import httpx
import pytest
from faults_cases import HEAD, Client, chunked, listening, record, reset
from heard import PATIENCE
from http_cases import CHAT, serving
from tls_cases import CERTIFICATE
from tls_cases import KEY as SERVER_KEY

from rxollama import Ollama
from rxollama import operators as op
from rxollama._http import HttpTransport
from rxollama._http._connection_pool import ConnectionPool
from rxollama._runtime import background
from rxollama._wire import status_error
from rxollama.errors import ConnectionFailedError, StreamError
from rxollama.testing import ScriptedOllama
from rxollama.transport import DeliveringResponse

KEY = "the-secret-key"
PASSWORD = "the-proxy-password"  # noqa: S105 - It is searched for.


def exceptions_of(error: BaseException) -> list[BaseException]:
    """Return an error with all its causes, contexts and members."""
    found, rest = [error], [error]
    while rest:
        one = rest.pop()
        members: tuple[BaseException, ...] = getattr(one, "exceptions", ())
        for each in (one.__cause__, one.__context__, *members):
            if each is not None and each not in found:
                found.append(each)
                rest.append(each)
    return found


def frames_of(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames of an error's traceback."""
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def shown_by(error: BaseException) -> str:
    """Return the text and the local variables of an error, as tools that print both show them."""
    shown: list[str] = []
    for each in exceptions_of(error):
        shown += [repr(each), str(each), repr(each.args), repr(vars(each))]
        for frame in frames_of(each):
            shown += [f"{frame.f_code.co_qualname}.{name} = {value!r}" for name, value in frame.f_locals.items()]
    return "\n".join(shown)


def assert_clean(error: BaseException) -> None:
    """Assert that neither the key nor the password is shown, and that there was something to look at."""
    shown = shown_by(error)
    assert [] == [line for line in shown.splitlines() if KEY in line or PASSWORD in line]
    assert ".transport = <rxollama" in shown or ".ollama = Ollama(" in shown


async def ask(url: str, client: Client) -> None:
    """Send a request over the default transport or a given client, and read its records."""
    transport = HttpTransport(url, api_key=KEY, client=client)
    try:
        async with transport.open(CHAT) as response:
            if response.status != HTTPStatus.OK:
                raise status_error(response.status, response.headers, b"")
            async for _ in response:
                pass
    finally:
        await transport.aclose()


def failure_of(url: str, client: Client = None) -> StreamError:
    """Return the error of a request."""
    with pytest.raises(StreamError) as caught:
        asyncio.run_coroutine_threadsafe(ask(url, client), background()).result(PATIENCE)
    return caught.value


def nothing(connection: socket.socket) -> None:
    """Close a connection without a response."""
    connection.close()


def status(connection: socket.socket) -> None:
    """Refuse a request."""
    connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}")


def mail(connection: socket.socket) -> None:
    """Answer as a mail server does."""
    connection.sendall(b"220 mail.example ESMTP\r\n\r\n")


def no_size(connection: socket.socket) -> None:
    """Send a record and then what is not HTTP."""
    connection.sendall(HEAD + chunked(record(0)) + b"no size\r\n")


def cut(connection: socket.socket) -> None:
    """Send a record and close the connection."""
    connection.sendall(HEAD + chunked(record(0)))


def encoded(connection: socket.socket) -> None:
    """Send a body in an encoding that nobody asked for."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")


def repeating(connection: socket.socket) -> None:
    """Repeat what was sent in a header that is not valid."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX\0: %b\r\n\r\n" % _SENT)


def repeating_encoded(connection: socket.socket) -> None:
    """Repeat what was sent as an encoding."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\n\r\n" % _SENT)


_SENT = b"POST /api/chat HTTP/1.1|authorization: Bearer " + KEY.encode()

SCRIPTS = (nothing, reset, status, mail, no_size, cut, encoded, repeating, repeating_encoded)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_answers(http_client: Client, script: Callable[[socket.socket], None]) -> None:
    """The error of any answer shows no key."""
    with listening(script) as url:
        assert_clean(failure_of(url, http_client))


def test_through_a_stream(http_client: Client) -> None:
    """The error of a stream that is awaited shows no key."""

    async def main() -> None:
        async with Ollama(url, api_key=KEY, http_client=http_client) as ollama:
            await ollama.chat("m", "Count.").pipe(op.collect())

    with listening(cut) as url, pytest.raises(StreamError) as caught:
        asyncio.run_coroutine_threadsafe(main(), background()).result(PATIENCE)
    assert_clean(caught.value)


def test_a_consumer(http_client: Client) -> None:
    """The error of a consumer that raises while it reads shows no key."""

    async def main() -> None:
        transport = HttpTransport(url, api_key=KEY, client=http_client)
        try:
            async with transport.open(CHAT) as response:
                assert isinstance(response, DeliveringResponse)
                await response.deliver(fail)
        finally:
            await transport.aclose()

    def fail(_: bytes) -> bool:
        raise ValueError("a consumer of the caller's")

    with listening(cut) as url, pytest.raises(ValueError, match="a consumer") as caught:
        asyncio.run_coroutine_threadsafe(main(), background()).result(PATIENCE)
    assert_clean(caught.value)


def test_refused(http_client: Client) -> None:
    """The error of a refused connection shows no key."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert_clean(failure_of(f"http://127.0.0.1:{taken.getsockname()[1]}", http_client))


@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 64 + ".example"])
def test_unresolvable(http_client: Client, host: str) -> None:
    """The error of an unknown host shows no key."""
    assert_clean(failure_of(f"http://{host}", http_client))


def test_no_tls(server: ScriptedOllama, http_client: Client) -> None:
    """The error of a server that does not speak TLS shows no key."""
    assert_clean(failure_of(server.url.replace("http", "https"), http_client))


def test_untrusted(http_client: Client, tmp_path: Path) -> None:
    """The error of a certificate that is not trusted shows no key."""
    (tmp_path / "both.pem").write_text(CERTIFICATE + SERVER_KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")

    async def handle(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with serving(handle, context) as url:
            await ask(url, http_client)

    with pytest.raises(ConnectionFailedError, match="not trusted") as caught:
        asyncio.run_coroutine_threadsafe(main(), background()).result(PATIENCE)
    assert_clean(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("script", [nothing, mail], ids=lambda script: script.__name__)
def test_a_proxy(monkeypatch: pytest.MonkeyPatch, scheme: str, script: Callable[[socket.socket], None]) -> None:
    """The error of a request through a proxy shows neither the key nor the proxy's password."""
    with listening(script) as url:
        monkeypatch.setenv("all_proxy", url.replace("//", f"//user:{PASSWORD}@"))
        assert_clean(failure_of(f"{scheme}://ollama.example"))


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1", "gopher://127.0.0.1:1"])
def test_a_missing_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """The error of a proxy that is not there or of another kind shows neither of them."""
    monkeypatch.setenv("all_proxy", proxy.replace("//", f"//user:{PASSWORD}@"))
    failure = failure_of("http://ollama.example")
    assert type(failure) is ConnectionFailedError
    assert "its proxy" in str(failure)
    assert_clean(failure)


def test_a_timeout() -> None:
    """The error of a limit of time of a given client shows no key."""
    held = threading.Event()
    client = httpx.AsyncClient(timeout=httpx.Timeout(None, read=0.1))

    def hold(_: socket.socket) -> None:
        held.wait(PATIENCE)

    with listening(hold) as url:
        assert_clean(failure_of(url, client))
        held.set()
    asyncio.run_coroutine_threadsafe(client.aclose(), background()).result(PATIENCE)


@pytest.mark.parametrize("over", ["httpx", "our own"])
def test_a_header_that_is_not_valid(over: str) -> None:
    """The error of a header that is not valid HTTP shows no key."""
    transport = ConnectionPool(None, 60) if over == "our own" else None
    client = httpx.AsyncClient(headers={"x-key": f"{KEY}\n"}, transport=transport)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        failure = failure_of(f"http://127.0.0.1:{listener.getsockname()[1]}", client)
    assert "check the client's headers" in str(failure)
    assert_clean(failure)
    asyncio.run_coroutine_threadsafe(client.aclose(), background()).result(PATIENCE)
