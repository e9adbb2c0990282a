"""All calls except chat, against recordings of a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from heard import Heard, text_of
from reactivex import Observable

from rxollama import ChatRequest, GenerateRequest, Ollama
from rxollama.errors import InvalidValueError, NotFoundError, ProtocolError, ReportedError, TruncatedError
from rxollama.messages import ChatChunk, Embeddings, ModelCard, ModelEntry, Progress, RunningModel
from rxollama.testing import Recording, Reply, ScriptedOllama


@pytest.fixture
def server(recordings: dict[str, Recording]) -> Iterator[ScriptedOllama]:
    """Run a server that plays the recordings without delays."""
    with ScriptedOllama(recordings, speed=None) as server:
        yield server


def body_of(recording: Recording) -> Any:
    """Return the recorded body as JSON."""
    return orjson.loads(recording.body)


class TestRecorded:
    """Recorded calls."""

    @pytest.fixture(autouse=True)
    def _set_up(self, server: ScriptedOllama, ollama: Ollama, recordings: dict[str, Recording]) -> None:
        self.server, self.ollama, self.recordings = server, ollama, recordings

    def play(self, name: str, call: Observable[Any]) -> list[Any]:
        """Play a recording to a call, which must send the recorded request."""
        if name.startswith("generate"):
            # We say that we stream, so that the server would look for what was said only.
            self.server.enqueue(Reply.of(self.recordings[name], speed=None))
        items = Heard(call).wait().items
        seen, asked = self.server.requests[-1], self.recordings[name].request
        sent = seen.json
        if asked.path in {"/api/chat", "/api/generate"}:
            assert sent.pop("stream") is True
        assert (seen.method, seen.path, sent) == (asked.method, asked.path, asked.body)
        return items

    def test_generate(self) -> None:
        """A generation emits chunks, as a chat does."""
        items = self.play("generate", self.ollama.generate("plain", "Why?"))
        assert text_of(items) == self.recordings["generate"].expect["content"]
        assert items[-1].metrics.eval_count == self.recordings["generate"].expect["eval_count"]

    def test_generate_thinking(self) -> None:
        """A generation of a thinking model emits thinking too."""
        items: list[ChatChunk] = self.play("generate-thinking", self.ollama.generate("think", "Why?", think=True))
        thinking = "".join(chunk.message.thinking for chunk in items)
        assert thinking == self.recordings["generate-thinking"].expect["thinking"]

    def test_embed(self) -> None:
        """An embedding has a vector for each text."""
        (found,) = self.play("embed", self.ollama.embed("embedder", ["one", "two"]))
        assert isinstance(found, Embeddings)
        assert [list(vector) for vector in found.embeddings] == body_of(self.recordings["embed"])["embeddings"]

    def test_pull(self) -> None:
        """A pull emits its progress, and `success` last."""
        items: list[Progress] = self.play("pull", self.ollama.pull("127.0.0.1:15001/library/big", insecure=True))
        assert len(items) == self.recordings["pull"].expect["records"]
        assert items[-1] == Progress(status="success")
        assert any(item.fraction is not None and 0 < item.fraction < 1 for item in items)
        assert items[-1].fraction == 1.0

    def test_push(self) -> None:
        """A push emits its progress, and `success` last."""
        items = self.play("push", self.ollama.push("127.0.0.1:15000/library/big", insecure=True))
        assert items[-1] == Progress(status="success")

    def test_create(self) -> None:
        """A creation emits its progress, and `success` last."""
        items = self.play("create", self.ollama.create("custom", from_="plain", system="Be brief."))
        assert len(items) == self.recordings["create"].expect["records"]
        assert items[-1] == Progress(status="success")

    def test_models(self) -> None:
        """All models on the server are listed."""
        (found,) = self.play("tags", self.ollama.models())
        names = [model["name"] for model in body_of(self.recordings["tags"])["models"]]
        assert [model.name for model in found] == names
        assert all(isinstance(model, ModelEntry) and model.details.family for model in found)

    def test_running(self) -> None:
        """The loaded models are listed."""
        (found,) = self.play("ps", self.ollama.running())
        names = [model["name"] for model in body_of(self.recordings["ps"])["models"]]
        assert [model.name for model in found] == names
        assert all(isinstance(model, RunningModel) and model.context_length for model in found)

    def test_show(self) -> None:
        """A model's card holds the fields that the server sends."""
        (card,) = self.play("show", self.ollama.show("think"))
        told = body_of(self.recordings["show"])
        assert isinstance(card, ModelCard)
        assert list(card.capabilities) == told["capabilities"]
        assert card.model_info == told["model_info"]

    def test_version(self) -> None:
        """The version is a str."""
        assert self.play("version", self.ollama.version()) == [body_of(self.recordings["version"])["version"]]

    def test_load(self) -> None:
        """A load emits one chunk with that reason."""
        (chunk,) = self.play("load", self.ollama.load("plain"))
        assert (chunk.done, chunk.done_reason) == (True, "load")

    def test_unload(self) -> None:
        """An unload emits one chunk with that reason."""
        (chunk,) = self.play("unload", self.ollama.unload("plain"))
        assert (chunk.done, chunk.done_reason) == (True, "unload")

    def test_copy(self) -> None:
        """A copy emits None when it is done."""
        assert self.play("copy", self.ollama.copy("plain", "plain2")) == [None]

    def test_delete(self) -> None:
        """A deletion emits None when it is done."""
        assert self.play("delete", self.ollama.delete("plain2")) == [None]

    def test_pull_that_fails(self) -> None:
        """An error record in a pull ends it, after the records before it."""
        heard = Heard(self.ollama.pull("127.0.0.1:1/library/none", insecure=True))
        assert isinstance(heard.failure, ReportedError)
        assert heard.failure.detail == self.recordings["pull-missing"].expect["error"]
        assert (heard.failure.model, heard.failure.partial) == ("127.0.0.1:1/library/none", None)
        assert heard.items == [Progress(status="pulling manifest")]


