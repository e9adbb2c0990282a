"""The HTTP transport and its errors, over both kinds of HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
import ssl
import sys
import threading
import traceback
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal

import httpx
import pytest
from faults_cases import closed_at_once
from heard import Heard, settle, text_of
from httpx_aiohttp import AiohttpTransport
from programs import Program

from rxollama import Ollama
from rxollama._http import HttpTransport
from rxollama._http._network_errors import failure
from rxollama._runtime import background
from rxollama.errors import (
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    HttpClientError,
    InvalidValueError,
    ProtocolError,
    StatusError,
    StreamError,
    StreamTimeoutError,
    UnauthorizedError,
)
from rxollama.messages import ChatChunk
from rxollama.testing import Reply, ScriptedOllama
from rxollama.transport import Request, Response

Client = httpx.AsyncClient | None
WORDS = ["One", " two", " three"]
KEY = "the-secret-key"


@pytest.fixture
def chat(server: ScriptedOllama, http_client: Client) -> Iterator[Callable[[], Heard[ChatChunk]]]:
    """Yield a function that sends a request over either HTTP client."""
    with Ollama(server.url, http_client=http_client) as ollama:
        yield lambda: Heard(ollama.chat("m", "Count."))


@pytest.fixture
def unused_port() -> Iterator[int]:
    """Yield a port on which nothing listens. It stays taken, so that nothing else begins to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def told(url: str, http_client: Client) -> StreamError:
    """Send a request, and return its error."""
    with Ollama(url, http_client=http_client) as ollama:
        failure = Heard(ollama.chat("m", "Hello")).failure
    assert isinstance(failure, StreamError)
    return failure


def _texts_of(error: BaseException | None) -> list[str]:
    """Return all that an error and its chain show of themselves."""
    shown: list[str] = []
    while error is not None:
        shown += [repr(error), str(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    return shown


class TestNoConnection:
    """A server that is not there."""

    def test_refused(self, http_client: Client, unused_port: int) -> None:
        """The error of a refused connection says what to start or set."""
        error = told(f"http://127.0.0.1:{unused_port}", http_client)
        assert type(error) is ConnectionFailedError
        assert error.args[0] == (
            f"cannot connect to http://127.0.0.1:{unused_port}: connection refused; "
            "start Ollama there (`ollama serve`), or set OLLAMA_HOST to its address"
        )

    def test_refused_at_each_address(self, http_client: Client, unused_port: int) -> None:
        """A name with several addresses that all refuse has the same message."""
        assert "connection refused" in str(told(f"http://localhost:{unused_port}", http_client))

    @pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 64 + ".example"])
    def test_unresolvable(self, http_client: Client, host: str) -> None:
        """A host name that cannot be resolved, or is not valid, is a failed connection."""
        error = told(f"http://{host}:11434", http_client)
        assert type(error) is ConnectionFailedError
        assert "check OLLAMA_HOST" in str(error) or "not a valid URL" in str(error)

    def test_no_tls(self, http_client: Client, server: ScriptedOllama) -> None:
        """A server without TLS is a failed connection."""
        error = told(f"https://127.0.0.1:{server.port}", http_client)
        assert type(error) is ConnectionFailedError
        assert "check that this server speaks https" in str(error)

    def test_closed_client(self, server: ScriptedOllama) -> None:
        """An HTTP client that its owner closed is an error of its own."""
        client = httpx.AsyncClient()
        asyncio.run(client.aclose())
        error = told(server.url, client)
        assert type(error) is ClientClosedError
        assert "the HTTP client cannot be used" in str(error)


