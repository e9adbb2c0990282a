"""Chunks add up to a response: after each of them, or once at the end."""

from __future__ import annotations

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from marbles import play
from reactivex.testing import ReactiveTest
from reactivex.testing.subscription import Subscription
from recorded import recorded

from rxollama._runtime import Operator
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


MESSAGES = [
    [HEL, LO, DONE],
    [DONE],
    [ChatChunk(message=Message("assistant", thinking="Hm", tool_calls=(ToolCall(Function("f")),)), done=True)],
    [ChatChunk(message=Message.tool("1", name="f"), done=True)],
    [ChatChunk(message=Message.tool("1", name="f")), ChatChunk(message=Message("tool", "2"), done=True)],
]
CHUNKS = st.lists(
    st.sampled_from([chunk for message in MESSAGES for chunk in message])
    | st.builds(ChatChunk, message=st.builds(Message, st.sampled_from(["", "user"]), st.text("ab", max_size=2))),
    max_size=8,
)


def received(sent: list[ChatChunk], operator: Operator[ChatChunk, ChatResponse]) -> list[ChatResponse]:
    """Return what an operator emits for chunks that arrive at once."""
    responses: list[ChatResponse] = []
    reactivex.from_iterable(sent).pipe(operator).subscribe(responses.append)
    return responses


def test_accumulate_completes() -> None:
    """Each chunk gives a snapshot, and the completion is the source's."""
    played = play(accumulate(), on_next(10, HEL), on_next(20, LO), on_next(30, DONE), on_completed(40))

    expected = [on_next(210, AFTER_HEL), on_next(220, AFTER_LO), on_next(230, AFTER_DONE), on_completed(240)]
    assert played.messages == expected
    assert played.subscriptions == [Subscription(200, 240)]


def test_accumulate_errors() -> None:
    """An error follows the snapshots."""
    played = play(accumulate(), on_next(10, HEL), on_error(20, LOST))

    assert played.messages == [on_next(210, AFTER_HEL), on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


def test_accumulate_disposed() -> None:
    """Nothing is emitted after dispose, and the source is disposed."""
    played = play(accumulate(), on_next(10, HEL), on_next(20, LO), on_completed(30), disposed=215)

    assert played.messages == [on_next(210, AFTER_HEL)]
    assert played.subscriptions == [Subscription(200, 215)]


@given(st.lists(st.sampled_from(MESSAGES), max_size=6))
def test_collect_reads_a_conversation(messages: list[list[ChatChunk]]) -> None:
    """Each message of a conversation is in the response, as it would be alone."""
    whole = received([chunk for message in messages for chunk in message], collect())
    alone = [received(message, collect())[0].messages for message in messages]

    assert [message for response in whole for message in response.messages] == [one for [one] in alone]


def test_collect_completes() -> None:
    """The whole response is emitted once, before the completion."""
    played = play(collect(), on_next(10, HEL), on_next(20, LO), on_next(30, DONE), on_completed(40))

    assert played.messages == [on_next(240, AFTER_DONE), on_completed(240)]
    assert played.subscriptions == [Subscription(200, 240)]


def test_collect_unfinished() -> None:
    """A source that completes without a done chunk gives a response that is not done."""
    played = play(collect(), on_next(10, HEL), on_completed(40))

    assert played.messages == [on_next(240, AFTER_HEL), on_completed(240)]


def test_collect_empty() -> None:
    """A source without chunks gives no response."""
    assert play(collect(), on_completed(40)).messages == [on_completed(240)]


def test_collect_errors() -> None:
    """A stream that fails gives only the error."""
    played = play(collect(), on_next(10, HEL), on_error(20, LOST))

    assert played.messages == [on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


def test_collect_disposed() -> None:
    """Nothing is emitted after dispose, and the source is disposed."""
    played = play(collect(), on_next(10, HEL), on_completed(30), disposed=215)

    assert played.messages == []
    assert played.subscriptions == [Subscription(200, 215)]


@given(CHUNKS)
def test_collect_is_the_last_snapshot(sent: list[ChatChunk]) -> None:
    """The collected response is the last snapshot, and snapshots do not change later."""
    snapshots = received(sent, accumulate())

    assert snapshots[-1:] == received(sent, collect())
    for count, snapshot in enumerate(snapshots, 1):
        assert received(sent[:count], collect()) == [snapshot]


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
    sent, expect = recorded(name)
    [response] = received(sent, collect())

    assert response.message.content == expect["content"]
    assert response.message.thinking == expect["thinking"]
    calls = [{"name": call.name, "arguments": call.arguments} for call in response.message.tool_calls]
    assert calls == expect["tool_calls"]
    assert (response.done, response.done_reason) == (expect["done"], expect["done_reason"])
    assert response.metrics.total_duration == expect["total_duration"]
    assert response.metrics.eval_count == expect["eval_count"]
