"""Timeouts, retries, fallbacks and hedges over real sockets, as the servers see them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faults_cases import closed_at_once
from heard import Heard, text_of

from rxollama import Ollama, run
from rxollama import operators as op
from rxollama._runtime import Operator
from rxollama.errors import (
    ConnectionFailedError,
    NotFoundError,
    RepetitionError,
    ServerFailureError,
    StreamTimeoutError,
    UsageLimitError,
)
from rxollama.messages import ChatChunk
from rxollama.testing import Reply, ScriptedOllama

ANSWER = Reply.answer("Hello there.")
SILENT = ANSWER.stalled(0)
# In one write, so that there is no pause between the two.
TWO = Reply.records([b"".join(piece.data for piece in Reply.answer(["a", "b", "c"]).pieces[:2])]).stalled(1)
_BODY = Reply.answer(["It is", *[" very"] * 31, " good."]).pieces[:32]
REPEATED = Reply.records([piece.data for piece in _BODY])
GUARD = "prediction aborted, token repeat limit reached"
PARSER = "error parsing tool call: raw='{\"city\": Oslo', err=invalid character 'O' looking for beginning of value"


@pytest.fixture
def second() -> Iterator[ScriptedOllama]:
    """Return a second scripted server."""
    with ScriptedOllama() as server:
        yield server


@pytest.fixture
def elsewhere(second: ScriptedOllama) -> Iterator[Ollama]:
    """Return a client for the second server."""
    with Ollama(second.url) as client:
        yield client


def test_first_chunk_closes_the_request(server: ScriptedOllama, ollama: Ollama) -> None:
    """A server that sends nothing in time sees the request closed at once."""
    server.enqueue(SILENT)
    heard = Heard(ollama.chat("m", "Hi").pipe(op.timeouts(first_chunk=1.0)))
    error = heard.failure

    assert isinstance(error, StreamTimeoutError)
    assert error.phase == "first_chunk"
    closed_at_once(server.requests[0])


def test_gap_keeps_what_arrived(server: ScriptedOllama, ollama: Ollama) -> None:
    """A server that pauses within an answer sees the request closed, and the error has what arrived."""
    server.enqueue(TWO)
    heard = Heard(ollama.chat("m", "Hi").pipe(op.timeouts(first_chunk=10, gap=0.5)))
    error = heard.failure

    assert isinstance(error, StreamTimeoutError)
    assert (error.phase, error.model) == ("gap", "scripted")
    assert error.partial is not None
    assert error.partial.message.content == text_of(heard.items) == "ab"
    server.requests[0].wait_left()


def test_retry_after(server: ScriptedOllama, ollama: Ollama) -> None:
    """A request to a busy server is sent again, once the time that the server named is over."""
    busy = Reply.error(503, {"error": "server busy, please try again."}, headers={"retry-after": "0.2"})
    server.enqueue(busy, ANSWER)
    heard = Heard(ollama.chat("m", "Hi").pipe(op.retry(backoff=0))).wait()
    first, again = server.requests

    assert text_of(heard.items) == "Hello there."
    assert heard.threads == {"rxollama"}
    assert again.received_at - first.received_at >= 0.2


@pytest.mark.parametrize("broken", [ANSWER.dropped(0), ANSWER.reset(0), ANSWER.truncated(0)])
def test_retry_after_a_break(server: ScriptedOllama, ollama: Ollama, broken: Reply) -> None:
    """A request whose connection breaks before anything was visible is sent again."""
    server.enqueue(broken, ANSWER)
    response = run(ollama.chat("m", "Hi").pipe(op.retry(backoff=0), op.collect()))

    assert response.message.content == "Hello there."
    assert len(server.requests) == 2


def test_no_retry_within_an_answer(server: ScriptedOllama, ollama: Ollama) -> None:
    """A request is not sent again if the answer breaks off after something was visible."""
    server.enqueue(ANSWER.truncated(1), ANSWER)
    heard = Heard(ollama.chat("m", "Hi").pipe(op.retry(backoff=0))).wait()

    assert text_of(heard.items) == "Hello"
    assert heard.error is not None
    assert len(server.requests) == 1


def test_no_retry_after_a_parser_failure(server: ScriptedOllama, ollama: Ollama) -> None:
    """A request is not sent again if the server could not parse a tool call."""
    server.enqueue(Reply.error(500, {"error": PARSER}), ANSWER)

    with pytest.raises(ServerFailureError, match="parsing tool call"):
        run(ollama.chat("m", "Hi").pipe(op.retry(backoff=0)))
    assert len(server.requests) == 1


def test_retries_of_a_slow_server(server: ScriptedOllama, ollama: Ollama) -> None:
    """`timeouts` before `retry` limits each attempt, and each abandoned request is closed."""
    server.enqueue(SILENT, SILENT)
    server.always(ANSWER)
    response = run(ollama.chat("m", "Hi").pipe(op.timeouts(first_chunk=0.3), op.retry(9, backoff=0), op.collect()))

    assert response.message.content == "Hello there."
    first, second, *_ = server.requests
    assert first.wait_left() <= second.wait_left()


def test_fallback_to_another_model(server: ScriptedOllama, ollama: Ollama) -> None:
    """A missing model is replaced by another one."""
    server.enqueue(Reply.error(404, {"error": "model 'big' not found"}), ANSWER)
    other = ollama.chat("small", "Hi")
    response = run(ollama.chat("big", "Hi").pipe(op.fallback(other), op.collect()))

    assert response.message.content == "Hello there."
    assert [seen.json["model"] for seen in server.requests] == ["big", "small"]


def test_fallback_to_another_host(
    server: ScriptedOllama, ollama: Ollama, second: ScriptedOllama, elsewhere: Ollama
) -> None:
    """An unreachable host is replaced by another one, whose error has a note of the first."""
    server.stop()
    second.enqueue(ANSWER)
    pipeline = ollama.chat("m", "Hi").pipe(op.fallback(elsewhere.chat("m", "Hi")))
    assert run(pipeline.pipe(op.collect())).message.content == "Hello there."

    with pytest.raises(NotFoundError) as raised:
        run(pipeline)
    [note] = raised.value.__notes__
    assert note.startswith(f"choice 1 failed: {ConnectionFailedError.__name__}: cannot connect to {server.url}")


async def test_hedge_closes_the_first(server: ScriptedOllama, second: ScriptedOllama) -> None:
    """A host that is silent for too long loses, and sees its request closed."""
    server.enqueue(SILENT)
    second.enqueue(ANSWER)
    async with Ollama(server.url) as ollama, Ollama(second.url) as elsewhere:
        hedged = ollama.chat("m", "Hi").pipe(op.hedge(elsewhere.chat("m", "Hi"), after=1.0), op.collect())
        response = await hedged

    assert response.message.content == "Hello there."
    server.requests[0].wait_left()


def test_hedge_closes_at_once(
    server: ScriptedOllama, ollama: Ollama, second: ScriptedOllama, elsewhere: Ollama
) -> None:
    """The loser sees its request closed as soon as the winner begins, and the winner continues."""
    server.enqueue(SILENT)
    second.enqueue(ANSWER.stalled(1))
    heard: Heard[ChatChunk] = Heard(ollama.chat("m", "Hi").pipe(op.hedge(elsewhere.chat("m", "Hi"), after=1.0)))
    heard.wait_items(1)
    closed_at_once(server.requests[0])
    assert second.requests[0].left_at is None
    heard.dispose()
    second.requests[0].wait_left()


def test_hedge_is_not_needed(server: ScriptedOllama, ollama: Ollama, second: ScriptedOllama, elsewhere: Ollama) -> None:
    """The second host gets no request if the first one answers in time."""
    server.enqueue(ANSWER)
    hedged = ollama.chat("m", "Hi").pipe(op.hedge(elsewhere.chat("m", "Hi"), after=30))

    assert run(hedged.pipe(op.collect())).message.content == "Hello there."
    assert second.requests == ()


@pytest.mark.parametrize("attempts", [op.retry(backoff=0), op.retry(backoff=0, after_first="restart")])
@pytest.mark.parametrize(
    "reply",
    [
        REPEATED,
        REPEATED.cut(1),
        Reply.error(500, {"error": GUARD}),
        Reply.answer("It is very").with_error(GUARD, after=2),
        Reply.json({"message": {"role": "assistant", "content": "It is" + " very" * 31}, "done": False}),
    ],
    ids=["silent", "byte by byte", "refused", "reported", "in one record"],
)
def test_repetition(
    server: ScriptedOllama, ollama: Ollama, reply: Reply, attempts: Operator[ChatChunk, ChatChunk]
) -> None:
    """An answer that the server's repetition guard ended is not asked for again, and keeps what arrived."""
    server.enqueue(reply, ANSWER)
    heard = Heard(ollama.chat("m", "Hi").pipe(attempts))
    error = heard.failure

    assert type(error) is RepetitionError
    assert (error.found_by, len(server.requests)) == ("server", 1)
    assert error.partial is not None
    assert error.partial.message.content == text_of(heard.items)