class TestBroken:
    """Servers that break off, or are not Ollama."""

    @pytest.mark.parametrize(
        ("reply", "when"),
        [
            (Reply.answer(WORDS).dropped(0), "before the response began"),
            (Reply.answer(WORDS).dropped(200), "before the response was complete"),
            (Reply.answer(WORDS).reset(0), "before the response began"),
            (Reply.answer(WORDS).reset(200), "before the response was complete"),
        ],
        ids=["dropped at once", "dropped later", "reset at once", "reset later"],
    )
    def test_lost(self, chat: Callable[[], Heard[ChatChunk]], server: ScriptedOllama, reply: Reply, when: str) -> None:
        """The error of a broken connection says when it broke, and the records before are emitted."""
        server.enqueue(reply)
        heard = chat()
        assert type(heard.failure) is ConnectionLostError
        assert f"broke {when}; a retry can help" in str(heard.failure)
        assert text_of(heard.items) in {"", "One"}

    @pytest.mark.parametrize(
        "garbage",
        [b"220 mail.example ESMTP\r\n\r\n", b"\x00\x01\x02\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"],
        ids=["mail", "binary", "status"],
    )
    def test_garbage(self, chat: Callable[[], Heard[ChatChunk]], server: ScriptedOllama, garbage: bytes) -> None:
        """A response that is not HTTP is an error."""
        server.enqueue(Reply.raw(garbage))
        assert type(chat().failure) is ProtocolError

    def test_garbage_later(self, chat: Callable[[], Heard[ChatChunk]], server: ScriptedOllama) -> None:
        """A response that stops being HTTP is an error."""
        line = Reply.answer(WORDS).pieces[0].data
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\nthis is no length\r\n" % (
            len(line),
            line,
        )
        server.enqueue(Reply.raw(head))
        heard = chat()
        assert type(heard.failure) in {ProtocolError, ConnectionLostError}

    def test_page(self, chat: Callable[[], Heard[ChatChunk]], server: ScriptedOllama) -> None:
        """A page instead of a stream is an error."""
        server.enqueue(Reply.plain("<html>Hello</html>", content_type="text/html"))
        assert "a page (HTML or XML)" in str(chat().failure)

    def test_redirect(self, http_client: Client, server: ScriptedOllama) -> None:
        """A redirect is an error with its target, because the key must not follow it."""
        with ScriptedOllama() as other, Ollama(server.url, api_key=KEY, http_client=http_client) as ollama:
            server.enqueue(Reply.plain("", 307, headers={"location": other.url + "/api/chat"}))
            failure = Heard(ollama.chat("m", "Hello")).failure
            assert isinstance(failure, StatusError)
            assert failure.status == 307
            assert f"it redirects to {other.url}/api/chat: set OLLAMA_HOST" in str(failure)
            assert other.requests == ()

    @pytest.mark.parametrize("answering", [False, True])
    def test_not_reading(self, http_client: Client, answering: bool) -> None:
        """Dispose ends the sending of a request that the server does not read."""
        answering = answering and http_client is None  # httpx itself reads nothing before all is sent.
        began, disposed = threading.Event(), threading.Event()
        got: list[int] = []

        def serve(listener: socket.socket) -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):
                got.append(len(connection.recv(1000)))
                if answering:
                    line = Reply.answer(WORDS).pieces[0].data
                    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(line))
                    connection.sendall(line + b"\r\n")
                began.set()
                assert disposed.wait(10)
                while part := len(connection.recv(1 << 20)):
                    got.append(part)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = threading.Thread(target=serve, args=(listener,))
            serving.start()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with Ollama(url, http_client=http_client) as ollama:
                heard = Heard(ollama.chat("m", "long " * 10_000_000)).wait_items(int(answering))
                began.wait()
                heard.dispose()
                settle()
                disposed.set()
                serving.join()
        assert sum(got) < 40_000_000