_SENT: list[tuple[Callable[[Ollama], Observable[Any]], dict[str, Any]]] = [
    (lambda ollama: ollama.embed("m", "one"), {"model": "m", "input": "one"}),
    (
        lambda ollama: ollama.embed(
            "m",
            iter(["one"]),
            truncate=False,
            dimensions=3,
            keep_alive=timedelta(seconds=90),
            options={"num_ctx": 8},
            extra={"of_tomorrow": 1},
        ),
        {
            "model": "m",
            "input": ["one"],
            "truncate": False,
            "dimensions": 3,
            "keep_alive": 90.0,
            "options": {"num_ctx": 8, "of_tomorrow": 1},
        },
    ),
    (lambda ollama: ollama.pull("m"), {"model": "m"}),
    (lambda ollama: ollama.show("m", verbose=True), {"model": "m", "verbose": True}),
    (
        lambda ollama: ollama.load("m", keep_alive="5m"),
        {"model": "m", "stream": True, "messages": [], "keep_alive": "5m"},
    ),
    (
        lambda ollama: ollama.create(
            "m",
            files={"a.gguf": "sha256:1"},
            adapters={"b.gguf": "sha256:2"},
            template="T",
            license=["MIT", "BSD"],
            parameters={"temperature": 0.5},
            extra={"of_tomorrow": 1},
            messages="Hello",
            quantize="q4_K_M",
        ),
        {
            "model": "m",
            "files": {"a.gguf": "sha256:1"},
            "adapters": {"b.gguf": "sha256:2"},
            "template": "T",
            "license": ["MIT", "BSD"],
            "parameters": {"temperature": 0.5, "of_tomorrow": 1},
            "messages": [{"role": "user", "content": "Hello"}],
            "quantize": "q4_K_M",
        },
    ),
    (lambda ollama: ollama.create("m", license="MIT"), {"model": "m", "license": "MIT"}),
    (
        lambda ollama: ollama.send(ChatRequest(model="m", messages="Hi", stream=False)),
        {"model": "m", "stream": False, "messages": [{"role": "user", "content": "Hi"}]},
    ),
    (
        lambda ollama: ollama.send(GenerateRequest(model="m", prompt="Hi", raw=True)),
        {"model": "m", "stream": True, "prompt": "Hi", "raw": True},
    ),
]


class TestSent:
    """The requests that the calls send."""

    @pytest.mark.parametrize(("call", "sent"), _SENT)
    def test_body(
        self, server: ScriptedOllama, ollama: Ollama, call: Callable[[Ollama], Observable[Any]], sent: dict[str, Any]
    ) -> None:
        """Each given argument is sent under Ollama's name, and no other field is sent."""
        Heard(call(ollama)).wait()
        assert server.requests[0].json == sent


