"""Every recording of a real server, played to the client over both kinds of HTTP client."""

from __future__ import annotations

from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from heard import Heard

from rxollama import Ollama
from rxollama._wire import CHAT, GENERATE, PROGRESS, BodyDecoder, Decoder, LineDecoder, read_body
from rxollama.errors import ReportedError, StatusError, StreamError, TruncatedError
from rxollama.messages import ChatChunk, ModelCard, ResponseBuilder
from rxollama.testing import Recording, Reply, ScriptedOllama
from rxollama.transport import Request

_FOLDER = Path(__file__).parent / "recordings"
_NUMBERS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
    "tokens_per_second",
)
_REFUSED = {"bad-format", "bad-image", "bad-json", "bad-option", "bad-think", "no-body"}
_KINDS: dict[str, Any] = {"/api/chat": CHAT, "/api/generate": GENERATE}


def _names(*paths: str) -> list[str]:
    """Return the names of the recordings of some paths."""
    requests = {path.stem: orjson.loads(path.read_bytes())["request"]["path"] for path in _FOLDER.glob("*.json")}
    return sorted(name for name, path in requests.items() if path in paths)


@pytest.fixture(params=_names("/api/chat", "/api/generate"))
def recording(request: pytest.FixtureRequest, recordings: dict[str, Recording]) -> Recording:
    """Return each recording of a chat or a generation."""
    return recordings[request.param]


def send(ollama: Ollama, recording: Recording) -> Heard[ChatChunk]:
    """Send the recorded request, including those that no call of ours would send."""
    recorded = recording.request
    body = None
    if recorded.body is not None:
        body = recorded.body.encode() if isinstance(recorded.body, str) else orjson.dumps(recorded.body)
    request = Request(method=recorded.method, path=recorded.path, body=body)

    def decoder() -> Decoder[ChatChunk]:
        return LineDecoder(_KINDS[recorded.path])

    return Heard(ollama._observe(request, decoder, "m", ChatChunk)).wait()


class TestChats:
    """Chats and generations."""

    def test_sum(self, server: ScriptedOllama, http_client: httpx.AsyncClient | None, recording: Recording) -> None:
        """The sum of the chunks is the answer. The error has the server's message and the part that arrived."""
        server.enqueue(Reply.of(recording, speed=None))
        with Ollama(server.url, http_client=http_client) as ollama:
            heard = send(ollama, recording)
        expect = recording.expect
        total = reduce(add, heard.items, ChatChunk())
        assert total.message.content == expect.get("content", "")
        assert total.message.thinking == expect.get("thinking", "")
        calls = [{"name": call.name, "arguments": call.arguments} for call in total.message.tool_calls]
        assert calls == [{name: call[name] for name in ("name", "arguments")} for call in expect.get("tool_calls", [])]
        assert total.done == expect.get("done", False)
        assert total.done_reason == expect.get("done_reason", "")
        assert len(heard.items) == expect.get("records", 0) - ("error" in expect and "records" in expect)
        if total.done:
            assert total.metrics is not None
            shown = {name: getattr(total.metrics, name) for name in _NUMBERS if name in expect}
            assert shown == {name: pytest.approx(expect[name]) for name in _NUMBERS if name in expect}
            assert heard.completed
        else:
            self.check(heard.failure, recording, heard.items)

    def check(self, failure: Exception, recording: Recording, chunks: list[ChatChunk]) -> None:
        """Check the error of a recording without an end."""
        expect = recording.expect
        assert isinstance(failure, StreamError)
        kind = StatusError if "status" in expect else ReportedError if "error" in expect else TruncatedError
        assert isinstance(failure, kind)
        if isinstance(failure, StatusError):
            assert failure.status == expect["status"]
        if isinstance(failure, (StatusError, ReportedError)):
            assert failure.detail in expect["error"]
            assert failure.detail in str(failure)
        builder = ResponseBuilder()
        for chunk in chunks:
            builder.add(chunk)
        assert failure.partial is not None
        assert failure.partial.messages == builder.snapshot().messages

    def test_paced(self, server: ScriptedOllama, ollama: Ollama, recordings: dict[str, Recording]) -> None:
        """A recording that is played with its pauses gives its chunks one by one."""
        recording = recordings["thinking-boundary"]
        server.enqueue(Reply.of(recording, speed=5))
        assert len(send(ollama, recording).items) == recording.expect["records"]

    @pytest.mark.parametrize("name", sorted(set(_names("/api/chat", "/api/generate")) - _REFUSED))
    def test_as_a_call(
        self, server: ScriptedOllama, ollama: Ollama, recordings: dict[str, Recording], name: str
    ) -> None:
        """Our own call sends the recorded request, with its defaults written out."""
        recording = recordings[name]
        body = recording.request.body
        server.enqueue(Reply.of(recording, speed=None))
        call = ollama.chat if recording.request.path == "/api/chat" else ollama.generate
        Heard(call(**body)).wait()
        expected = {"stream": True, **body}
        assert server.requests[0].json == _without_indices(expected)


def _without_indices(body: dict[str, Any]) -> dict[str, Any]:
    """Remove the indices of tool calls, which the server ignores."""
    for message in body.get("messages", []):
        for call in message.get("tool_calls", []):
            call["function"].pop("index", None)
    return body


@pytest.mark.parametrize("name", _names("/api/pull", "/api/push", "/api/create"))
def test_progress(server: ScriptedOllama, ollama: Ollama, recordings: dict[str, Recording], name: str) -> None:
    """A recording of progress gives each record, or the error."""
    recording = recordings[name]
    server.enqueue(Reply.of(recording, speed=None))
    body = orjson.dumps(recording.request.body)
    request = Request(method=recording.request.method, path=recording.request.path, body=body)
    heard = Heard(ollama._observe(request, lambda: LineDecoder(PROGRESS), "m")).wait()
    failed = "error" in recording.expect
    assert len(heard.items) == recording.expect["records"] - failed
    assert heard.completed is not failed


def test_bodies(server: ScriptedOllama, ollama: Ollama, recordings: dict[str, Recording]) -> None:
    """A recording of one value gives that value."""
    recording = recordings["show"]
    server.enqueue(Reply.of(recording, speed=None))
    request = Request(method="POST", path="/api/show", body=orjson.dumps(recording.request.body))
    heard = Heard(ollama._observe(request, lambda: BodyDecoder(read_body(ModelCard)), "m")).wait()
    assert [card.template for card in heard.items] == [orjson.loads(recording.body)["template"]]