class TestEncodings:
    """Compressed bodies."""

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_refused(
        self, chat: Callable[[], Heard[ChatChunk]], server: ScriptedOllama, encoding: Literal["gzip", "deflate"]
    ) -> None:
        """A compressed body that was not asked for is an error, and nothing of it is decoded."""
        server.enqueue(Reply.answer(WORDS).encoded(encoding).stalled(2))
        heard = chat()
        assert type(heard.failure) is ProtocolError
        assert f"content-encoding: expected none, got '{encoding}'" in str(heard.failure)
        assert heard.items == []
        assert server.requests[0].headers["accept-encoding"] == "identity"

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_asked_for(self, http_client: Client, server: ScriptedOllama, encoding: Literal["gzip", "deflate"]) -> None:
        """A compressed body that the caller asked for is decoded as it arrives."""
        server.enqueue(Reply.answer(WORDS).encoded(encoding).stalled(2), Reply.answer(WORDS).encoded(encoding))
        headers = {"Accept-Encoding": "gzip, Deflate;q=0.5"}
        with Ollama(server.url, headers=headers, http_client=http_client) as ollama:
            first = Heard(ollama.chat("m", "Count.")).wait_items(2)
            first.dispose()
            assert text_of(Heard(ollama.chat("m", "Count.")).wait().items) == "One two three"

    def test_twice(self, http_client: Client, server: ScriptedOllama) -> None:
        """A body that is compressed twice is an error, though each encoding was asked for."""
        server.enqueue(Reply.answer(WORDS).with_headers({"content-encoding": "gzip, gzip"}))
        with Ollama(server.url, headers={"Accept-Encoding": "gzip"}, http_client=http_client) as ollama:
            assert type(Heard(ollama.chat("m", "Count.")).failure) is ProtocolError

    def test_not_what_it_says(self, http_client: Client, server: ScriptedOllama) -> None:
        """A body that is not encoded as it says is an error."""
        server.enqueue(Reply.answer(WORDS).with_headers({"content-encoding": "gzip"}))
        with Ollama(server.url, headers={"Accept-Encoding": "gzip"}, http_client=http_client) as ollama:
            assert type(Heard(ollama.chat("m", "Count.")).failure) is ProtocolError

    @pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
    def test_none(self, chat: Callable[[], Heard[ChatChunk]], server: ScriptedOllama, encoding: str) -> None:
        """A body in no encoding may say so."""
        server.enqueue(Reply.answer(WORDS).with_headers({"content-encoding": encoding}))
        assert text_of(chat().wait().items) == "One two three"

    def test_refusal(self, chat: Callable[[], Heard[ChatChunk]], server: ScriptedOllama) -> None:
        """The status of a refusal counts, though its body is compressed."""
        server.enqueue(Reply.error(401, {"error": "unauthorized"}).with_headers({"content-encoding": "gzip"}))
        assert type(chat().failure) is UnauthorizedError


class TestDispose:
    """Connections after the end of a stream, over both HTTP clients."""

    @pytest.mark.parametrize("pieces", [0, 2])
    def test_silent(self, chat: Callable[[], Heard[ChatChunk]], server: ScriptedOllama, pieces: int) -> None:
        """The server sees a dispose at once."""
        server.enqueue(Reply.answer(WORDS).stalled(pieces))
        heard = chat().wait_items(pieces)
        seen = server.wait_for(1)[0]
        heard.dispose()
        closed_at_once(seen)

    def test_reuse(self, chat: Callable[[], Heard[ChatChunk]], server: ScriptedOllama) -> None:
        """A finished stream leaves its connection to the next one."""
        server.always(Reply.answer(WORDS))
        assert [chat().wait().completed for _ in range(3)] == [True] * 3
        assert len({seen.peer_port for seen in server.requests}) == 1

    @pytest.mark.parametrize("client", ["None", "httpx.AsyncClient()"])
    def test_nothing_left(self, start: Callable[..., Program], server: ScriptedOllama, client: str) -> None:
        """No task is left after callbacks that raise, dispose and errors, and asyncio reports nothing."""
        server.always(Reply.answer(WORDS).stalled(2))
        server.enqueue(Reply.answer(WORDS).reset(200), path="/api/generate")
        program = start(
            f"""
            import asyncio, gc, httpx
            from rxollama import Ollama

            async def main():
                asyncio.get_running_loop().slow_callback_duration = 10  # httpx loads as it goes.
                client = {client}
                ollama = Ollama(sys.argv[1], http_client=client)
                over = asyncio.Queue()
                def fail(_):
                    raise ValueError
                ollama.chat("m", "Hello").subscribe(fail, over.put_nowait)
                ollama.generate("m", "Hello").subscribe(on_error=over.put_nowait)
                print(sorted([type(await over.get()).__name__ for _ in range(2)]))
                came = asyncio.Event()
                subscription = ollama.chat("m", "Hello").subscribe(lambda _: came.set())
                await came.wait()
                subscription.dispose()
                for _ in range(5):
                    gc.collect()
                    await asyncio.sleep(0)
                print(len(asyncio.all_tasks()))
                await ollama.aclose()
                if client:
                    await client.aclose()

            asyncio.run(main(), debug=True)
            gc.collect()
            """,
            server.url,
        )
        assert program.end() == "['ConnectionLostError', 'ValueError']\n1"


