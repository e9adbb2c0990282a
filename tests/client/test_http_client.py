"""A caller's own HTTP client: its hooks, auth and transport, and the tools that patch httpx."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from typing import Any

import httpx
import pytest
import respx
from heard import Heard, text_of
from httpx_aiohttp import AiohttpTransport
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rxollama import Ollama, run
from rxollama import operators as op
from rxollama._runtime import background
from rxollama.errors import (
    BusyError,
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    HttpClientError,
    NotFoundError,
    StreamError,
)
from rxollama.testing import Reply, ScriptedOllama, SeenRequest

PATIENCE = 10.0
KEY = "the-secret-key"
RECORDS = [
    *({"message": {"role": "assistant", "content": word}, "done": False} for word in ("One", " two")),
    {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"},
]
LINES = [json.dumps(record).encode() + b"\n" for record in RECORDS]

Make = Callable[..., Ollama]


@pytest.fixture
def make(server: ScriptedOllama) -> Generator[Make]:
    """Yield a function that makes a client over an HTTP client with the given options."""
    made: list[tuple[Ollama, httpx.AsyncClient]] = []

    def make(**options: Any) -> Ollama:
        client = httpx.AsyncClient(**options)
        made.append((Ollama(server.url, api_key=KEY, http_client=client), client))
        return made[-1][0]

    yield make
    for ollama, client in made:
        ollama.close()
        asyncio.run_coroutine_threadsafe(client.aclose(), background()).result(PATIENCE)


def failed(ollama: Ollama, *, attempts: int = 1) -> StreamError:
    """Return the error of a chat that may be asked again."""
    error = Heard(ollama.chat("m", "Hello").pipe(op.retry(attempts, backoff=0.001))).failure
    assert isinstance(error, StreamError)
    return error


async def read(response: httpx.Response) -> None:
    """Read the body in a hook."""
    await response.aread()


class Login(httpx.Auth):
    """An auth for which httpx reads every body, since that of a refusal holds the token."""

    requires_response_body = True

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Yield a request, and yield it again with the token."""
        request.headers["authorization"] = "none"
        response = yield request
        if response.status_code == 401:
            request.headers["authorization"] = response.json()["error"]
            yield request


class TestReadBodies:
    """Code of a client that reads the body before us."""

    @pytest.mark.parametrize("unread", [True, False])
    def test_hook(self, make: Make, server: ScriptedOllama, *, unread: bool) -> None:
        """A hook may read the body; each of many requests at once gets its own answer."""
        server.always(lambda seen: Reply.answer([f"I am {seen.json['model']}", "."] * 50))
        ollama = make(event_hooks={"response": [] if unread else [read]})

        heard = {f"m{number}": Heard(ollama.chat(f"m{number}", "Who?")) for number in range(20)}

        for model, each in heard.items():
            assert text_of(each.wait().items) == f"I am {model}." * 50

    def test_auth(self, make: Make, server: ScriptedOllama) -> None:
        """An auth may read the bodies of refusals and answers."""

        def answer(seen: SeenRequest) -> Reply:
            if seen.headers["authorization"] != "token":
                return Reply.error(401, {"error": "token"})
            return Reply.answer(f"I am {seen.json['model']}.")

        server.always(answer)
        ollama = make(auth=Login())

        heard = {f"m{number}": Heard(ollama.chat(f"m{number}", "Who?")) for number in range(4)}

        for model, each in heard.items():
            assert text_of(each.wait().items) == f"I am {model}."

    def test_broken(self, make: Make, server: ScriptedOllama) -> None:
        """A connection that breaks while a hook reads is a failure of the network."""
        server.enqueue(Reply.answer(["One", " two"]).dropped(100))
        server.always(Reply.answer("Yes"))
        ollama = make(event_hooks={"response": [read]})

        assert type(failed(ollama)) is ConnectionLostError
        assert run(ollama.chat("m", "Hello")).message.content == "Yes"

    def test_taken(self, make: Make, server: ScriptedOllama) -> None:
        """A hook that takes the body away ends the stream with an error that says so."""

        async def take(response: httpx.Response) -> None:
            async for _ in response.aiter_raw():
                pass

        server.always(Reply.answer("Yes"))

        error = failed(make(event_hooks={"response": [take]}))

        assert type(error) is HttpClientError
        assert type(error.__cause__) is httpx.StreamConsumed


