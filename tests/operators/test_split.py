"""A chat is split into thinking, content and events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from marbles import disposing, play
from reactivex import Observable
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.subscription import Subscription
from recorded import recorded

from rxollama.messages import (
    ChatChunk,
    ChatEvent,
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
)
from rxollama.operators._split import content, events, split, thinking

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


def test_content_completes() -> None:
    """Content deltas are emitted as they arrive, without empty ones and tool results."""
    played = play(
        content(),
        on_next(10, says("", "Hm")),
        on_next(20, says("Yes", ".")),
        on_next(30, says()),
        on_next(40, returns("3 °C")),
        on_next(50, says("!", done=True)),
        on_completed(60),
    )

    assert played.messages == [on_next(220, "Yes"), on_next(250, "!"), on_completed(260)]
    assert played.subscriptions == [Subscription(200, 260)]


def test_thinking_completes() -> None:
    """Thinking deltas are emitted as they arrive, without empty ones, also after content."""
    played = play(
        thinking(),
        on_next(10, says("", "Hm")),
        on_next(20, says("Yes", ".")),
        on_next(30, says("!")),
        on_next(40, says("", "Or?", done=True)),
        on_completed(60),
    )

    assert played.messages == [on_next(210, "Hm"), on_next(220, "."), on_next(240, "Or?"), on_completed(260)]
    assert played.subscriptions == [Subscription(200, 260)]


@pytest.mark.parametrize("operator", [content, thinking])
def test_texts_error(operator: Any) -> None:
    """An error follows the deltas that arrived."""
    played = play(operator(), on_next(10, says("a", "a")), on_error(20, LOST))

    assert played.messages == [on_next(210, "a"), on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


@pytest.mark.parametrize("operator", [content, thinking])
def test_texts_disposed(operator: Any) -> None:
    """Nothing is emitted after dispose, and the source is disposed."""
    played = play(operator(), on_next(10, says("a", "a")), on_next(20, says("b", "b")), disposed=215)

    assert played.messages == [on_next(210, "a")]
    assert played.subscriptions == [Subscription(200, 215)]


@given(CHUNKS)
def test_no_word_is_lost(chunks: list[ChatChunk]) -> None:
    """The joined deltas are the texts of the chunks, from `content`, `thinking` and `events`."""
    built: list[ChatEvent] = received(chunks, events())
    spoken = [chunk.message for chunk in chunks if chunk.message.role != "tool"]

    said = "".join(message.content for message in spoken)
    thought = "".join(message.thinking for message in spoken)
    assert "".join(received(chunks, content())) == said
    assert "".join(event.text for event in built if isinstance(event, ContentDelta)) == said
    assert "".join(received(chunks, thinking())) == thought
    assert "".join(event.text for event in built if isinstance(event, ThinkingDelta)) == thought


@pytest.mark.parametrize("name", ["thinking-reopens", "thinking-boundary", "native-calls", "harmony-call"])
def test_recorded(name: str) -> None:
    """A recorded answer has the texts, the calls and the end that its guide says."""
    chunks, expect = recorded(name)
    built: list[ChatEvent] = received(chunks, events())

    assert "".join(received(chunks, content())) == expect["content"]
    assert "".join(received(chunks, thinking())) == expect["thinking"]
    assert sum(isinstance(event, ToolCalled) for event in built) == len(expect["tool_calls"])
    assert built.count(THOUGHT[0]) == (2 if name == "thinking-reopens" else bool(expect["thinking"]))
    assert isinstance(built[-1], Finished)


def test_split() -> None:
    """Thinking and content come from one request, which ends with the last subscriber."""
    scheduler = TestScheduler()
    chunks = [on_next(10, says("", "Hm")), on_next(20, says("Yes", "."))]
    source = scheduler.create_cold_observable(*chunks)
    thought, said = split()(source)
    observers = [scheduler.create_observer(), scheduler.create_observer()]

    def subscribe(*_: object) -> None:
        for observable, observer, disposed in zip((thought, said), observers, (300.0, 400.0), strict=True):
            subscription = observable.subscribe(observer, scheduler=scheduler)
            scheduler.schedule_absolute(disposed, disposing(subscription))

    scheduler.schedule_absolute(200.0, subscribe)
    scheduler.start()

    assert observers[0].messages == [on_next(210, "Hm"), on_next(220, ".")]
    assert observers[1].messages == [on_next(220, "Yes")]
    assert source.subscriptions == [Subscription(200, 400)]


@pytest.mark.parametrize("end", [on_completed(30), on_error(30, LOST)])
def test_split_ends(end: Any) -> None:
    """Both streams end with the source."""
    scheduler = TestScheduler()
    source = scheduler.create_cold_observable(on_next(10, says("a", "b")), end)
    observers = [scheduler.create_observer(), scheduler.create_observer()]
    for observable, observer in zip(split()(source), observers, strict=True):
        observable.subscribe(observer, scheduler=scheduler)
    scheduler.start()

    assert [observer.messages for observer in observers] == [[on_next(10, "b"), end], [on_next(10, "a"), end]]
    assert source.subscriptions == [Subscription(0, 30)]