class TestTimeouts:
    """The limits of time."""

    def test_httpx_default(self, server: ScriptedOllama) -> None:
        """A slow model does not time out by default, also with an httpx client."""
        server.enqueue(Reply.answer(WORDS))
        sent: list[Any] = []
        client = httpx.AsyncClient()
        build = client.build_request

        def spy(*args: Any, **kwargs: Any) -> httpx.Request:
            sent.append(kwargs["timeout"])
            return build(*args, **kwargs)

        client.build_request = spy  # type: ignore[method-assign] # To see what is asked of it.
        with Ollama(server.url, http_client=client) as ollama:
            assert Heard(ollama.chat("m", "Hello")).wait().completed
        asyncio.run_coroutine_threadsafe(client.aclose(), background()).result(10)
        assert sent == [httpx.Timeout(None, connect=10)]

    @pytest.mark.parametrize("over", ["httpx", "aiohttp"])
    @pytest.mark.parametrize(("pieces", "phase"), [(0, "first_chunk"), (2, "gap")])
    def test_explicit(self, server: ScriptedOllama, over: str, pieces: int, phase: str) -> None:
        """The timeouts of a given client apply, and the error names the phase."""
        transport = AiohttpTransport() if over == "aiohttp" else None
        # Within the limit the request has to arrive, and what is sent.
        client = httpx.AsyncClient(timeout=httpx.Timeout(None, read=3.0 if pieces else 1.0), transport=transport)
        server.enqueue(Reply.answer(WORDS).stalled(pieces))
        failure = told(server.url, client)
        assert isinstance(failure, StreamTimeoutError)
        assert failure.phase == phase
        assert failure.partial is not None
        assert failure.partial.message.content == "".join(WORDS[:pieces])
        server.requests[0].wait_left()
        asyncio.run_coroutine_threadsafe(client.aclose(), background()).result(10)

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses instead")
    @pytest.mark.parametrize("over", ["httpx", "aiohttp"])
    def test_connect(self, full_port: int, over: str) -> None:
        """A server that does not accept is a timeout of connecting."""
        transport = AiohttpTransport() if over == "aiohttp" else None
        client = httpx.AsyncClient(timeout=httpx.Timeout(None, connect=0.1), transport=transport)
        failure = told(f"http://127.0.0.1:{full_port}", client)
        assert isinstance(failure, StreamTimeoutError)
        assert failure.phase == "connect"
        asyncio.run_coroutine_threadsafe(client.aclose(), background()).result(10)

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses instead")
    def test_own_connect(self, full_port: int) -> None:
        """Connecting has a limit by default."""
        with contextlib.closing(HttpTransport(f"http://127.0.0.1:{full_port}", connect_seconds=0.1)) as transport:
            failure = Heard(Ollama(transport=transport).chat("m", "Hello")).failure
        assert isinstance(failure, StreamTimeoutError)
        assert (failure.phase, "can be reached" in str(failure)) == ("connect", True)

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses instead")
    def test_connect_of_one_request(self, full_port: int) -> None:
        """A request may have a limit of its own for connecting."""
        request = Request(method="GET", path="/api/version", connect_timeout=0.1)

        async def main() -> None:
            async with transport.open(request):
                raise AssertionError

        transport = HttpTransport(f"http://127.0.0.1:{full_port}", connect_seconds=600)
        with contextlib.closing(transport), pytest.raises(StreamTimeoutError) as caught:
            asyncio.run(main())
        assert caught.value.phase == "connect"

    def test_pool(self, server: ScriptedOllama) -> None:
        """A given client whose connections are all in use is a timeout of connecting."""
        limits, timeout = httpx.Limits(max_connections=1), httpx.Timeout(None, pool=0.1)
        client = httpx.AsyncClient(limits=limits, timeout=timeout)
        server.always(Reply.answer(WORDS).stalled(1))
        with Ollama(server.url, http_client=client) as ollama:
            Heard(ollama.chat("m", "Hello")).wait_items(1)
            failure = Heard(ollama.chat("m", "Hello")).failure
        assert isinstance(failure, StreamTimeoutError)
        assert failure.phase == "connect"
        asyncio.run_coroutine_threadsafe(client.aclose(), background()).result(10)


