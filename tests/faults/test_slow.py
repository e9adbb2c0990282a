"""Slow servers, which send byte by byte or pause, and slow consumers."""

from __future__ import annotations

from typing import Any

import pytest
from faults_cases import WORDS, Client, owned, partial_of, sum_of, words_of
from heard import Heard, settle, text_of

from rxollama import Ollama, iterate, run
from rxollama import operators as op
from rxollama.errors import StreamTimeoutError
from rxollama.messages import ChatChunk
from rxollama.testing import Recording, Reply, ScriptedOllama

ANSWER = Reply.answer(WORDS)
# A busy machine may pause for less than this, so what must arrive in time does.
AMPLE = 20.0


def at_once(count: int) -> Reply:
    """Return a reply that stalls after so many records, which are one write, so that there is no gap between them."""
    return Reply.records([b"".join(piece.data for piece in ANSWER.pieces[:count])]).stalled(min(count, 1))


def test_byte_by_byte(ollama: Ollama, server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """An answer that arrives byte by byte is complete."""
    recording = recordings["native-calls"]
    server.enqueue(Reply.of(recording, speed=None).cut(1).slow(0.0005))
    guarded = ollama.chat("m", "Go on.").pipe(op.timeouts(first_chunk=AMPLE, gap=AMPLE))
    response = run(guarded.pipe(op.collect()))
    assert response.message.content == recording.expect["content"]
    assert response.message.thinking == recording.expect["thinking"]
    assert len(response.message.tool_calls) == 2


def test_silence_before_the_headers(ollama: Ollama, server: ScriptedOllama) -> None:
    """Without `timeouts`, only connecting has a limit."""
    server.enqueue(Reply.answer(WORDS, first=0.3))
    assert text_of(Heard(ollama.chat("m", "Count.")).wait().items) == "One two three"


@pytest.mark.parametrize(
    ("pieces", "limits", "phase"),
    [
        (0, {"first_chunk": 1.0, "gap": AMPLE}, "first_chunk"),
        (2, {"first_chunk": AMPLE, "gap": 0.3}, "gap"),
        (0, {"first_chunk": AMPLE, "total": 1.0}, "total"),
        (2, {"total": 3.0}, "total"),
    ],
    ids=["before the headers", "in the middle", "total before the headers", "total in the middle"],
)
def test_timeouts(ollama: Ollama, server: ScriptedOllama, pieces: int, limits: dict[str, Any], phase: str) -> None:
    """A silence over the limit is an error with its phase and what arrived, and closes the request."""
    server.enqueue(at_once(pieces))
    heard = Heard(ollama.chat("m", "Count.").pipe(op.timeouts(**limits)))
    error = heard.failure
    assert isinstance(error, StreamTimeoutError)
    assert error.phase == phase
    assert partial_of(error) == sum_of(heard.items) == ("", "".join(WORDS[:pieces]), ())
    server.requests[0].wait_left()


def test_a_record_that_never_ends(ollama: Ollama, server: ScriptedOllama) -> None:
    """Bytes that never complete a record are a gap."""
    body = ANSWER.pieces[0].data + b'{"message":{"content":"' + b"x" * 20_000
    server.enqueue(Reply.records([body]).cut([len(ANSWER.pieces[0].data), *[1] * 20_000]).slow(0.002))
    heard = Heard(ollama.chat("m", "Count.").pipe(op.timeouts(first_chunk=AMPLE, gap=0.2)))
    assert isinstance(heard.failure, StreamTimeoutError)
    assert heard.failure.phase == "gap"
    assert partial_of(heard.failure) == ("", "One", ())
    server.requests[0].wait_left()


async def test_timeouts_in_asyncio(http_client: Client, server: ScriptedOllama) -> None:
    """A silence on the caller's own loop is the same error."""
    server.enqueue(at_once(2))
    async with owned(server.url, http_client) as ollama:
        with pytest.raises(StreamTimeoutError) as raised:
            await ollama.chat("m", "Count.").pipe(op.timeouts(first_chunk=AMPLE, gap=0.3), op.collect())
    assert raised.value.phase == "gap"
    assert partial_of(raised.value) == ("", "One two", ())


def test_slow_consumer(ollama: Ollama, server: ScriptedOllama) -> None:
    """A slow consumer does not hold up the server: the answer is read to its end, and arrives as a sum."""
    server.enqueue(Reply.answer(["word " * 1000] * 2000))
    with iterate(ollama.chat("m", "Count.")) as chunks:
        first = next(chunks)
        seen = server.requests[0]
        seen.wait_finished(30)
        assert seen.left_at is None
        settle()
        rest: list[ChatChunk] = list(chunks)
    assert len(rest) < 2000
    assert words_of(first)[1] + sum_of(rest)[1] == "word " * 2_000_000
    assert rest[-1].done
