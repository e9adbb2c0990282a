"""An answer that repeats a phrase ends with an error, and every other one is passed on unchanged."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex
from faults_cases import closed_at_once
from heard import Heard, text_of
from hypothesis import given
from hypothesis import strategies as st
from marbles import play
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest
from reactivex.testing.subscription import Subscription
from recorded import recorded, recorded_chats

from rxollama import Ollama, Stream
from rxollama import operators as op
from rxollama.errors import InvalidValueError, RepetitionError
from rxollama.messages import ChatChunk, Message, Restart
from rxollama.testing import Reply, ScriptedOllama

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

LOST = ConnectionError("lost")
LOOP = "wait, " * 4
HALF = "wait, " * 2


def says(content: str = "", thinking: str = "", **fields: Any) -> ChatChunk:
    """Return a chunk of the assistant."""
    return ChatChunk(message=Message("assistant", content, thinking), **fields)


def received(chunks: list[ChatChunk], raise_after: int = 16) -> tuple[list[ChatChunk], list[Exception | None]]:
    """Return what the operator emits for chunks that arrive at once, and its ends; None is a completion."""
    found: list[ChatChunk] = []
    ends: list[Exception | None] = []
    stream = reactivex.from_iterable(chunks).pipe(op.stop_loops(raise_after))
    stream.subscribe(found.append, ends.append, lambda: ends.append(None))
    return found, ends


def test_completes() -> None:
    """Chunks are passed on as they are, up to the completion."""
    first, last = says("Hi"), says(done=True)
    played = play(op.stop_loops(), on_next(10, first), on_next(20, last), on_completed(20))

    assert played.messages == [on_next(210, first), on_next(220, last), on_completed(220)]
    assert played.subscriptions == [Subscription(200, 220)]


def test_errors() -> None:
    """The source's error is passed on."""
    played = play(op.stop_loops(), on_next(10, says("Hi")), on_error(20, LOST))

    assert played.messages == [on_next(210, says("Hi")), on_error(220, LOST)]


def test_disposed() -> None:
    """Nothing is emitted after dispose, and the source is disposed."""
    played = play(op.stop_loops(), on_next(10, says("Hi")), on_next(30, says("Hi")), disposed=215)

    assert played.messages == [on_next(210, says("Hi"))]
    assert played.subscriptions == [Subscription(200, 215)]


def test_loop() -> None:
    """The chunk with which the loop is complete is emitted, the source is disposed, and the error has what arrived."""
    chunks = [says("So: ", "Hm", model="m"), says(HALF), says(HALF), says("wait, ")]
    played = play(op.stop_loops(16), *(on_next(10 * place, chunk) for place, chunk in enumerate(chunks, 1)))

    *items, end = played.messages
    assert items == [on_next(210, chunks[0]), on_next(220, chunks[1]), on_next(230, chunks[2])]
    assert played.subscriptions == [Subscription(200, 230)]
    error: Any = getattr(end.value, "exception", None)
    assert isinstance(error, RepetitionError)
    assert (end.time, error.found_by, error.model) == (230, "stop_loops", "m")
    assert "the same 6 characters, at least 4 times in a row" in str(error)
    assert error.partial is not None
    assert (error.partial.message.content, error.partial.message.thinking) == ("So: " + LOOP, "Hm")
    assert not error.partial.done


def test_a_source_that_goes_on() -> None:
    """A source that cannot be disposed in time adds nothing after the error, and its end is dropped."""

    def subscribe(observer: abc.ObserverBase[ChatChunk], _: object) -> abc.DisposableBase:
        for chunk in (says(LOOP), says("more"), says(done=True)):
            observer.on_next(chunk)
        observer.on_completed()
        return Disposable()

    ends: list[object] = []
    stream = Stream(subscribe, items=ChatChunk).pipe(op.stop_loops(16))
    stream.subscribe(ends.append, lambda error: ends.append(type(error)), lambda: ends.append(None))

    assert ends == [says(LOOP), RepetitionError]


def test_the_source_is_disposed_before_the_error() -> None:
    """A subscriber that is told of the error finds the source without an observer."""
    source: Subject[ChatChunk] = Subject()
    observed: list[int] = []
    source.pipe(op.stop_loops(16)).subscribe(on_error=lambda _: observed.append(len(source.observers)))
    source.on_next(says(LOOP))

    assert observed == [0]