class Body(httpx.AsyncByteStream):
    """
    The body of a mocked response.

    Args:
        pieces: Its pieces.
        error: Raised after them.
    """

    def __init__(self, pieces: list[bytes], error: Exception | None = None) -> None:
        self._pieces = pieces
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces."""
        for piece in self._pieces:
            yield piece
        if self._error is not None:
            raise self._error


class Recorder:
    """Code of a client that raises, as a hook, an auth or a transport."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0

    async def fail(self, *_: Any) -> Any:
        """Raise the error, as a hook or a transport."""
        self.calls += 1
        raise self.error

    def options(self, place: str) -> dict[str, Any]:
        """Return the options of a client with this code in one of its places."""
        flow = type("Flow", (httpx.Auth,), {"async_auth_flow": self._flow})
        return {
            "request": {"event_hooks": {"request": [self.fail]}},
            "response": {"event_hooks": {"response": [self.fail]}},
            "auth": {"auth": flow()},
            "transport": {"transport": httpx.MockTransport(self.fail)},
        }[place]

    async def _flow(self, _: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        await self.fail()
        yield httpx.Request("GET", "http://nowhere")


PLACES = ("request", "response", "auth", "transport")
ERRORS = (
    ValueError("no"),
    RuntimeError("no"),
    FileNotFoundError(2, "no"),
    TimeoutError("no"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "no"),
    ConnectionFailedError("no"),
)


class TestOwnCode:
    """Code of a client that raises."""

    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("raised", ERRORS, ids=lambda error: type(error).__name__)
    def test_raised(self, make: Make, server: ScriptedOllama, place: str, raised: Exception) -> None:
        """What it raises is the cause of an error that says so, and the request is not sent again."""
        server.always(Reply.answer("Yes"))
        code = Recorder(raised)

        error = failed(make(**code.options(place)), attempts=3)

        assert type(error) is HttpClientError
        assert error.__cause__ is raised
        assert f"its own code raised {type(raised).__name__} (" in str(error)
        assert error.endpoint == "POST /api/chat"
        assert code.calls == 1

    @pytest.mark.parametrize("place", PLACES)
    def test_traceback(self, make: Make, server: ScriptedOllama, place: str) -> None:
        """The cause shows where it was raised, and no frame shows the key."""
        server.always(Reply.answer("Yes"))

        error = failed(make(**Recorder(ValueError("no")).options(place)))

        assert error.__cause__ is not None
        assert traceback.extract_tb(error.__cause__.__traceback__)[-1].name == "fail"
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert KEY not in "".join(shown.format())

    @respx.mock
    @pytest.mark.parametrize("transport", [None, AiohttpTransport()], ids=["respx", "aiohttp"])
    def test_key(self, make: Make, server: ScriptedOllama, transport: Any) -> None:
        """No frame of a library that stands between shows the key, and neither does what was raised before."""

        def fail(_: httpx.Request) -> httpx.Response:
            try:
                return httpx.Response(int("no"))
            except ValueError as error:
                raise KeyError("no") from error

        respx.post(f"{server.url}/api/chat").mock(side_effect=fail)

        # aiohttp refuses this header, and raises no error of httpx.
        error = failed(make(transport=transport, headers={"x-team": "a\nb"} if transport else None))

        assert type(error) is HttpClientError
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert KEY not in "".join(shown.format())

    def test_around(self, server: ScriptedOllama) -> None:
        """An exception that is handled around the loop keeps its traceback."""
        server.always(Reply.answer("Yes"))

        async def ask() -> str:
            async with httpx.AsyncClient(**Recorder(ValueError("no")).options("request")) as client:
                return await Ollama(server.url, http_client=client).chat("m", "Hello").pipe(op.content())

        def ask_while_handling() -> None:
            try:
                httpx.URL("x" * 100_000)
            except httpx.InvalidURL:
                with pytest.raises(HttpClientError):
                    asyncio.run(ask())
                raise

        with pytest.raises(httpx.InvalidURL) as around:
            ask_while_handling()
        assert httpx.__name__ in traceback.extract_tb(around.tb)[-1].filename

    def test_in_the_body(self, make: Make) -> None:
        """A mock whose body raises has emitted the records before."""
        body = Body(LINES[:1], ValueError("no more"))

        heard = Heard(make(transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=body))).chat("m", "Hi"))

        assert type(heard.failure) is HttpClientError
        assert isinstance(heard.failure.__cause__, ValueError)
        assert text_of(heard.items) == "One"

    @pytest.mark.parametrize("place", ["request", "response", "auth"])
    @pytest.mark.parametrize("url", [None, "http://tokens.example/"])
    def test_unrelated(self, make: Make, server: ScriptedOllama, place: str, url: str | None) -> None:
        """An error of httpx that is about no request, or about one to another server, is not the network's."""
        server.always(Reply.answer("Yes"))
        raised = httpx.ConnectError("no", request=httpx.Request("GET", url) if url else None)

        error = failed(make(**Recorder(raised).options(place)))

        assert type(error) is HttpClientError
        assert error.__cause__ is raised

    def test_cancelled_by_itself(self, make: Make) -> None:
        """A `CancelledError` of its own, as of a cancelled task that it waits for, is not told as a closed loop."""

        async def wait(_: httpx.Request) -> None:
            login = asyncio.get_running_loop().create_future()
            login.cancel()
            await login

        error = Heard(make(event_hooks={"request": [wait]}).chat("m", "Hello")).failure
        assert type(error) is RuntimeError
        assert str(error) == "the stream of /api/chat with model 'm' was ended by CancelledError"
        assert isinstance(error.__cause__, asyncio.CancelledError)

    def test_mocked_network(self, make: Make) -> None:
        """A mock that raises an error of the network is a network that fails: the request is sent again."""
        code = Recorder(httpx.ConnectError("no"))

        error = failed(make(**code.options("transport")), attempts=3)

        assert type(error) is ConnectionFailedError
        assert code.calls == 3

    def test_of_another_loop(self, make: Make) -> None:
        """A client whose connections belong to a loop that was closed cannot be used."""
        closed = asyncio.new_event_loop()
        closed.close()

        def write(_: httpx.Request) -> httpx.Response:
            closed.call_soon(print)
            pytest.fail("the loop was closed")

        error = failed(make(transport=httpx.MockTransport(write)))

        assert type(error) is ClientClosedError
        assert "the HTTP client cannot be used: Event loop is closed" in str(error)