class TestFailing:
    """Wrong answers."""

    def test_unknown_model(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """An error for an unknown model names it."""
        for call in (ollama.copy("nobody", "m"), ollama.delete("nobody")):
            failure = Heard(call).failure
            assert isinstance(failure, NotFoundError)
            assert failure.model == "nobody"
        assert len(server.requests) == 2

    def test_cut_short(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """A progress that ends without success is an error."""
        server.enqueue(Reply.records([{"status": "pulling manifest"}]))
        assert isinstance(Heard(ollama.pull("m")).failure, TruncatedError)

    def test_something_else(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """A body that is something else is an error."""
        server.enqueue(Reply.json(["0.0.0"]))
        assert isinstance(Heard(ollama.version()).failure, ProtocolError)

    def test_too_long(self, server: ScriptedOllama) -> None:
        """A body that is longer than the limit is an error."""
        server.enqueue(Reply.json({"version": "1" * 200}))
        with Ollama(server.url, max_line=100) as ollama:
            assert "larger max_line=" in str(Heard(ollama.version()).failure)


_REFUSED: list[tuple[str, Callable[[Any], object]]] = [
    ("model", lambda ollama: ollama.chat("", "Hi")),
    ("messages", lambda ollama: ollama.chat("m", 1)),
    ("think", lambda ollama: ollama.chat("m", "Hi", think="very")),
    ("messages[0].text", lambda ollama: ollama.chat("m", [{"role": "user", "text": "x"}])),
    ("options.temprature", lambda ollama: ollama.chat("m", "Hi", options={"temprature": 0})),
    ("options.temprature", lambda ollama: ollama.converse("m", "Hi", options={"temprature": 0})),
    ("options.temprature", lambda ollama: ollama.generate("m", "Hi", options={"temprature": 0})),
    ("extra", lambda ollama: ollama.converse("m", "Hi", extra="of_tomorrow")),
    ("prompt", lambda ollama: ollama.generate("m", None)),
    ("request", lambda ollama: ollama.send({"model": "m"})),
    ("model", lambda ollama: ollama.embed(None, "one")),
    ("input", lambda ollama: ollama.embed("m", None)),
    ("input", lambda ollama: ollama.embed("m", b"one")),
    ("input", lambda ollama: ollama.embed("m", ["one", 2])),
    ("truncate", lambda ollama: ollama.embed("m", "one", truncate=1)),
    ("dimensions", lambda ollama: ollama.embed("m", "one", dimensions=0)),
    ("dimensions", lambda ollama: ollama.embed("m", "one", dimensions=True)),
    ("dimensions", lambda ollama: ollama.embed("m", "one", dimensions="8")),
    ("keep_alive", lambda ollama: ollama.embed("m", "one", keep_alive="300")),
    ("options.num_ctx", lambda ollama: ollama.embed("m", "one", options={"num_ctx": "8"})),
    ("options.num_cxt", lambda ollama: ollama.embed("m", "one", options={"num_cxt": 8})),
    ("extra", lambda ollama: ollama.embed("m", "one", extra=[])),
    ("model", lambda ollama: ollama.pull(" ")),
    ("insecure", lambda ollama: ollama.pull("m", insecure="yes")),
    ("insecure", lambda ollama: ollama.push("m", insecure=1)),
    ("model", lambda ollama: ollama.create(None)),
    ("system", lambda ollama: ollama.create("m", system=1)),
    ("files", lambda ollama: ollama.create("m", files=["a.gguf"])),
    ("adapters", lambda ollama: ollama.create("m", adapters={"a.gguf": 1})),
    ("license", lambda ollama: ollama.create("m", license=[1])),
    ("parameters.temperature", lambda ollama: ollama.create("m", parameters={"temperature": "hot"})),
    ("parameters.temprature", lambda ollama: ollama.create("m", parameters={"temprature": 1})),
    ("extra.seed", lambda ollama: ollama.create("m", extra={"seed": "1"})),
    ("messages", lambda ollama: ollama.create("m", messages=1)),
    ("model", lambda ollama: ollama.show(None)),
    ("verbose", lambda ollama: ollama.show("m", verbose="very")),
    ("keep_alive", lambda ollama: ollama.load("m", keep_alive="long")),
    ("source", lambda ollama: ollama.copy("", "m")),
    ("destination", lambda ollama: ollama.copy("m", None)),
    ("model", lambda ollama: ollama.delete("")),
]


@pytest.mark.parametrize(("field", "call"), _REFUSED)
def test_refused(server: ScriptedOllama, ollama: Ollama, field: str, call: Callable[[Any], object]) -> None:
    """A wrong argument is refused by name at the call, and no request is sent."""
    with pytest.raises(InvalidValueError) as refusal:
        call(ollama)
    assert refusal.value.field == field
    assert field in str(refusal.value)
    assert server.requests == ()