@pytest.mark.parametrize(
    "chunks",
    [
        [says("", LOOP)],
        [says("", HALF), says("", HALF)],
        [says("Hm", HALF), says("", HALF)],
        [says(LOOP, done=True)],
        [says(HALF, "Hm"), says(HALF, "Hm")],
        [ChatChunk(message=Message(content=LOOP))],
        [says("So", done=True), says(LOOP)],
    ],
)
def test_loops(chunks: list[ChatChunk]) -> None:
    """A loop is found in the thinking and in the content, whatever stands in the other of them."""
    found, ends = received(chunks)

    assert found == chunks
    assert [type(end) for end in ends] == [RepetitionError]


@pytest.mark.parametrize(
    "chunks",
    [
        # Thinking and content are two texts.
        [says(HALF, HALF)],
        # Each message is a text of its own, and so is each attempt.
        [says(HALF, done=True), says(HALF)],
        [says(HALF), ChatChunk(message=Message.tool("3")), says(HALF)],
        [says(HALF), says(HALF, restart=Restart("lost"))],
        [says(HALF), says(HALF, restart=Restart("lost", scope="message"))],
        # A tool may return what it likes.
        [ChatChunk(message=Message.tool(LOOP))],
        [says("no, no, " * 7)],
    ],
)
def test_no_loops(chunks: list[ChatChunk]) -> None:
    """Chunks without a loop in one text are passed on."""
    assert received(chunks) == (chunks, [None])


def test_retry_passes_it_on() -> None:
    """The same request would give the same loop, so it is not sent again."""
    subscriptions: list[int] = []
    failed: list[Exception] = []

    def subscribe(*_: object) -> Observable[ChatChunk]:
        subscriptions.append(1)
        return reactivex.throw(RepetitionError("the answer repeats itself"))

    reactivex.defer(subscribe).pipe(op.retry(backoff=0)).subscribe(on_error=failed.append)

    assert [type(error) for error in failed] == [RepetitionError]
    assert len(subscriptions) == 1


@pytest.mark.parametrize("given_", [0, -1, 2.5, "16", True])
def test_refused(given_: Any) -> None:
    """A number of characters is a positive int."""
    with pytest.raises(InvalidValueError, match="raise_after"):
        op.stop_loops(given_)


_PARTS = st.lists(st.sampled_from(["wait, ", "no ", "-", "abc", "Hm"]), max_size=30)


@given(_PARTS, _PARTS, st.data())
def test_any_cut(thinking: list[str], content: list[str], data: st.DataObject) -> None:
    """However a chat is cut, what comes out is what came in, up to the chunk in which the loop is complete."""
    whole = [says("", part) for part in "".join(thinking)] + [says(part) for part in "".join(content)]
    cut: list[ChatChunk] = []
    for chunk in whole:
        joins = bool(cut) and data.draw(st.booleans())
        cut[-1:] = [cut[-1] + chunk] if joins else [*cut[-1:], chunk]

    (letters, ends), (found, cut_ends) = received(whole), received(cut)
    assert found == cut[: len(found)]
    assert [type(end) for end in ends] == [type(end) for end in cut_ends]
    if ends == [None]:
        assert found == cut
    else:
        complete = _length(letters)
        assert _length(found[:-1]) < complete <= _length(found)


def _length(chunks: list[ChatChunk]) -> int:
    return sum(len(chunk.message.content + chunk.message.thinking) for chunk in chunks)


@pytest.mark.parametrize("name", recorded_chats())
def test_no_false_alarm_on_a_recording(name: str) -> None:
    """No recorded answer of a real server loops, even if 128 characters were enough."""
    chunks = recorded(name).chunks

    for raise_after in (128, 4096):
        assert received(chunks, raise_after) == (chunks, [None])


def test_the_request_is_closed(server: ScriptedOllama, ollama: Ollama) -> None:
    """The server sees the request closed, and every chunk up to the loop is delivered."""
    words = ["Hm. ", *["wait a moment, "] * 20]
    server.enqueue(Reply.answer(words).stalled(20))
    heard = Heard(ollama.chat("m", "Hi").pipe(op.stop_loops(120)))
    error = heard.failure

    assert isinstance(error, RepetitionError)
    assert error.partial is not None
    assert error.partial.message.content == text_of(heard.items)
    assert text_of(heard.items).startswith("Hm. " + "wait a moment, " * 8)
    closed_at_once(server.requests[0])


def test_in_a_conversation(server: ScriptedOllama, ollama: Ollama) -> None:
    """A loop in a round ends the conversation, with what arrived."""
    server.enqueue(Reply.answer(["wait a moment, "] * 20).stalled(20))
    heard = Heard(ollama.converse("m", "Hi", through=op.stop_loops(120)))
    error = heard.failure

    assert isinstance(error, RepetitionError)
    assert error.partial is not None
    assert error.partial.message.content == text_of(heard.items)
    closed_at_once(server.requests[0])
