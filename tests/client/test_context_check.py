"""The check of whether the server cut the prompt to the context window."""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import orjson
import pytest
from heard import Heard, text_of
from scripted_answers import Answer, Scripted, record

from rxollama import Ollama, run
from rxollama import operators as op
from rxollama.client._context_check import is_cut, is_too_long_for, plausible_window
from rxollama.errors import ConnectionLostError, ContextTruncatedError, ContextTruncatedWarning
from rxollama.messages import ChatRequest, ClientTiming, ContextUse, GenerateRequest, Message
from rxollama.testing import Recording, Reply, ScriptedOllama
from rxollama.transport import Request, Response

# At 6 letters per token this has 2,500 tokens at least, more than half of a window of 4,096.
LONG = "word " * 3000
SHORT = "word " * 2000
CUT = 2050
TEXT = (
    "the prompt was longer than the context window of 4096 tokens, and the model read only 2050 tokens of it; set "
    "num_ctx in options= to a larger window, send less text, or pass truncate=False to have such a prompt refused"
)
WARNING = f"{TEXT} (model 'plain')"
SKY = "The sky looks blue because"


@contextmanager
def no_warning() -> Generator[None]:
    """Fail if there is a warning, on any thread."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [str(warning.message) for warning in caught] == []


class Server:
    """A scripted server that sends a recorded answer with another count of the prompt, and a recorded `/api/ps`."""

    def __init__(self, server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
        self._server = server
        self._recordings = recordings

    def counts(self, count: int, name: str = "sky", model: str = "plain", path: str = "/api/chat") -> None:
        """Answer with a real answer, as if its prompt had this many tokens."""
        body = self._body(name)
        assert body.count(b'"prompt_eval_count":12') == 1
        body = body.replace(b'"prompt_eval_count":12', f'"prompt_eval_count":{count}'.encode())
        body = body.replace(f'"model":"{self._model(name)}"'.encode(), f'"model":"{model}"'.encode())
        self._server.always(Reply.records(body.splitlines(keepends=True)), path)

    def loaded(self, window: int) -> None:
        """Answer `/api/ps` as the real server did, with another window for the model `plain`."""
        body = self._body("ps").replace(b'"context_length":8192', f'"context_length":{window}'.encode(), 1)
        self._server.always(Reply.json(orjson.loads(body)), "/api/ps")

    def asked(self) -> int:
        """Return how often `/api/ps` was asked."""
        return sum(seen.path == "/api/ps" for seen in self._server.requests)

    def _body(self, name: str) -> bytes:
        return b"".join(data for _, data in self._recordings[name].reads)

    def _model(self, name: str) -> str:
        body: Any = self._recordings[name].request.body
        return str(body["model"])


@pytest.fixture
def real(server: ScriptedOllama, recordings: dict[str, Recording]) -> Server:
    """Return the scripted server with the bytes of a real one."""
    return Server(server, recordings)


class TestSignature:
    """The count of a prompt that was cut."""

    @pytest.mark.parametrize(("count", "window"), [(2050, 4096), (2051, 4096), (16_386, 32_768), (16_387, 32_768)])
    def test_reported(self, count: int, window: int) -> None:
        """The counts that users reported, without and with a token that begins the prompt."""
        assert is_cut(count, window)
        assert plausible_window(count) == window

    @pytest.mark.parametrize("window", [512, 768, 2048, 4096, 8192, 40_960, 131_072, 262_144])
    @pytest.mark.parametrize("num_keep", [0, 1, 4, 5, 24, 255])
    def test_thresholds(self, window: int, num_keep: int) -> None:
        """Exactly the counts for two numbers of kept tokens fit, and they name the window."""
        cut = {window - (window - kept) // 2 for kept in (num_keep, num_keep + 1)}

        assert {count for count in range(window + 2) if is_cut(count, window, num_keep)} == cut
        assert {plausible_window(count, num_keep) for count in cut} == {window}
        assert plausible_window(min(cut) - 1, num_keep) is None
        assert plausible_window(max(cut) + 1, num_keep) is None

    @pytest.mark.parametrize(("count", "num_keep"), [(0, 4), (130, 4), (131, 4), (2050, -1), (256, 510), (510, 511)])
    def test_no_window(self, count: int, num_keep: int) -> None:
        """Windows below 512 and negative numbers of kept tokens are none."""
        assert plausible_window(count, num_keep) is None

    def test_least_window(self) -> None:
        """The smallest window is 512."""
        assert [count for count in range(300) if plausible_window(count)] == [258, 259]

    @pytest.mark.parametrize(("window", "fits"), [(11, True), (8, True), (6, True), (5, False), (4, False)])
    def test_tiny_window(self, window: int, fits: bool) -> None:
        """A window that a request sets may have any size above the kept tokens."""
        assert is_cut(window - (window - 4) // 2, window) is fits

    @pytest.mark.parametrize(
        ("request_", "count", "long"),
        [
            (ChatRequest(model="m", messages="a" + "bcdef " * 100), 99, True),
            (ChatRequest(model="m", messages="a" + "bcdef " * 100), 100, False),
            (ChatRequest(model="m", messages=[Message.system("abcdef" * 50), Message.user("abcdef" * 51)]), 100, True),
            (ChatRequest(model="m", messages=[Message.system("abcdef" * 50), Message.user("abcdef" * 50)]), 100, False),
            (ChatRequest(model="m", messages=Message.assistant(thinking=LONG)), 100, False),
            (ChatRequest(model="m", messages=Message.assistant(f"<think>{LONG}</think>")), 100, False),
            (ChatRequest(model="m", messages=Message.user("", images=[LONG.encode()])), 100, False),
            (GenerateRequest(model="m", prompt="abcdef" * 101), 100, True),
            (GenerateRequest(model="m", prompt="abcdef" * 100), 100, False),
        ],
    )
    def test_length(self, request_: ChatRequest | GenerateRequest, count: int, long: bool) -> None:
        """A text is too long if it has more tokens than were counted. Thinking and images do not count."""
        assert is_too_long_for(request_, count) is long


class TestWarning:
    """The warning and the answer after a cut prompt."""

    @pytest.mark.parametrize("count", [2050, 2051])
    @pytest.mark.parametrize("options", [{"options": {"num_ctx": 4096}}, {"extra": {"num_ctx": 4096}}])
    def test_known_window(self, real: Server, ollama: Ollama, count: int, options: dict[str, Any]) -> None:
        """The request sets the window: a warning, and the whole answer. The server is not asked."""
        real.counts(count)
        with pytest.warns(ContextTruncatedWarning) as caught:
            answer = run(ollama.chat("plain", LONG, **options))

        assert [str(warning.message) for warning in caught] == [WARNING.replace("2050", str(count))]
        assert answer.message.content.startswith(SKY)
        assert answer.client is not None
        assert answer.client.context_length == 4096
        assert real.asked() == 0

    def test_asked_window(self, real: Server, ollama: Ollama) -> None:
        """The server is asked for its window only if the count fits some window. Later answers know it."""
        real.counts(CUT)
        real.loaded(4096)
        with pytest.warns(ContextTruncatedWarning) as caught:
            first = run(ollama.chat("plain", LONG).pipe(op.collect()))
        real.counts(30)
        second = run(ollama.chat("plain", "Hi").pipe(op.collect()))

        assert [str(warning.message) for warning in caught] == [WARNING]
        assert real.asked() == 1
        assert first.context is not None
        assert first.context.window is None
        assert second.context is not None
        assert (second.context.window, second.context.prompt_tokens, second.context.answer_tokens) == (4096, 30, 81)
        assert second.context.share == 111 / 4096

    @pytest.mark.parametrize("model", ["plain:latest", "PLAIN", "plain"])
    def test_names_of_the_model(self, real: Server, ollama: Ollama, model: str) -> None:
        """The server lists the full name of the model."""
        real.counts(CUT)
        real.loaded(4096)
        with pytest.warns(ContextTruncatedWarning):
            run(ollama.chat(model, LONG))

    def test_generate(self, real: Server, ollama: Ollama) -> None:
        """A bare generation is checked likewise."""
        real.counts(CUT, "generate", path="/api/generate")
        with pytest.warns(ContextTruncatedWarning):
            run(ollama.generate("plain", LONG, options={"num_ctx": 4096}))

    def test_kept_tokens(self, real: Server, ollama: Ollama) -> None:
        """`num_keep` of the request is part of the signature."""
        real.counts(2148)
        with pytest.warns(ContextTruncatedWarning):
            run(ollama.chat("plain", LONG, options={"num_ctx": 4096, "num_keep": 200}))

    @pytest.mark.parametrize(
        ("count", "text", "options"),
        [
            (2049, LONG, {"options": {"num_ctx": 4096}}),
            (2052, LONG, {"options": {"num_ctx": 4096}}),
            (CUT, LONG, {"options": {"num_ctx": 8192}}),
            (CUT, LONG, {"options": {"num_ctx": 4096, "num_keep": 5}}),
            (CUT, LONG, {"options": {"num_ctx": 4096, "num_keep": -1}}),
            (CUT, SHORT, {"options": {"num_ctx": 4096}}),
            (CUT, SHORT, {}),
            (2049, LONG, {}),
            (CUT, LONG, {"options": {"num_ctx": 4096}, "truncate": False}),
            (CUT, LONG, {"options": {"num_ctx": 4096}, "on_truncated": "ignore"}),
            (CUT, LONG, {"on_truncated": "ignore"}),
        ],
    )
    def test_no_alarm(self, real: Server, ollama: Ollama, count: int, text: str, options: dict[str, Any]) -> None:
        """Another count, a short text, a request that is not cut or not watched: no warning and no question."""
        real.counts(count)
        real.loaded(4096)
        with no_warning():
            assert run(ollama.chat("plain", text, **options)).done
        assert real.asked() == 0

    @pytest.mark.parametrize("model", ["plain", "elsewhere"])
    @pytest.mark.parametrize("window", [0, 8192])
    def test_another_window(self, real: Server, ollama: Ollama, window: int, model: str) -> None:
        """The server names another window, none, or does not list the model: no warning."""
        real.counts(CUT, model=model)
        real.loaded(window)
        with no_warning():
            assert run(ollama.chat(model, LONG)).done
        assert real.asked() == 1

    @pytest.mark.parametrize(
        "reply",
        [
            Reply.error(404, "not found"),
            Reply.json({"models": 1}),
            Reply.plain("<html>"),
            Reply.json({"models": []}),
            Reply.json({"models": []}).truncated(4),
        ],
    )
    def test_cannot_be_asked(self, real: Server, server: ScriptedOllama, ollama: Ollama, reply: Reply) -> None:
        """A server that does not answer the question gives no warning and no error."""
        real.counts(CUT)
        server.always(reply, "/api/ps")
        with no_warning():
            assert run(ollama.chat("plain", LONG)).done
        assert real.asked() == 1


class TestError:
    """`on_truncated="raise"`."""

    @pytest.mark.parametrize("options", [{"options": {"num_ctx": 4096}}, {}])
    def test_after_the_answer(self, real: Server, ollama: Ollama, options: dict[str, Any]) -> None:
        """Every chunk is delivered, then the error. It holds the whole response."""
        real.counts(CUT)
        real.loaded(4096)
        heard = Heard(ollama.chat("plain", LONG, on_truncated="raise", **options)).wait()

        assert heard.items[-1].done
        error = heard.error
        assert isinstance(error, ContextTruncatedError)
        assert str(error) == f"{TEXT} (model 'plain', POST {ollama.base_url}/api/chat)"
        assert error.partial is not None
        assert error.partial.done
        assert error.partial.message.content == text_of(heard.items)
        assert error.partial.metrics == heard.items[-1].metrics

    def test_after_a_break(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """The response is whole and has its metrics, also if the answer took two requests."""
        whole = Reply.answer("One two three.", prompt_eval_count=CUT, eval_count=4)
        server.enqueue(whole.truncated(2), whole)
        chat = ollama.chat("plain", LONG, options={"num_ctx": 4096}, on_truncated="raise", after_break="restart")
        heard = Heard(chat).wait()

        assert heard.items[-1].done
        error = heard.error
        assert isinstance(error, ContextTruncatedError)
        assert error.partial is not None
        assert (error.partial.done, error.partial.done_reason) == (True, "stop")
        assert error.partial.message.content == "One two three."
        assert error.partial.context == ContextUse(window=4096, prompt_tokens=CUT, answer_tokens=4)
        assert error.partial.metrics.repeat_count == 1

    def test_not_repeated(self, real: Server, server: ScriptedOllama, ollama: Ollama) -> None:
        """`retry` passes it on, because the same request would be cut again."""
        real.counts(CUT)
        chat = ollama.chat("plain", LONG, options={"num_ctx": 4096}, on_truncated="raise")
        with pytest.raises(ContextTruncatedError):
            run(chat.pipe(op.retry()))

        assert len(server.requests) == 1


class Silent(Scripted):
    """A transport that answers a chat, and never says which models are loaded."""

    def __init__(self, answer: bytes) -> None:
        super().__init__((Answer(((0.0, answer),)),))
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Response]:
        """Answer a chat, or wait."""
        if request.path == "/api/ps":
            self.asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        async with super().open(request) as response:
            yield response


class _Named:
    """The response of one host among several."""

    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, host: str, body: bytes) -> None:
        self.host = host
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        yield self._body


class Hosts:
    """A transport of several hosts: one answers the chat, and one says which models are loaded."""

    def __init__(self, other: str) -> None:
        self._other = other

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Response]:
        """Answer a request."""
        assert request.model == "m"
        if request.path == "/api/ps":
            yield _Named(self._other, b'{"models":[{"model":"m:latest","context_length":4096}]}')
        else:
            yield _Named("http://a", record("Hi", done=True, done_reason="stop", prompt_eval_count=CUT))


class TestAsking:
    """The question after the answer."""

    async def test_disposed(self) -> None:
        """A subscriber that has the whole answer and leaves ends the question too."""
        transport = Silent(record("Hi", done=True, done_reason="stop", prompt_eval_count=CUT))
        with Ollama(transport=transport) as ollama:
            subscription = ollama.chat("plain", LONG).subscribe()
            await asyncio.wait_for(transport.asked.wait(), 10)
            subscription.dispose()
            await asyncio.wait_for(transport.left.wait(), 10)

    async def test_time_limit(self) -> None:
        """A server that does not answer the question delays the completion only for a while."""
        transport = Silent(record("Hi", done=True, done_reason="stop", prompt_eval_count=CUT))
        async with Ollama(transport=transport) as ollama:
            answer = await asyncio.wait_for(ollama.chat("plain", LONG), 30)
        assert answer.message.content == "Hi"
        assert transport.left.is_set()

    @pytest.mark.parametrize(("other", "warnings_"), [("http://a", 1), ("", 1), ("http://b", 0)])
    def test_several_hosts(self, other: str, warnings_: int) -> None:
        """The window of another host than the one that answered does not count."""
        with Ollama(transport=Hosts(other)) as ollama, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert run(ollama.chat("m", LONG)).done
        assert len(caught) == warnings_

    async def test_raised_warning(self) -> None:
        """Under `-W error` the stream completes. The loop's exception handler gets the warning."""
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
        line = record("Hi", done=True, done_reason="stop", prompt_eval_count=CUT)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with Ollama(transport=Scripted((Answer(((0.0, line),)),))) as ollama:
                answer = await ollama.chat("plain", LONG, options={"num_ctx": 4096})

        assert answer.message.content == "Hi"
        assert [report["message"] for report in reports] == [WARNING]
        assert isinstance(reports[0]["exception"], ContextTruncatedWarning)

    def test_without_a_last_chunk(self) -> None:
        """The partial response of a broken answer names the window that the request sets."""
        transport = Scripted((Answer(((0.0, record("Hi")),), breaks=True),))
        with Ollama(transport=transport) as ollama:
            heard = Heard(ollama.chat("m", LONG, options={"num_ctx": 512})).wait()
        error = heard.error
        assert isinstance(error, ConnectionLostError)
        assert error.partial is not None
        assert error.partial.metrics.context_length == 512


