"""The meter over real requests."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Callable

import pytest
import reactivex
from faults_cases import Client, held_background, owned, sockets_to, until_sockets
from heard import PATIENCE, Heard, settle
from reactivex import Observable
from reactivex import operators as rx

from rxollama import Ollama, run
from rxollama import operators as op
from rxollama.errors import ConnectionFailedError, ServerFailureError, TruncatedError
from rxollama.messages import ChatChunk, Message, MeterReading
from rxollama.testing import Reply, ScriptedOllama, SeenRequest

ANSWER = Reply.answer("Hello there.", thinking="A greeting.")
SILENT = ANSWER.stalled(0)
WHOLE = ["waiting", "thinking", "answering", "done"]


def phases(heard: Heard[MeterReading]) -> list[str]:
    """Return the phases, each as often as it was entered."""
    found: list[str] = []
    for reading in heard.items:
        found += [] if found[-1:] == [reading.phase] else [reading.phase]
    return found


def metered(
    source: Observable[MeterReading], each: Callable[[MeterReading], object] | None = None
) -> Heard[MeterReading]:
    """Subscribe while the loop is held. Else the answer may come before the first reading, which then is missing."""
    with held_background():
        return Heard(source, each)


class Reached:
    """A wait for the first reading of a phase."""

    def __init__(self, phase: str) -> None:
        self._phase = phase
        self._there = threading.Event()

    def look(self, reading: MeterReading) -> None:
        """Check a reading."""
        if reading.phase == self._phase:
            self._there.set()

    def wait(self) -> None:
        """Block until that reading has come."""
        assert self._there.wait(PATIENCE)


def test_whole(server: ScriptedOllama, http_client: Client) -> None:
    """An answer goes from phase to phase, on a new connection as on one that is there already."""
    server.enqueue(ANSWER, ANSWER)
    with Ollama(server.url, http_client=http_client) as ollama:
        for _ in range(2):
            heard = metered(ollama.chat("m", "Hi").pipe(op.meter(60))).wait()
            last = heard.items[-1]

            assert phases(heard) == WHOLE
            assert last.metrics is not None
            assert last.metrics.chunk_count == last.chunk_count
            assert (last.content_length, last.thinking_length) == (len("Hello there."), len("A greeting."))
            assert heard.threads == {"rxollama"}
    assert server.requests[0].json["messages"] == server.requests[1].json["messages"]


async def test_on_a_loop(server: ScriptedOllama, http_client: Client) -> None:
    """The same holds on the loop of a caller."""
    server.enqueue(ANSWER)
    async with owned(server.url, http_client) as ollama:
        readings = await ollama.chat("m", "Hi").pipe(op.meter(60), rx.to_list())

    assert [reading.phase for reading in readings] == WHOLE


def test_large_request(server: ScriptedOllama, http_client: Client) -> None:
    """A request that is sent in pieces arrives as it is."""
    server.enqueue(ANSWER)
    words = "word " * 200_000
    with Ollama(server.url, http_client=http_client) as ollama:
        heard = metered(ollama.chat("m", words).pipe(op.meter(60))).wait()

    assert phases(heard) == WHOLE
    assert server.requests[0].json["messages"][0]["content"] == words


@pytest.mark.parametrize("reply", [SILENT, ANSWER.stalled(1), ANSWER.stalled(4)])
def test_dispose(server: ScriptedOllama, http_client: Client, reply: Reply) -> None:
    """The request is closed on dispose while the server is silent, before the answer and within it."""
    server.enqueue(reply)
    phase = {0: "waiting", 1: "thinking", 4: "answering"}[len(reply.pieces)]
    with Ollama(server.url, http_client=http_client) as ollama:
        reached = Reached(phase)
        heard = metered(ollama.chat("m", "Hi").pipe(op.meter(0.01)), reached.look)
        reached.wait()
        heard.wait_items(len(heard.items) + 3)
        heard.dispose()
        server.requests[0].wait_left()
        settle()

    assert phases(heard) == WHOLE[: WHOLE.index(phase) + 1]
    assert heard.items[-1].phase_duration > 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses instead")
def test_connecting(full_port: int, http_client: Client) -> None:
    """A request that nobody accepts is waiting, and dispose closes its socket."""
    before = sockets_to(full_port)
    with Ollama(f"http://127.0.0.1:{full_port}", http_client=http_client) as ollama:
        heard = metered(ollama.chat("m", "Hi").pipe(op.meter(0.01))).wait_items(10)
        heard.dispose()
        asyncio.run(until_sockets(full_port, before))

    assert phases(heard) == ["waiting"]


def test_connected(http_client: Client) -> None:
    """A request that is accepted and never answered is waiting."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with Ollama(f"http://127.0.0.1:{listener.getsockname()[1]}", http_client=http_client) as ollama:
            heard = metered(ollama.chat("m", "Hi").pipe(op.meter(60)))
            listener.settimeout(PATIENCE)
            connection, _ = listener.accept()
            heard.wait_items(1)
            heard.dispose()
            connection.close()

    assert phases(heard) == ["waiting"]


