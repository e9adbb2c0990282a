"""The contract of every operator that needs no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from marbles import play
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject
from reactivex.testing.subscription import Subscription

from rxollama._runtime import Operator
from rxollama.messages import ChatChunk, ContentEnded, Function, Message, ToolCall
from rxollama.operators._extract import extract_thinking
from rxollama.operators._extract_tool_calls import extract_tool_calls
from rxollama.operators._reduce import accumulate, collect
from rxollama.operators._split import content, events, thinking
from rxollama.operators._stop_loops import stop_loops
from rxollama.operators._tools import gather_tool_calls, tool_calls

Maker: TypeAlias = Callable[[], Operator[ChatChunk, Any]]


def extract_calls() -> Operator[ChatChunk, ChatChunk]:
    """Return `extract_tool_calls` for one tool."""
    return extract_tool_calls([{"type": "function", "function": {"name": "f"}}])


OPERATORS: list[Maker] = [
    accumulate,
    collect,
    content,
    events,
    extract_calls,
    extract_thinking,
    gather_tool_calls,
    stop_loops,
    thinking,
    tool_calls,
]
LOST = ConnectionError("lost")
SAYS_ALL = ChatChunk(message=Message("assistant", "a<", "b", tool_calls=(ToolCall(Function("f")),)))
DONE = ChatChunk(message=Message("assistant"), done=True, done_reason="stop", eval_count=2)
RESULT = ChatChunk(message=Message.tool("c", name="f"))
HALF_A_TAG = ChatChunk(message=Message("assistant", "<"))


def fails(source: Subject[ChatChunk]) -> None:
    """End a source with an error."""
    source.on_error(LOST)


def completes(source: Subject[ChatChunk]) -> None:
    """Complete a source."""
    source.on_completed()


@pytest.mark.parametrize("operator", OPERATORS)
def test_never(operator: Maker) -> None:
    """Nothing is emitted if the source never sends, and the source stays subscribed until dispose."""
    played = play(operator())

    assert played.messages == []
    assert played.subscriptions == [Subscription(200, 1000)]


@pytest.mark.parametrize("operator", OPERATORS)
@given(sent=st.lists(st.sampled_from([SAYS_ALL, HALF_A_TAG, DONE, RESULT]), max_size=5))
def test_each_subscription_starts_afresh(operator: Maker, sent: list[ChatChunk]) -> None:
    """A pipeline that is subscribed twice emits the same twice."""
    pipeline = reactivex.from_iterable(sent).pipe(operator())
    first: list[Any] = []
    second: list[Any] = []
    pipeline.subscribe(first.append)
    pipeline.subscribe(second.append)

    assert first == second


@pytest.mark.parametrize("operator", OPERATORS)
def test_scheduler_is_passed_on(operator: Maker) -> None:
    """The source is subscribed with the subscriber's scheduler."""
    seen: list[abc.SchedulerBase | None] = []

    def subscribe(_: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        seen.append(scheduler)
        return Disposable()

    scheduler = VirtualTimeScheduler()
    Observable(subscribe).pipe(operator()).subscribe(scheduler=scheduler)

    assert seen == [scheduler]


@pytest.mark.parametrize(
    "operator", [operator for operator in OPERATORS if operator not in {collect, gather_tool_calls}]
)
def test_failing_subscriber(operator: Maker) -> None:
    """An exception of a subscriber reaches the producer unchanged."""
    source: Subject[ChatChunk] = Subject()

    def fail(_: object) -> None:
        raise KeyError("mine")

    source.pipe(operator()).subscribe(fail)

    with pytest.raises(KeyError, match="mine"):
        source.on_next(SAYS_ALL)


@pytest.mark.parametrize(
    ("operator", "end"),
    [
        (collect, completes),
        (events, completes),
        (events, fails),
        (extract_thinking, completes),
        (extract_thinking, fails),
        (gather_tool_calls, completes),
    ],
)
def test_subscriber_failing_at_the_end(operator: Maker, end: Callable[[Subject[ChatChunk]], None]) -> None:
    """A subscriber that fails on a last item gets its own error instead of the end; the producer gets none."""
    source: Subject[ChatChunk] = Subject()
    mine = KeyError("mine")
    ended: list[Exception | None] = []

    def fail(item: object) -> None:
        if item == HALF_A_TAG or isinstance(item, ContentEnded) or operator in {collect, gather_tool_calls}:
            raise mine

    source.pipe(operator()).subscribe(fail, ended.append, lambda: ended.append(None))
    source.on_next(HALF_A_TAG)
    end(source)

    assert ended == [mine]
