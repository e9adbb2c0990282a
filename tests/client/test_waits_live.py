"""The expected wait over real requests, from the request to the meter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from faults_cases import background_is_idle, closed_at_once
from heard import PATIENCE, Heard
from marbles import Quiet
from msgspec import json
from reactivex import Observable
from reactivex import operators as rx
from talks import calls, done

from rxollama import Conversation, Ollama, run
from rxollama import operators as op
from rxollama.client import WaitEstimates
from rxollama.messages import ChatChunk, MeterReading
from rxollama.testing import Reply, ScriptedOllama, SeenRequest

SECOND = 1_000_000_000
LOAD = 1000.0
SILENT = Reply.answer("Hello.").stalled(0)


def kept(path: Path, url: str, loads: Mapping[str, float]) -> WaitEstimates:
    """Return a memory of the loads of some models."""
    waits = [{"host": url, "model": f"{model}:latest", "wait": {"load": load}} for model, load in loads.items()]
    path.write_bytes(json.encode({"rxollama": "wait estimates", "version": 1, "waits": waits}))
    return WaitEstimates(path)


@pytest.fixture
def client(server: ScriptedOllama, tmp_path: Path) -> Ollama:
    """Return a client that knows how long two models take to load."""
    return Ollama(server.url, wait_estimates=kept(tmp_path / "waits.json", server.url, {"m": LOAD, "other": 10 * LOAD}))


def questions(server: ScriptedOllama) -> list[SeenRequest]:
    """Return the questions for what is loaded."""
    return [seen for seen in server.requests if seen.path == "/api/ps"]


def question(server: ScriptedOllama) -> SeenRequest:
    """Block until the question beside the first request has arrived, and return it."""
    server.wait_for(2)
    return questions(server)[0]


class Watched:
    """The readings of a meter that goes on."""

    def __init__(self, source: Observable[ChatChunk]) -> None:
        self._came = threading.Condition()
        self.readings: list[MeterReading] = []
        self.heard = Heard(source.pipe(op.meter(0.01)), self._look)

    def _look(self, reading: MeterReading) -> None:
        with self._came:
            self.readings.append(reading)
            self._came.notify_all()

    def until(self, *found: Callable[[MeterReading], bool]) -> None:
        """Block until there are such readings, in this order."""

        def came() -> bool:
            readings = iter(self.readings)
            return all(any(map(check, readings)) for check in found)

        with self._came:
            assert self._came.wait_for(came, PATIENCE), self.readings[-1]


def loads(least: float) -> Callable[[MeterReading], bool]:
    """Return whether about so much is expected."""

    def check(reading: MeterReading) -> bool:
        return reading.expected is not None and least / 2 < reading.expected <= least

    return check


def anything(_: MeterReading) -> bool:
    """Return True."""
    return True


def same_stream(source: Observable[ChatChunk]) -> Observable[ChatChunk]:
    """Return a stream as it is."""
    return source


def same(chunk: ChatChunk) -> ChatChunk:
    """Return a chunk as it is."""
    return chunk


def is_chunk(_: ChatChunk) -> bool:
    """Return True."""
    return True


def foreign(source: Observable[ChatChunk]) -> Observable[ChatChunk]:
    """Let a stream pass operators of reactivex."""
    return source.pipe(rx.map(same), rx.share(), rx.filter(is_chunk))


def several(source: Observable[ChatChunk]) -> Observable[ChatChunk]:
    """Let a stream pass operators of both."""
    return foreign(source.pipe(op.retry(2), op.log(Quiet()), op.share()))


PATHS: dict[str, Callable[[Observable[ChatChunk]], Observable[ChatChunk]]] = {
    "direct": same_stream,
    "log": op.log(Quiet()),
    "share": op.share(),
    "retry": op.retry(2),
    "timeouts": op.timeouts(first_chunk=PATIENCE),
    "foreign": foreign,
    "several": several,
}


class TestHeard:
    """The ways of an estimate."""

    @pytest.mark.parametrize("path", PATHS)
    def test_through(self, client: Ollama, server: ScriptedOllama, path: str) -> None:
        """An estimate passes operators of this library and of others."""
        server.always(SILENT)
        watched = Watched(PATHS[path](client.chat("m", "Hi")))
        watched.until(loads(LOAD))
        watched.heard.dispose()
        background_is_idle()

    def test_learned(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A client learns from its first answer how long the next one takes."""
        server.always(Reply.answer("Hi.", first=0.7, load_duration=SECOND * 6 // 10))
        first = Heard(ollama.chat("m", "Hi", keep_alive=0).pipe(op.meter(1))).wait()
        assert {reading.expected for reading in first.items} == {None}
        server.always(SILENT)
        watched = Watched(ollama.chat("m", "Hi"))
        watched.until(loads(0.6), lambda reading: reading.expected == 0)
        watched.heard.dispose()

    def test_attempts(self, client: Ollama, server: ScriptedOllama) -> None:
        """The second attempt has an estimate, too."""
        server.enqueue(Reply.error(503, "busy"), path="/api/chat")
        server.always(SILENT)
        watched = Watched(client.chat("m", "Hi").pipe(op.retry(2, backoff=0, jitter=0)))
        count = 2
        while len([seen for seen in server.wait_for(count) if seen.path == "/api/chat"]) < 2:
            count += 1
        watched.until(*[anything] * len(watched.readings), loads(LOAD))
        watched.heard.dispose()
        background_is_idle()

    def test_rounds(self, client: Ollama, server: ScriptedOllama) -> None:
        """Each round of a conversation has its estimate."""
        server.enqueue(calls(("f", {})), path="/api/chat")
        server.always(SILENT)
        watched = Watched(client.converse("m", "Hi", tools=[done()], through=op.retry(2)))
        watched.until(lambda reading: reading.phase == "calling_tools", loads(LOAD))
        watched.heard.dispose()
        background_is_idle()

    def test_a_tool_that_asks(self, client: Ollama, server: ScriptedOllama) -> None:
        """A tool that sends a request of its own tells nobody."""
        server.enqueue(calls(("ask", {})), Reply.answer("Inner."), path="/api/chat")
        server.always(SILENT)

        async def ask() -> str:
            await client.chat("other", "Hi")
            return "asked"

        watched = Watched(client.converse("m", "Hi", tools=[ask]))
        watched.until(lambda reading: reading.phase == "waiting" and reading.round_count == 1)
        watched.heard.dispose()
        assert not any(loads(10 * LOAD)(reading) for reading in watched.readings)

    def test_two(self, client: Ollama, server: ScriptedOllama) -> None:
        """Two meters at the same time hear of their own requests."""
        server.always(SILENT)
        first, second = Watched(client.chat("m", "Hi")), Watched(client.chat("other", "Hi"))
        first.until(loads(LOAD))
        second.until(loads(10 * LOAD))
        for watched in (first, second):
            watched.heard.dispose()
        assert not any(map(loads(10 * LOAD), first.readings))
        assert not any(map(loads(LOAD), second.readings))

    def test_requests_of_subscribers(self, client: Ollama, server: ScriptedOllama) -> None:
        """A request that a subscriber sends from within `on_next` is nobody's."""
        server.enqueue(Reply.answer("One two."), path="/api/chat")
        server.always(SILENT)
        inner: list[Heard[ChatChunk]] = []

        def ask(_: ChatChunk) -> None:
            if not inner:
                inner.append(Heard(client.chat("other", "Hi")))

        heard = Heard(client.chat("m", "Hi").pipe(rx.do_action(ask), op.meter(1))).wait()
        server.wait_for(3)
        inner[0].dispose()
        background_is_idle()
        assert len(questions(server)) == 1
        assert not any(map(loads(10 * LOAD), heard.items))

    def test_conversation(self, client: Ollama, server: ScriptedOllama) -> None:
        """A turn of a conversation has its estimate."""
        server.always(SILENT)
        watched = Watched(Conversation(client, "m").send("Hi"))
        watched.until(loads(LOAD))
        watched.heard.dispose()
        background_is_idle()


class TestQuestion:
    """The question for what is loaded, on its connection."""

    def test_asked_once(self, client: Ollama, server: ScriptedOllama) -> None:
        """It is asked once for a request with a meter, and not without one."""
        server.always(Reply.answer("Hello."))
        run(client.chat("m", "Hi").pipe(op.log(Quiet())))
        assert len(server.requests) == 1
        server.always(SILENT)
        watched = Watched(client.chat("m", "Hi"))
        server.wait_for(3)
        watched.until(loads(LOAD))
        watched.heard.dispose()
        background_is_idle()
        assert len(questions(server)) == 1

    def test_closed_with_the_stream(self, client: Ollama, server: ScriptedOllama) -> None:
        """Without an answer it is closed when the stream is left."""
        server.always(SILENT)
        server.always(SILENT, path="/api/ps")
        watched = Watched(client.chat("m", "Hi"))
        asked = question(server)
        watched.heard.dispose()
        closed_at_once(asked)
        background_is_idle()

    def test_closed_with_the_answer(self, client: Ollama, server: ScriptedOllama) -> None:
        """Without an answer it is closed when the stream completes."""
        server.always(Reply.answer("Hello.", first=0.1))
        server.always(SILENT, path="/api/ps")
        watched = Watched(client.chat("m", "Hi"))
        asked = question(server)
        watched.heard.wait()
        closed_at_once(asked)
        background_is_idle()

    def test_closed_with_the_client(self, client: Ollama, server: ScriptedOllama) -> None:
        """It ends with the client."""
        server.always(SILENT)
        server.always(SILENT, path="/api/ps")
        watched = Watched(client.chat("m", "Hi"))
        asked = question(server)
        client.close()
        asked.wait_left()
        watched.heard.wait()
        background_is_idle()

    @pytest.mark.parametrize("reply", [Reply.error(500, "no"), Reply.json([1]), Reply.raw(b"nothing")])
    def test_fails(self, client: Ollama, server: ScriptedOllama, reply: Reply) -> None:
        """A failure disturbs nothing."""
        server.always(SILENT)
        server.always(reply, path="/api/ps")
        watched = Watched(client.chat("m", "Hi"))
        question(server).wait_finished()
        watched.until(*[loads(LOAD)] * (len(watched.readings) + 2))
        watched.heard.dispose()
        background_is_idle()