class TestKey:
    """The API key."""

    def test_sent(self, http_client: Client, server: ScriptedOllama) -> None:
        """The key is sent as Bearer, beside the headers of the caller and our own."""
        server.enqueue(Reply.answer(WORDS))
        with Ollama(server.url, api_key=KEY, headers={"X-Team": "blue"}, http_client=http_client) as ollama:
            Heard(ollama.chat("m", "Hello")).wait()
        sent = server.requests[0].headers
        assert sent["authorization"] == f"Bearer {KEY}"
        assert sent["x-team"] == "blue"
        assert sent["content-type"] == "application/json"
        assert sent["user-agent"].startswith("rxollama/")

    def test_header_wins(self, http_client: Client, server: ScriptedOllama) -> None:
        """An authorization header of the caller's replaces the key."""
        headers = {"Authorization": "Basic abc", "User-Agent": "mine"}
        with Ollama(server.url, api_key=KEY, headers=headers, http_client=http_client) as ollama:
            Heard(ollama.version()).wait()
        assert server.requests[0].headers["authorization"] == "Basic abc"
        assert server.requests[0].headers["user-agent"] == "mine"
        assert "content-type" not in server.requests[0].headers

    def test_from_the_environment(self, server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch) -> None:
        """Host and key are read from the environment at construction, not later."""
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        monkeypatch.setenv("OLLAMA_API_KEY", f" {KEY}\n")
        with Ollama() as ollama, Ollama(api_key="") as keyless:
            monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:1")
            monkeypatch.setenv("OLLAMA_API_KEY", "another")
            Heard(ollama.version()).wait()
            Heard(keyless.version()).wait()
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert "authorization" not in server.requests[1].headers

    @pytest.mark.parametrize(
        "reply",
        [
            Reply.raw(b"220 mail.example ESMTP\r\n"),
            Reply.error(401, {"error": "unauthorized"}),
            Reply.answer(WORDS).reset(200),
            Reply.answer(WORDS).reset(0),
        ],
        ids=["garbage", "status", "reset", "reset at once"],
    )
    def test_never_shown(
        self, http_client: Client, server: ScriptedOllama, caplog: pytest.LogCaptureFixture, reply: Reply
    ) -> None:
        """The key is in no repr, error, cause of an error or log."""
        caplog.set_level(0)
        server.enqueue(reply)
        with Ollama(server.url, api_key=KEY, http_client=http_client) as ollama:
            failure = Heard(ollama.chat("m", "Hello")).failure
            shown = [repr(ollama), repr(vars(ollama)), *traceback.format_exception(failure), caplog.text]
        assert KEY not in "\n".join([*shown, *_texts_of(failure)])

    @pytest.mark.parametrize("over", ["httpx", "aiohttp"])
    def test_never_shown_by_a_client(self, server: ScriptedOllama, over: str) -> None:
        """A key in a header of a given client that is not valid HTTP is in no error either."""
        transport = AiohttpTransport() if over == "aiohttp" else None
        client = httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}\n"}, transport=transport)
        error = told(server.url, client)
        assert type(error) is (HttpClientError if over == "aiohttp" else ConnectionFailedError)
        assert KEY not in "\n".join(_texts_of(error))
        asyncio.run_coroutine_threadsafe(client.aclose(), background()).result(10)

    def test_large(self, http_client: Client, server: ScriptedOllama) -> None:
        """A large request is sent completely, with its length."""
        server.enqueue(Reply.answer(WORDS), Reply.answer(WORDS))
        with Ollama(server.url, http_client=http_client) as ollama:
            for _ in range(2):
                assert Heard(ollama.chat("m", "long " * 1_000_000)).wait().completed
        for seen in server.requests:
            assert seen.json["messages"] == [{"role": "user", "content": "long " * 1_000_000}]
            assert seen.headers["content-length"] == str(len(seen.body))
            assert "transfer-encoding" not in seen.headers
        assert len({seen.peer_port for seen in server.requests}) == 1

    def test_unauthorized(self, http_client: Client, server: ScriptedOllama) -> None:
        """The error of a missing key has the address to sign in at."""
        server.enqueue(Reply.error(401, {"error": "unauthorized", "signin_url": "https://ollama.com/connect"}))
        failure = told(server.url, http_client)
        assert isinstance(failure, UnauthorizedError)
        assert failure.signin_url == "https://ollama.com/connect"


