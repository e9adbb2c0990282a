"""Chunks reduce to a response: after each of them, or once at the end."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from marbles import play
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest
from reactivex.testing.subscription import Subscription
from recorded import recorded

from rxollama._rx import Operator
from rxollama.messages import ChatChunk, ChatResponse, Function, Message, ToolCall
from rxollama.operators._reduce import accumulate, collect

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

HEL = ChatChunk(model="m", message=Message("assistant", "Hel"))
LO = ChatChunk(model="m", message=Message("assistant", "lo"))
DONE = ChatChunk(model="m", message=Message("assistant"), done=True, done_reason="stop", eval_count=2)
AFTER_HEL = ChatResponse(message=Message("assistant", "Hel"), model="m")
AFTER_LO = ChatResponse(message=Message("assistant", "Hello"), model="m")
AFTER_DONE = ChatResponse(
    message=Message("assistant", "Hello"), model="m", done=True, done_reason="stop", metrics=DONE.metrics
)
LOST = ConnectionError("lost")

CHUNKS = st.lists(
    st.builds(
        ChatChunk,
        message=st.builds(
            Message,
            st.sampled_from(["assistant", "tool", ""]),
            st.text(max_size=3),
            st.text(max_size=3),
            tool_calls=st.sampled_from([(), (ToolCall(Function("f")),)]),
        ),
        done=st.booleans(),
        eval_count=st.integers(0, 9),
    ),
    max_size=8,
)


def received(chunks: list[ChatChunk], operator: Operator[ChatChunk, ChatResponse]) -> list[ChatResponse]:
    """Collect what comes of chunks that come at once."""
    responses: list[ChatResponse] = []
    reactivex.from_iterable(chunks).pipe(operator).subscribe(responses.append)
    return responses


def test_accumulate_completes() -> None:
    """Each chunk brings a snapshot, and the end comes with the source's."""
    played = play(accumulate(), on_next(10, HEL), on_next(20, LO), on_next(30, DONE), on_completed(40))

    expected = [on_next(210, AFTER_HEL), on_next(220, AFTER_LO), on_next(230, AFTER_DONE), on_completed(240)]
    assert played.messages == expected
    assert played.subscriptions == [Subscription(200, 240)]


def test_accumulate_errors() -> None:
    """An error comes after the snapshots."""
    played = play(accumulate(), on_next(10, HEL), on_error(20, LOST))

    assert played.messages == [on_next(210, AFTER_HEL), on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


@pytest.mark.parametrize("operator", [accumulate, collect])
def test_never(operator: Any) -> None:
    """A source that never sends brings nothing, until it is disposed."""
    played = play(operator())

    assert played.messages == []
    assert played.subscriptions == [Subscription(200, 1000)]


def test_accumulate_disposed() -> None:
    """Nothing comes after dispose, and the source is let go."""
    played = play(accumulate(), on_next(10, HEL), on_next(20, LO), on_completed(30), disposed=215)

    assert played.messages == [on_next(210, AFTER_HEL)]
    assert played.subscriptions == [Subscription(200, 215)]


def test_collect_completes() -> None:
    """The whole response comes once, with the end."""
    played = play(collect(), on_next(10, HEL), on_next(20, LO), on_next(30, DONE), on_completed(40))

    assert played.messages == [on_next(240, AFTER_DONE), on_completed(240)]
    assert played.subscriptions == [Subscription(200, 240)]


def test_collect_unfinished() -> None:
    """A source that completes without a done chunk brings a response that is not done."""
    played = play(collect(), on_next(10, HEL), on_completed(40))

    assert played.messages == [on_next(240, AFTER_HEL), on_completed(240)]


def test_collect_empty() -> None:
    """A source without chunks brings no response."""
    assert play(collect(), on_completed(40)).messages == [on_completed(240)]


def test_collect_errors() -> None:
    """An error is all that comes of a stream that failed."""
    played = play(collect(), on_next(10, HEL), on_error(20, LOST))

    assert played.messages == [on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


def test_collect_disposed() -> None:
    """Nothing comes after dispose, and the source is let go."""
    played = play(collect(), on_next(10, HEL), on_completed(30), disposed=215)

    assert played.messages == []
    assert played.subscriptions == [Subscription(200, 215)]


@given(CHUNKS)
def test_collect_is_the_last_snapshot(chunks: list[ChatChunk]) -> None:
    """What is collected is the last of the snapshots, and they stay what they were."""
    snapshots = received(chunks, accumulate())

    assert snapshots[-1:] == received(chunks, collect())
    for count, snapshot in enumerate(snapshots, 1):
        assert received(chunks[:count], collect()) == [snapshot]


@pytest.mark.parametrize(
    "name",
    [
        "harmony-call",
        "inline-think",
        "native-calls",
        "thinking-boundary",
        "thinking-reopens",
        "tool-calls-parallel",
        "tool-calls-same",
    ],
)
def test_recorded(name: str) -> None:
    """A recorded answer collects to what its guide says."""
    chunks, expect = recorded(name)
    [response] = received(chunks, collect())

    assert response.message.content == expect["content"]
    assert response.message.thinking == expect["thinking"]
    calls = [{"name": call.name, "arguments": call.arguments} for call in response.message.tool_calls]
    assert calls == expect["tool_calls"]
    assert (response.done, response.done_reason) == (expect["done"], expect["done_reason"])
    assert response.metrics.total_duration == expect["total_duration"]
    assert response.metrics.eval_count == expect["eval_count"]


@pytest.mark.parametrize("operator", [accumulate, collect])
def test_each_subscription_starts_afresh(operator: Any) -> None:
    """The same pipeline subscribed twice brings the same twice."""
    pipeline = reactivex.of(HEL, LO, DONE).pipe(operator())
    last: list[ChatResponse] = []
    for _ in range(2):
        pipeline.subscribe(last.append)

    assert AFTER_DONE == last[-1] == last[len(last) // 2 - 1]


@pytest.mark.parametrize("operator", [accumulate, collect])
def test_scheduler_is_passed_on(operator: Any) -> None:
    """The source is subscribed with the subscriber's scheduler."""
    seen: list[abc.SchedulerBase | None] = []

    def subscribe(_: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        seen.append(scheduler)
        return Disposable()

    scheduler = VirtualTimeScheduler()
    Observable(subscribe).pipe(operator()).subscribe(scheduler=scheduler)

    assert seen == [scheduler]


def test_failing_subscriber_of_accumulate() -> None:
    """What a subscriber raises reaches the producer as it is."""
    source: Subject[ChatChunk] = Subject()

    def fail(_: ChatResponse) -> None:
        raise KeyError("mine")

    source.pipe(accumulate()).subscribe(fail)

    with pytest.raises(KeyError, match="mine"):
        source.on_next(HEL)


def test_failing_subscriber_of_collect() -> None:
    """What a subscriber raises reaches the producer as it is, and the end is told nonetheless."""
    source: Subject[ChatChunk] = Subject()
    ended: list[bool] = []

    def fail(_: ChatResponse) -> None:
        raise KeyError("mine")

    source.pipe(collect()).subscribe(fail, on_completed=lambda: ended.append(True))
    source.on_next(HEL)

    with pytest.raises(KeyError, match="mine"):
        source.on_completed()
    assert ended == [True]
