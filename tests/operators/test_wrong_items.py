"""Every operator on chunks refuses a source of something else, and says what its own items are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import pytest
import reactivex
from marbles import Quiet
from reactivex import Observable
from reactivex.notification import OnError
from reactivex.testing import ReactiveTest, Recorded, TestScheduler
from reactivex.testing.subscription import Subscription

from rxollama import Stream
from rxollama import operators as op
from rxollama.errors import InvalidValueError
from rxollama.messages import ChatChunk, ChatResponse, PartialJson, ToolCall, Value

on_next = ReactiveTest.on_next

Maker: TypeAlias = Callable[[], Callable[[Observable[Any]], Any]]


class Row(msgspec.Struct):
    """A row."""

    name: str


NEVER: Observable[ChatChunk] = reactivex.never()
OPERATORS: dict[str, Maker] = {
    "accumulate()": op.accumulate,
    "collect()": op.collect,
    "content()": op.content,
    "elements()": lambda: op.elements(Row),
    "events()": op.events,
    "extract_thinking()": op.extract_thinking,
    "extract_tool_calls()": lambda: op.extract_tool_calls([]),
    "fallback()": lambda: op.fallback(NEVER),
    "gather_tool_calls()": op.gather_tool_calls,
    # Its second source fails too, so that the first one's error is passed on.
    "hedge()": lambda: op.hedge(reactivex.throw(ConnectionError("down")), after=1000),
    "log()": lambda: op.log(Quiet()),
    "parse()": lambda: op.parse(Row),
    "partial_json()": op.partial_json,
    "retry()": op.retry,
    "stop_loops()": op.stop_loops,
    "thinking()": op.thinking,
    "tool_calls()": op.tool_calls,
}
WITH_SPLIT: dict[str, Maker] = {**OPERATORS, "split()": op.split}
OTHERS: dict[str, Maker] = {"str": op.content, "ChatResponse": op.collect, "Value": op.events}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", WITH_SPLIT)
def test_wrong_stream(name: str, other: str) -> None:
    """A stream that is known to carry something else is refused in `pipe`, with what was expected and what to do."""
    stream: Stream[Any] = NEVER.pipe(OTHERS[other]())

    with pytest.raises(InvalidValueError) as refused:
        stream.pipe(WITH_SPLIT[name]())

    assert str(refused.value) == (
        f"{name}: expected a stream of ChatChunk, such as ollama.chat(...), got a stream of {other}: "
        "apply it before the operator that turns chunks into something else"
    )
    assert (refused.value.field, refused.value.given) == (name, other)


@pytest.mark.parametrize("name", WITH_SPLIT)
def test_not_an_observable(name: str) -> None:
    """What is not an observable is refused when the operator is applied."""
    with pytest.raises(InvalidValueError, match="expected a stream of ChatChunk"):
        WITH_SPLIT[name]()("Hi")  # type: ignore[arg-type] # Wrong on purpose.


@pytest.mark.parametrize("name", OPERATORS)
def test_foreign_observable(name: str) -> None:
    """An item of a foreign observable that is not a chunk is an error, and the source is disposed."""
    scheduler = TestScheduler()
    sent: list[Recorded[Any]] = [on_next(210, "Hi"), on_next(220, ChatChunk())]
    source = scheduler.create_hot_observable(sent)
    observer = scheduler.start(lambda: source.pipe(OPERATORS[name]()))
    [end] = observer.messages

    assert isinstance(end.value, OnError)
    assert isinstance(end.value.exception, InvalidValueError)
    assert str(end.value.exception) == f"{name}: expected items of type ChatChunk, got str"
    assert source.subscriptions == [Subscription(200, 210)]


def test_foreign_observable_split() -> None:
    """Both streams of `split` end with the error, and the source is disposed."""
    scheduler = TestScheduler()
    sent: list[Recorded[Any]] = [on_next(210, 5)]
    source = scheduler.create_hot_observable(sent)
    ended: list[Exception] = []
    for each in source.pipe(op.split()):
        each.subscribe(on_error=ended.append)
    scheduler.start()

    assert [str(error) for error in ended] == ["split(): expected items of type ChatChunk, got int"] * 2
    assert source.subscriptions == [Subscription(0, 210)]


@pytest.mark.parametrize(
    ("operator", "items", "deltas"),
    [
        (op.content(), str, True),
        (op.thinking(), str, True),
        (op.extract_thinking(), ChatChunk, True),
        (op.retry(), ChatChunk, True),
        (op.fallback(NEVER), ChatChunk, True),
        (op.hedge(NEVER, after=1), ChatChunk, True),
        (op.log(Quiet()), ChatChunk, True),
        (op.accumulate(), ChatResponse, False),
        (op.events(), Value, False),
        (op.collect(), ChatResponse, False),
        (op.tool_calls(), ToolCall, False),
        (op.gather_tool_calls(), tuple, False),
        (op.partial_json(), PartialJson, False),
        (op.parse(Row), Row, False),
        (op.parse(list[int]), None, False),
        (op.parse(Row | None), None, False),
        (op.elements(Row), Row, False),
        (op.elements(Row | None), None, False),
    ],
)
def test_items(operator: Callable[[Observable[ChatChunk]], Stream[Any]], items: type | None, deltas: bool) -> None:
    """A stream knows the type of its items, and whether they add up."""
    stream = NEVER.pipe(operator)

    assert (stream.items, stream.deltas) == (items, deltas)