_KINDS = {
    # What a text is made of, and how many characters a token of it has.
    "prose": ("The quick brown fox jumps over the lazy dog, and nobody knows why it does so. ", 4.6),
    "code": ("for index, value in enumerate(values):\n        total[index] += value * 2\n", 3.3),
    "numbers": ("3.14159, 2.71828, 1.41421, 0.57721;\n", 1.6),
    "chinese": ("天空为什么是蓝色的?因为空气分子散射短波长的光。", 1.6),
    "russian": ("Почему небо голубое? Потому что воздух рассеивает свет. ", 4.0),
    "table": ("| name      | value     |\n|-----------|-----------|\n| a         | 1         |\n", 4.5),
    "base64": ("iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4", 1.5),
}


def test_no_false_alarm_on_good_answers() -> None:
    """None of 5,000 whole prompts is taken for a cut one, not even one with the count of a cut prompt."""
    chance = random.Random(10)  # noqa: S311 - Nothing here is secret.
    alarms: list[tuple[str, int, int]] = []
    for _ in range(5000):
        text, per_token = _KINDS[chance.choice(list(_KINDS))]
        window = chance.choice([512, 2048, 4096, 8192])
        # Half of the prompts have exactly the count of a cut one, which is the worst case.
        count = window // 2 + 2 + chance.randint(0, 1) if chance.random() < 0.5 else chance.randint(50, window)
        characters = int(count * per_token * chance.uniform(0.7, 1.15))
        request = ChatRequest(model="m", messages=(text * (characters // len(text) + 1))[:characters])
        if is_cut(count, window) and is_too_long_for(request, count):
            alarms.append((text, count, characters))

    assert alarms == []


@pytest.mark.parametrize("kind", ["prose", "code", "chinese", "russian"])
@pytest.mark.parametrize("window", [512, 4096, 32_768])
def test_cut_prompts_are_noticed(kind: str, window: int) -> None:
    """A text that is longer than the window by a tenth is noticed."""
    text, per_token = _KINDS[kind]
    characters = int(window * 1.1 * per_token)
    request = ChatRequest(model="m", messages=(text * (characters // len(text) + 1))[:characters])

    assert is_too_long_for(request, window // 2 + 3)


def test_no_false_alarm_on_recordings(recordings: dict[str, Recording]) -> None:
    """No recorded answer of a real server is taken for one to a cut prompt, whatever the window."""
    checked = 0
    for recording in recordings.values():
        body: Any = recording.request.body
        if "prompt_eval_count" not in recording.expect or recording.request.path != "/api/chat":
            continue
        request = ChatRequest(model=body["model"], messages=body["messages"])
        count = recording.expect["prompt_eval_count"]
        checked += 1
        assert plausible_window(count) is None
        assert not any(is_cut(count, window) for window in range(256, 8192, 256))
        assert request.messages
    assert checked > 30


def test_no_false_alarm_through_the_client(recordings: dict[str, Recording]) -> None:
    """The recorded chats, sent again as they were, end as ever, and no server is asked for its window."""
    played = 0
    with ScriptedOllama() as server, Ollama(server.url) as ollama:
        for recording in recordings.values():
            body: Any = recording.request.body
            if recording.request.path != "/api/chat" or "prompt_eval_count" not in recording.expect:
                continue
            server.enqueue(Reply.of(recording, speed=None))
            with no_warning():
                heard = Heard(ollama.send(ChatRequest(**body, on_truncated="raise"))).wait()
            assert heard.error is None
            assert heard.items[-1].prompt_eval_count == recording.expect["prompt_eval_count"]
            played += 1
        assert all(seen.path == "/api/chat" for seen in server.requests)
    assert played > 30


def test_timing_without_a_window() -> None:
    """The window of a request that does not set it is not known."""
    assert ClientTiming().context_length is None