class TestStatus:
    """A hook that calls `raise_for_status`."""

    @pytest.mark.parametrize(("reads", "detail"), [(True, "no such model"), (False, "")])
    def test_is_the_answer(self, make: Make, server: ScriptedOllama, *, reads: bool, detail: str) -> None:
        """It ends the stream with the error of that status, with the server's text if the hook has read it."""

        async def check(response: httpx.Response) -> None:
            if reads:
                await response.aread()
            response.raise_for_status()

        server.enqueue(Reply.error(404, {"error": "no such model"}), Reply.error(503, {"error": "busy"}))
        server.always(Reply.answer("Yes"))
        ollama = make(event_hooks={"response": [check]})

        error = failed(ollama)

        assert type(error) is NotFoundError
        assert error.detail == detail
        assert type(failed(ollama)) is BusyError
        assert run(ollama.chat("m", "Hello")).message.content == "Yes"

    def test_of_another_request(self, make: Make, server: ScriptedOllama) -> None:
        """The status of another request is an error of the client's own code."""
        server.always(Reply.answer("Yes"))
        request = httpx.Request("GET", "http://tokens.example/")
        raised = httpx.HTTPStatusError("404", request=request, response=httpx.Response(404, request=request))

        error = failed(make(**Recorder(raised).options("request")))

        assert type(error) is HttpClientError
        assert error.__cause__ is raised


class TestRespx:
    """respx, which replaces the servers of httpx."""

    @respx.mock
    def test_stream(self, make: Make, server: ScriptedOllama) -> None:
        """Through a client of httpx, respx sees the request and gives a stream."""
        route = respx.post(f"{server.url}/api/chat").respond(stream=Body(LINES))

        assert text_of(Heard(make().chat("m", "Hello")).wait().items) == "One two"
        assert json.loads(route.calls.last.request.content)["model"] == "m"
        assert not server.requests

    @respx.mock
    @pytest.mark.parametrize(
        ("effect", "kind"), [(httpx.ConnectError, ConnectionFailedError), (ValueError("no"), HttpClientError)]
    )
    def test_side_effect(self, make: Make, server: ScriptedOllama, effect: Any, kind: type[StreamError]) -> None:
        """What a side effect raises is the network's if httpx raises it for the network."""
        respx.post(f"{server.url}/api/chat").mock(side_effect=effect)

        assert type(failed(make())) is kind

    @respx.mock
    def test_without_a_client(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Without a client of httpx, the request goes to the server past respx."""
        server.always(Reply.answer("Yes"))

        assert run(ollama.chat("m", "Hello")).message.content == "Yes"
        assert not respx.calls


@pytest.fixture
def spans() -> Generator[InMemorySpanExporter]:
    """Yield the spans that OpenTelemetry's instrumentation of httpx writes."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    yield exporter
    HTTPXClientInstrumentor().uninstrument()
    provider.shutdown()


class TestOpenTelemetry:
    """OpenTelemetry's instrumentation, which patches the transports of httpx."""

    def test_spans(self, spans: InMemorySpanExporter, make: Make, server: ScriptedOllama) -> None:
        """Through a client of httpx, each request has exactly one span."""
        server.always(Reply.answer(["One", " two"]))
        ollama = make()

        assert [text_of(Heard(ollama.chat("m", "Hello")).wait().items) for _ in range(2)] == ["One two"] * 2
        finished = spans.get_finished_spans()
        assert [(span.name, (span.attributes or {})["http.status_code"]) for span in finished] == [("POST", 200)] * 2

    def test_failing(self, spans: InMemorySpanExporter, make: Make, server: ScriptedOllama) -> None:
        """A failure of the network is one through the instrumentation, and has one span."""
        server.enqueue(Reply.answer("Yes").dropped(0))

        assert type(failed(make())) is ConnectionLostError
        assert len(spans.get_finished_spans()) == 1

    def test_without_a_client(self, spans: InMemorySpanExporter, ollama: Ollama, server: ScriptedOllama) -> None:
        """Without a client of httpx, there is an answer and no span."""
        server.always(Reply.answer("Yes"))

        assert run(ollama.chat("m", "Hello")).message.content == "Yes"
        assert not spans.get_finished_spans()
