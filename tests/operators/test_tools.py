"""Tool calls are emitted one by one, or all of a message at once."""

from __future__ import annotations

from typing import Any

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
from rxollama.operators._reduce import collect
from rxollama.operators._tools import gather_tool_calls, tool_calls

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

OSLO = ToolCall(Function("get_weather", {"city": "Oslo"}, 0), "call_1")
ROME = ToolCall(Function("get_weather", {"city": "Rome"}, 0))
LOST = ConnectionError("lost")


def says(*calls: ToolCall, role: str = "assistant", done: bool = False, content: str = "") -> ChatChunk:
    """Return a chunk with tool calls."""
    return ChatChunk(message=Message(role, content, tool_calls=calls), done=done)


def returns(content: str = "3 °C", *, done: bool = False) -> ChatChunk:
    """Return a chunk with the result of a tool."""
    return ChatChunk(message=Message("tool", content, tool_name="get_weather"), done=done)


CHUNKS = st.lists(
    st.builds(
        says,
        *[st.sampled_from([OSLO, ROME])] * 2,
        role=st.sampled_from(["assistant", "assistant", ""]),
        done=st.booleans(),
    )
    | st.builds(says, role=st.sampled_from(["assistant", ""]), done=st.booleans())
    | st.builds(returns, done=st.booleans()),
    max_size=10,
)


def received(chunks: list[ChatChunk], operator: Operator[ChatChunk, Any]) -> list[Any]:
    """Return what an operator emits for chunks that arrive at once."""
    found: list[Any] = []
    reactivex.from_iterable(chunks).pipe(operator).subscribe(found.append)
    return found


def test_tool_calls_completes() -> None:
    """Each call is emitted when it arrives, also two of one chunk, and those of a done chunk."""
    played = play(
        tool_calls(),
        on_next(10, says(content="Let me see.")),
        on_next(20, says(OSLO, ROME)),
        on_next(30, says(OSLO, done=True)),
        on_completed(40),
    )

    expected = [on_next(220, OSLO), on_next(220, ROME), on_next(230, OSLO), on_completed(240)]
    assert played.messages == expected
    assert played.subscriptions == [Subscription(200, 240)]


def test_tool_calls_errors() -> None:
    """An error follows the calls that arrived."""
    played = play(tool_calls(), on_next(10, says(OSLO)), on_error(20, LOST))

    assert played.messages == [on_next(210, OSLO), on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


def test_tool_calls_disposed() -> None:
    """Nothing is emitted after dispose, and the source is disposed."""
    played = play(tool_calls(), on_next(10, says(OSLO)), on_next(20, says(ROME)), disposed=215)

    assert played.messages == [on_next(210, OSLO)]
    assert played.subscriptions == [Subscription(200, 215)]


def test_gather_completes() -> None:
    """The calls of a message are emitted at its done chunk, as an empty tuple if there are none."""
    played = play(
        gather_tool_calls(),
        on_next(10, says(OSLO)),
        on_next(20, says(ROME, OSLO)),
        on_next(30, says(done=True)),
        on_next(40, returns()),
        on_next(50, says(content="Cold.", done=True)),
        on_completed(60),
    )

    assert played.messages == [on_next(230, (OSLO, ROME, OSLO)), on_next(250, ()), on_completed(260)]
    assert played.subscriptions == [Subscription(200, 260)]


def test_gather_unfinished() -> None:
    """The calls of a message that is not done are emitted at the completion."""
    played = play(gather_tool_calls(), on_next(10, says(OSLO)), on_completed(20))

    assert played.messages == [on_next(220, (OSLO,)), on_completed(220)]


def test_gather_errors() -> None:
    """The calls of a message that failed are not emitted, only the error is."""
    played = play(
        gather_tool_calls(),
        on_next(10, says(OSLO, done=True)),
        on_next(20, says(ROME)),
        on_error(30, LOST),
    )

    assert played.messages == [on_next(210, (OSLO,)), on_error(230, LOST)]
    assert played.subscriptions == [Subscription(200, 230)]


def test_gather_disposed() -> None:
    """Nothing is emitted after dispose, and the source is disposed."""
    played = play(gather_tool_calls(), on_next(10, says(OSLO)), on_completed(20), disposed=215)

    assert played.messages == []
    assert played.subscriptions == [Subscription(200, 215)]


def test_gather_empty() -> None:
    """A source without chunks gives no tuple."""
    assert play(gather_tool_calls(), on_completed(10)).messages == [on_completed(210)]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([says(OSLO), returns(), says(ROME, done=True)], [(OSLO,), (ROME,)]),
        ([says(OSLO), says(ROME, role="model", done=True)], [(OSLO,), (ROME,)]),
        ([says(OSLO), says(ROME, role="", done=True)], [(OSLO, ROME)]),
        ([returns(), returns(done=True)], []),
        ([returns(), says(role="")], []),
        ([says(role=""), returns()], []),
        ([says(OSLO, role=""), returns()], [(OSLO,)]),
        ([says(OSLO, done=True), ChatChunk()], [(OSLO,)]),
        ([returns(done=True), says(OSLO, role="")], [(OSLO,)]),
    ],
)
def test_gather_speakers(chunks: list[ChatChunk], expected: list[tuple[ToolCall, ...]]) -> None:
    """Another role ends a message, a chunk without a role continues it, and a tool result gives no tuple."""
    assert received(chunks, gather_tool_calls()) == expected


@given(CHUNKS)
def test_gather_agrees_with_the_response(chunks: list[ChatChunk]) -> None:
    """There is one tuple for each message of the assistant in the response, with its calls."""
    responses: list[ChatResponse] = received(chunks, collect())

    messages = responses[0].messages if any(chunk != ChatChunk() for chunk in chunks) else ()
    spoken = [message.tool_calls for message in messages if message.role != "tool"]
    assert received(chunks, gather_tool_calls()) == spoken


@given(CHUNKS)
def test_no_call_is_lost(chunks: list[ChatChunk]) -> None:
    """Every call is emitted once, in order."""
    assert received(chunks, tool_calls()) == [call for chunk in chunks for call in chunk.message.tool_calls]


@pytest.mark.parametrize("name", ["harmony-call", "native-calls", "tool-calls-parallel", "tool-calls-same"])
def test_recorded(name: str) -> None:
    """The calls of a recorded answer are emitted, one by one and together."""
    chunks, expect = recorded(name)

    [gathered] = received(chunks, gather_tool_calls())
    assert list(gathered) == received(chunks, tool_calls())
    assert [{"name": call.name, "arguments": call.arguments} for call in gathered] == expect["tool_calls"]