class TestProxies:
    """Proxies of the environment."""

    def test_for_others(self, server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch) -> None:
        """A request to another machine goes through the proxy."""
        monkeypatch.setenv("http_proxy", server.url)
        server.enqueue(Reply.answer(WORDS))
        with Ollama("http://ollama.example:11434") as ollama:
            assert text_of(Heard(ollama.chat("m", "Hello")).wait().items) == "One two three"
        assert server.requests[0].headers["host"] == "ollama.example:11434"

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_not_for_this_machine(
        self, server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch, host: str, unused_port: int
    ) -> None:
        """A request to this machine does not."""
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port}")
        server.enqueue(Reply.answer(WORDS))
        with Ollama(f"http://{host}:{server.port}") as ollama:
            assert Heard(ollama.chat("m", "Hello")).wait().completed

    def test_excepted(self, server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch) -> None:
        """A request to a host in `no_proxy` does not."""
        monkeypatch.setenv("all_proxy", server.url)
        monkeypatch.setenv("no_proxy", "nowhere.invalid:11434")
        assert "cannot be resolved" in str(told("http://nowhere.invalid:11434", None))
        assert server.requests == ()

    def test_unreachable(self, monkeypatch: pytest.MonkeyPatch, unused_port: int) -> None:
        """A proxy that is not there is a failed connection."""
        monkeypatch.setenv("all_proxy", f"http://user:{KEY}@127.0.0.1:{unused_port}")
        error = told("http://ollama.example:11434", None)
        assert type(error) is ConnectionFailedError
        assert "its proxy cannot be reached (Connection refused)" in str(error)
        assert KEY not in "\n".join(_texts_of(error))

    @pytest.mark.parametrize("proxy", ["http://u:{}%40h", "http://u:{}\uff20h:1", "ftp://u:{}@h", "http://u:1/{}@h"])
    def test_never_shown(self, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
        """A password in the address of a proxy is not shown, in whatever spelling."""
        monkeypatch.setenv("http_proxy", proxy.format(KEY))
        error = told("http://ollama.example:11434", None)
        assert type(error) is ConnectionFailedError
        assert "its proxy is not a valid URL" in str(error) or "its proxy cannot be reached" in str(error)
        assert KEY not in "\n".join(_texts_of(error))

    def test_without_a_scheme(self, server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy may be named without its scheme."""
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{server.port}")
        server.enqueue(Reply.answer(WORDS))
        with Ollama("http://ollama.example:11434") as ollama:
            assert Heard(ollama.chat("m", "Hello")).wait().completed

    def test_refusing(self, server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy that refuses is a failed connection."""
        monkeypatch.setenv("https_proxy", server.url)
        error = told("https://ollama.example", None)
        assert type(error) is ConnectionFailedError
        assert "its proxy refused the request (404 " in str(error)

    def test_of_another_kind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy of an unsupported kind is a failed connection."""
        monkeypatch.setenv("http_proxy", "gopher://127.0.0.1:70")
        error = told("http://ollama.example:11434", None)
        assert type(error) is ConnectionFailedError


class TestGivenClient:
    """An HTTP client of the caller's own."""

    async def test_never_closed(self, server: ScriptedOllama) -> None:
        """A given client is never closed here."""
        async with httpx.AsyncClient() as client:
            async with Ollama(server.url, http_client=client) as ollama:
                assert await ollama.version() == "0.0.0"
            ollama.close()
            assert not client.is_closed

    async def test_tests_of_others(self) -> None:
        """A given client may have a transport without a network."""
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"version": "1.2.3"}))
        async with httpx.AsyncClient(transport=transport) as client:
            assert await Ollama(http_client=client).version() == "1.2.3"