def test_refused(server: ScriptedOllama, http_client: Client) -> None:
    """A request to a server that is not there is waiting until it fails."""
    server.stop()
    with Ollama(server.url, http_client=http_client) as ollama:
        heard = metered(ollama.chat("m", "Hi").pipe(op.meter(60)))
        assert isinstance(heard.failure, ConnectionFailedError)

    assert phases(heard) == ["waiting", "failed"]


def test_broken_off(server: ScriptedOllama, ollama: Ollama) -> None:
    """An answer that breaks off fails, and the last reading holds what came."""
    server.enqueue(ANSWER.truncated(3))
    heard = metered(ollama.chat("m", "Hi").pipe(op.meter(60)))

    assert isinstance(heard.failure, TruncatedError)
    assert phases(heard) == ["waiting", "thinking", "answering", "failed"]
    assert heard.items[-1].chunk_count == 3
    assert heard.items[-1].metrics is None


# Several requests, and those of others.


def test_retry(server: ScriptedOllama, http_client: Client) -> None:
    """A second attempt goes on waiting."""
    server.enqueue(Reply.error(503, {"error": "server busy"}), ANSWER)
    with Ollama(server.url, http_client=http_client) as ollama:
        heard = metered(ollama.chat("m", "Hi").pipe(op.retry(backoff=0.01), op.meter(60))).wait()

    assert phases(heard) == WHOLE


def test_hedge(server: ScriptedOllama, ollama: Ollama) -> None:
    """A second request beside the first does not change the phases."""
    server.enqueue(SILENT, ANSWER)
    hedged = ollama.chat("m", "Hi").pipe(op.hedge(ollama.chat("m", "Hi"), after=0.05))
    heard = metered(hedged.pipe(op.meter(60))).wait()

    assert phases(heard) == WHOLE
    server.requests[0].wait_left()


def test_late_to_a_shared_answer(server: ScriptedOllama, ollama: Ollama) -> None:
    """A meter that comes late to a shared answer reads `waiting` until something is visible."""
    late = threading.Event()

    def answer(_: SeenRequest) -> Reply:
        assert late.wait(PATIENCE)
        return ANSWER

    server.always(answer)
    shared = ollama.chat("m", "Hi").pipe(op.share())
    beside = Heard(shared)
    heard = metered(shared.pipe(op.meter(60)))
    late.set()

    assert phases(heard.wait()) == ["waiting", "thinking", "answering", "done"]
    assert heard.items[-1].chunk_count == len(beside.wait().items)


def test_what_others_ask(server: ScriptedOllama, ollama: Ollama) -> None:
    """Other requests that begin because of a chunk or of the end do not change the phases."""
    server.always(ANSWER)
    shared = ollama.chat("m", "Hi").pipe(op.share())
    more: list[Heard[ChatChunk]] = []
    asks = threading.Event()

    def ask(_: object) -> None:
        more.append(Heard(ollama.chat("m", "More")))

    def ask_last() -> None:
        ask(None)
        asks.set()

    heard = metered(shared.pipe(op.meter(0.01)), ask)
    shared.subscribe(ask, on_completed=ask_last)
    heard.wait()
    assert asks.wait(PATIENCE)
    for each in more:
        each.wait()

    assert phases(heard) == WHOLE
    assert len(server.requests) == 1 + len(more)


def test_the_next_question(server: ScriptedOllama, ollama: Ollama) -> None:
    """A request that begins before the meter sees the end of this one does not change the phases."""
    server.always(ANSWER)
    more: list[Heard[ChatChunk]] = []

    def ask() -> None:
        more.append(Heard(ollama.chat("m", "More")))

    heard = metered(ollama.chat("m", "Hi").pipe(rx.do_action(on_completed=ask), op.meter(60))).wait()
    more[0].wait()

    assert phases(heard) == WHOLE


def test_after_another_call(server: ScriptedOllama, ollama: Ollama) -> None:
    """A chat that begins after another call goes through its own phases."""
    server.enqueue(ANSWER, path="/api/chat")

    def ask(_: str) -> Observable[ChatChunk]:
        return ollama.chat("m", "Hi")

    heard = metered(ollama.version().pipe(rx.flat_map(ask), op.meter(60))).wait()

    assert phases(heard) == WHOLE


# Conversations.


def test_rounds(server: ScriptedOllama, ollama: Ollama) -> None:
    """A conversation of two rounds, put together by hand, is one stream to the meter."""
    server.enqueue(Reply.answer(tool_calls=[{"name": "f", "arguments": {}}]), ANSWER)
    result = ChatChunk(message=Message.tool("42", name="f"), done=True)

    rounds = ollama.chat("m", "Hi").pipe(rx.concat(reactivex.just(result), ollama.chat("m", "Hi")))
    heard = metered(rounds.pipe(op.meter(60))).wait()
    last = heard.items[-1]

    assert phases(heard) == ["waiting", "calling_tools", "waiting", "thinking", "answering", "done"]
    assert (last.round_count, last.tool_call_count) == (2, 1)
    assert last.metrics is not None
    assert len(last.metrics.rounds) == 2


def test_errors_are_the_sources(server: ScriptedOllama, ollama: Ollama) -> None:
    """A meter passes on the error of the request."""
    server.enqueue(Reply.error(500, {"error": "no"}))

    with pytest.raises(ServerFailureError):
        run(ollama.chat("m", "Hi").pipe(op.meter(60)))
