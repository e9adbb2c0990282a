"""A chat becomes well-formed events, whatever its chunks are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from marbles import play
from reactivex import Observable
from reactivex.testing import ReactiveTest
from reactivex.testing.subscription import Subscription

from rxollama.messages import (
    ChatChunk,
    ChatEvent,
    ChatResponse,
    ContentDelta,
    ContentEnded,
    ContentStarted,
    Finished,
    Function,
    Message,
    ThinkingDelta,
    ThinkingEnded,
    ThinkingStarted,
    ToolCall,
    ToolCalled,
    ToolFailed,
    ToolProgressed,
    ToolReturned,
)
from rxollama.operators._reduce import collect
from rxollama.operators._split import events

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

CALL = ToolCall(Function("look", {"at": "it"}), "call_1")
LOST = ConnectionError("lost")


def says(content: str = "", thinking: str = "", *calls: ToolCall, done: bool = False) -> ChatChunk:
    """Return a chunk of the assistant."""
    return ChatChunk(message=Message("assistant", content, thinking, tool_calls=calls), done=done)


def returns(content: str, *, failed: bool = False) -> ChatChunk:
    """Return a chunk with the result of a tool."""
    return ChatChunk(message=Message.tool(content, call=CALL), tool_failed=failed)


CHUNKS = st.lists(
    st.builds(says, st.text("ab", max_size=2), st.text("ab", max_size=2), done=st.booleans())
    | st.builds(says, st.text("ab", max_size=2), st.text("ab", max_size=2), st.just(CALL))
    | st.builds(returns, st.text("ab", max_size=2), failed=st.booleans()),
    max_size=10,
)

THOUGHT = (ThinkingStarted(), ThinkingEnded())
SAID = (ContentStarted(), ContentEnded())


def received(chunks: list[ChatChunk], operator: Callable[[Observable[ChatChunk]], Observable[Any]]) -> list[Any]:
    """Return what an operator emits for chunks that arrive at once."""
    found: list[Any] = []
    reactivex.from_iterable(chunks).pipe(operator).subscribe(found.append)
    return found


def test_events_complete() -> None:
    """Events of thinking, content, a call and its result come in order, and `Finished` comes once, at the end."""
    chunks = [
        says("", "Hm"),
        says("Well", "."),
        says("", "", CALL, done=True),
        returns("cold"),
        says("Cold.", done=True),
    ]
    played = play(events(), *[on_next(10 * place, chunk) for place, chunk in enumerate(chunks, 1)], on_completed(60))

    [response] = received(chunks, collect())
    built: list[tuple[int, ChatEvent]] = [
        (210, ThinkingStarted()),
        (210, ThinkingDelta("Hm")),
        (220, ThinkingDelta(".")),
        (220, ThinkingEnded()),
        (220, ContentStarted()),
        (220, ContentDelta("Well")),
        (230, ContentEnded()),
        (230, ToolCalled(CALL)),
        (240, ToolReturned("look", "cold", "call_1")),
        (250, ContentStarted()),
        (250, ContentDelta("Cold.")),
        (250, ContentEnded()),
        (260, Finished(response)),
    ]
    assert played.messages == [*[on_next(time, event) for time, event in built], on_completed(260)]
    assert played.subscriptions == [Subscription(200, 260)]


@pytest.mark.parametrize(
    ("chunk", "opened"), [(says("a"), [SAID[0], ContentDelta("a")]), (says("", "a"), [THOUGHT[0], ThinkingDelta("a")])]
)
def test_events_error(chunk: ChatChunk, opened: list[ChatEvent]) -> None:
    """An open text gets its ended event before the error, and there is no `Finished`."""
    played = play(events(), on_next(10, chunk), on_error(20, LOST))

    ended = SAID[1] if opened[0] == SAID[0] else THOUGHT[1]
    assert played.messages == [*[on_next(210, event) for event in opened], on_next(220, ended), on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


def test_events_progress() -> None:
    """Tool progress may come within an answer, and does not end an open text."""
    half = ChatChunk(message=Message.tool("", call=CALL), tool_progress="half")
    built = received([says("a"), half, says("b"), half], events())

    progress = ToolProgressed("look", "half", "call_1")
    assert built == [SAID[0], ContentDelta("a"), progress, ContentDelta("b"), progress, SAID[1]]


def test_events_disposed() -> None:
    """Nothing is emitted after dispose, not even an ended event, and the source is disposed."""
    played = play(events(), on_next(10, says("a")), on_completed(20), disposed=215)

    assert played.messages == [on_next(210, SAID[0]), on_next(210, ContentDelta("a"))]
    assert played.subscriptions == [Subscription(200, 215)]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([], []),
        ([says()], []),
        ([says("a")], [SAID[0], ContentDelta("a"), SAID[1]]),
        ([says("", "a", CALL), says("", "b")], [
            THOUGHT[0], ThinkingDelta("a"), THOUGHT[1], ToolCalled(CALL), THOUGHT[0], ThinkingDelta("b"), THOUGHT[1],
        ]),
        ([says("a"), returns("b", failed=True)], [
            SAID[0], ContentDelta("a"), SAID[1], ToolFailed("look", "b", "call_1"),
        ]),
        ([says("", "", CALL, CALL)], [ToolCalled(CALL), ToolCalled(CALL)]),
        ([returns("")], [ToolReturned("look", "", "call_1")]),
    ],
)  # fmt: skip
def test_events(chunks: list[ChatChunk], expected: list[ChatEvent]) -> None:
    """Starts and ends come in pairs, calls and results one by one, and an unfinished answer gives no `Finished`."""
    assert received(chunks, events()) == expected


@given(CHUNKS)
def test_events_are_well_formed(chunks: list[ChatChunk]) -> None:
    """Only deltas stand between their start and end, and `Finished` comes last, once, if the message is done."""
    built: list[ChatEvent] = received(chunks, events())
    is_open: ChatEvent | None = None
    for event in built:
        match event:
            case ThinkingStarted() | ContentStarted():
                assert is_open is None
                is_open = event
            case ThinkingDelta() | ThinkingEnded():
                assert is_open == THOUGHT[0]
            case ContentDelta() | ContentEnded():
                assert is_open == SAID[0]
            case _:
                assert is_open is None
        if isinstance(event, ThinkingEnded | ContentEnded):
            is_open = None
    assert is_open is None

    responses: list[ChatResponse] = received(chunks, collect())
    finished = [event for event in built if isinstance(event, Finished)]
    assert finished == [Finished(response) for response in responses if response.done]
    assert built[-1:] == finished or not finished