class _Spoken:
    """A response without a network."""

    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces."""
        for piece in self._pieces:
            yield piece


class _Speaking:
    """A transport without a network."""

    def __init__(self, *pieces: bytes) -> None:
        self.requests: list[Request] = []
        self._pieces = pieces

    def open(self, request: Request) -> AbstractAsyncContextManager[Response]:
        """Return a response."""
        self.requests.append(request)
        return self._answer()

    @asynccontextmanager
    async def _answer(self) -> AsyncGenerator[Response, None]:
        yield _Spoken(self._pieces)


class TestSeam:
    """Transports of the caller's own."""

    async def test_used(self) -> None:
        """A transport needs only one method."""
        transport = _Speaking(b'{"version":', b'"1.2.3"}')
        async with Ollama(transport=transport) as ollama:
            assert await ollama.version() == "1.2.3"
        assert transport.requests == [Request(method="GET", path="/api/version")]
        assert transport.requests[0].body is None

    @pytest.mark.parametrize("host", [None, "http://gpu-box:11434"])
    async def test_host(self, host: str | None) -> None:
        """An error over such a transport names the host if the caller did."""
        async with Ollama(host, transport=_Speaking(b"nothing")) as ollama:
            with pytest.raises(ProtocolError) as caught:
                await ollama.version()
        assert caught.value.host == (host or "")

    async def test_eager_tasks(self) -> None:
        """A transport works with eager tasks."""
        factory: Any = getattr(asyncio, "eager_task_factory", None)
        asyncio.get_running_loop().set_task_factory(factory)
        assert await Ollama(transport=_Speaking(b'{"version": "1"}')).version() == "1"


class TestLoops:
    """One HTTP client for each loop."""

    def test_forgotten_with_their_loops(self, server: ScriptedOllama) -> None:
        """What belongs to a closed loop is released when another loop sends a request."""
        transport = HttpTransport(server.url)
        loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

        async def ask() -> int:
            loops.append(weakref.ref(asyncio.get_running_loop()))
            async with transport.open(Request(method="GET", path="/api/version")) as response:
                return response.status

        assert [asyncio.run(ask()) for _ in range(3)] == [200] * 3
        gc.collect()
        assert [loop() for loop in loops[:-1]] == [None, None]
        server.wait_closed()

    def test_closed(self, server: ScriptedOllama) -> None:
        """A closed transport refuses requests."""
        transport = HttpTransport(server.url)
        transport.close()

        async def ask() -> None:
            async with transport.open(Request(method="GET", path="/api/version")):
                pytest.fail("it was sent")

        with pytest.raises(ClientClosedError, match="make a new one"):
            asyncio.run(ask())

    async def test_closed_meanwhile(self, server: ScriptedOllama) -> None:
        """A response that breaks because the transport is closed is a `ClientClosedError`."""
        transport = HttpTransport(server.url)
        server.enqueue(Reply.answer(WORDS).stalled(1))

        async def ask() -> None:
            async with transport.open(Request(method="POST", path="/api/chat", body=b"{}")) as response:
                async for _ in response:
                    await transport.aclose()

        with pytest.raises(ClientClosedError, match="the client was closed"):
            await ask()


def _connect_timeout(cause: Exception) -> httpx.ConnectTimeout:
    # httpx-aiohttp reports so whatever goes wrong while it connects.
    timeout = httpx.ConnectTimeout(str(cause))
    timeout.__cause__ = cause
    return timeout


def _certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def _refused_over_aiohttp() -> httpx.ConnectTimeout:
    error = httpx.ConnectTimeout("Cannot connect to host example:11434")
    error.__cause__ = OSError(errno.EHOSTUNREACH, "Connect call failed")
    return error