@pytest.mark.parametrize("stream", [True, False])
def test_usage_limit(
    server: ScriptedOllama, ollama: Ollama, second: ScriptedOllama, elsewhere: Ollama, stream: bool
) -> None:
    """A used-up cloud is not asked again, and another source is asked instead."""
    text = "you (me) have reached your weekly usage limit, upgrade for higher limits: https://ollama.com/upgrade"
    server.enqueue(Reply.error(429, {"error": text}), Reply.error(429, {"error": text}))
    second.enqueue(ANSWER)
    cloud = ollama.chat("m:cloud", "Hi", stream=stream).pipe(op.retry(backoff=0))
    error = Heard(cloud).failure
    heard = Heard(cloud.pipe(op.fallback(elsewhere.chat("m", "Hi")))).wait()

    assert type(error) is UsageLimitError
    assert error.upgrade_url == "https://ollama.com/upgrade"
    assert text_of(heard.items) == "Hello there."
    assert (len(server.requests), len(second.requests)) == (2, 1)


def test_usage_limit_before_the_first_word(server: ScriptedOllama, ollama: Ollama) -> None:
    """A limit that is reported as the first record of an answer leads to the next source, too."""
    server.enqueue(ANSWER.with_error("you have reached your session usage limit", after=0), ANSWER)
    heard = Heard(ollama.chat("m:cloud", "Hi").pipe(op.fallback(ollama.chat("m", "Hi")))).wait()

    assert text_of(heard.items) == "Hello there."