class TestFailure:
    """Faults that a test server cannot cause."""

    def test_context_of_the_loop(self, unused_port: int, server: ScriptedOllama) -> None:
        """An exception that is handled around the loop is not part of the chain."""
        server.enqueue(Reply.answer(WORDS).dropped(0))
        ollama = Ollama(server.url)

        async def ask() -> ChatChunk:
            return await ollama.chat("m", "Hello")

        try:
            socket.create_connection(("127.0.0.1", unused_port))
        except ConnectionRefusedError:
            with pytest.raises(ConnectionLostError):
                asyncio.run(ask())

    @pytest.mark.parametrize(
        ("fault", "phase", "kind"),
        [
            (ssl.SSLError("bad record"), "body", ConnectionLostError),
            (httpx.InvalidURL("no"), "headers", ConnectionFailedError),
            (httpx.UnsupportedProtocol("no"), "headers", ConnectionFailedError),
            (httpx.LocalProtocolError("no"), "headers", ConnectionFailedError),
            (httpx.ConnectError("no"), "headers", ConnectionFailedError),
            (httpx.ReadError("no"), "body", ConnectionLostError),
            (httpx.StreamConsumed(), "body", ConnectionLostError),
            (ValueError("no"), "headers", ConnectionFailedError),
            (BaseExceptionGroup("all", [ConnectionRefusedError()]), "headers", ConnectionFailedError),
        ],
        ids=repr,
    )
    def test_kind(self, fault: BaseException, phase: str, kind: type[StreamError]) -> None:
        """Each fault becomes one of our errors."""
        assert type(failure(fault, phase, "http://example")) is kind

    @pytest.mark.parametrize(
        ("fault", "text"),
        [
            (httpx.ProxyError("403 Forbidden"), "its proxy refused the request (403 Forbidden)"),
            (ssl.SSLError(1, "bad record"), "no TLS ("),
            (_certificate_error(), "its certificate is not trusted (self-signed certificate)"),
            (OSError(errno.EHOSTUNREACH, "Connect call failed"), "broke before the response began"),
            (
                _connect_timeout(OSError(errno.EHOSTUNREACH, "Cannot connect")),
                "cannot connect to http://example: No route",
            ),
            (_connect_timeout(Exception("Server disconnected")), "broke before the response began"),
            (_connect_timeout(ConnectionResetError(errno.ECONNRESET, "reset")), "broke before the response began"),
            (_connect_timeout(TimeoutError()), "cannot connect to http://example in time"),
            (httpx.ConnectTimeout(""), "cannot connect to http://example in time"),
            (_refused_over_aiohttp(), f"{os.strerror(errno.EHOSTUNREACH)}; check that the server can be reached"),
            (httpx.ConnectError("All attempts failed"), "All attempts failed; check that the server can be reached"),
        ],
        ids=repr,
    )
    def test_text(self, fault: BaseException, text: str) -> None:
        """The message says why."""
        assert text in str(failure(fault, "headers", "http://example"))

    def test_cause(self) -> None:
        """The fault is the cause of an error only if the message says less."""
        fault = httpx.RemoteProtocolError("illegal status line")
        assert failure(fault, "headers", "http://example").__cause__ is fault
        assert failure(ConnectionRefusedError(), "headers", "http://example").__cause__ is None

    def test_no_chain(self, unused_port: int) -> None:
        """The traceback of a refused connection has only our error."""
        shown = "".join(traceback.format_exception(told(f"http://127.0.0.1:{unused_port}", None)))
        assert "aiohttp" not in shown
        assert shown.count("Error: ") == 1


class TestRefused:
    """Wrong arguments of a client."""

    @pytest.mark.parametrize(
        ("field", "options"),
        [
            ("host", {"host": "http://h:99999"}),
            ("api_key", {"api_key": "clé"}),
            ("api_key", {"api_key": "a\nb"}),
            ("api_key", {"api_key": 1}),
            ("headers", {"headers": "x: y"}),
            ("headers['x']", {"headers": {"x": "a\r\nb"}}),
            ("headers", {"headers": {"x y": "a"}}),
            ("headers['x']", {"headers": {"x": 1}}),
            ("headers", {"headers": {1: "x"}}),
            ("http_client", {"http_client": httpx.Client}),
            ("http_client", {"http_client": object()}),
            ("http_client", {"http_client": httpx.AsyncClient(), "transport": HttpTransport("http://h:1")}),
            ("transport", {"transport": object()}),
            ("transport", {"transport": HttpTransport}),
            ("max_line", {"max_line": 0}),
            ("max_line", {"max_line": "1"}),
        ],
    )
    def test_refused(self, field: str, options: dict[str, Any]) -> None:
        """A wrong argument is refused by its name, without showing a key."""
        with pytest.raises(InvalidValueError) as refusal:
            Ollama(**options)
        assert refusal.value.field == field
        assert "clé" not in str(refusal.value)

    def test_max_line(self, server: ScriptedOllama) -> None:
        """A record over `max_line` is an error."""
        server.enqueue(Reply.answer(["x" * 2000]))
        with Ollama(server.url, max_line=1000) as ollama:
            failure = Heard(ollama.chat("m", "Hello")).failure
        assert isinstance(failure, ProtocolError)
        assert "larger max_line=" in str(failure)
