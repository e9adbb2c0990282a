"""Splitting a history into turns, and building a turn from an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import conversations, messages

from rxollama.conversation._turn import Turn, build_turn, split_into_turns
from rxollama.messages import ChatChunk, ChatResponse, Function, Message, Metrics, ResponseBuilder, ToolCall

HI = Message.user("Hi")
HELLO = Message.assistant("Hello.")
ONE, TWO = ToolCall(Function("one"), "1"), ToolCall(Function("two"), "2")
FIRST, SECOND = Message.tool("1st", call=ONE), Message.tool("2nd", call=TWO)
CALLS = Message.assistant(thinking="Hm.", tool_calls=[ONE, TWO])
HALF = Message.assistant(thinking="Hm.", tool_calls=[ONE])


@pytest.mark.parametrize(
    ("given", "lengths"),
    [
        ([], []),
        ([HI], [1]),
        ([HI, HELLO, HI, HELLO], [2, 2]),
        ([HI, HI, HELLO], [3]),
        ([HELLO, HI, HELLO], [1, 2]),
        ([HI, CALLS, FIRST, SECOND, HELLO, HI], [5, 1]),
        ([HI, HELLO, Message.system("Be brief."), HI], [3, 1]),
    ],
)
def test_split_into_turns(given: list[Message], lengths: list[int]) -> None:
    """A user's message after another role's message begins a turn."""
    turns = split_into_turns(given)

    assert [len(turn.messages) for turn in turns] == lengths
    assert [message for turn in turns for message in turn.messages] == given


@given(st.lists(messages()))
def test_nothing_is_lost(given: list[Message]) -> None:
    """The turns joined are the history, and each has a prompt."""
    turns = split_into_turns(given)

    assert [message for turn in turns for message in turn.messages] == given
    assert all(turn.messages[0] is turn.prompt for turn in turns)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ([HELLO], [HELLO]),
        ([Message.assistant(thinking="Hm.")], []),
        ([Message("assistant")], []),
        ([Message("assistant", images=("aGVsbG8=",))], [Message("assistant", images=("aGVsbG8=",))]),
        ([CALLS], []),
        ([CALLS, FIRST], [HALF, FIRST]),
        ([CALLS, FIRST, SECOND], [CALLS, FIRST, SECOND]),
        ([CALLS, FIRST, SECOND, HELLO], [CALLS, FIRST, SECOND, HELLO]),
        ([CALLS, FIRST, SECOND, Message.assistant(thinking="Hm.")], [CALLS, FIRST, SECOND]),
        ([CALLS, FIRST, SECOND, HALF], [CALLS, FIRST, SECOND]),
        ([Message.assistant("Let me see.", tool_calls=[ONE])], [Message.assistant("Let me see.")]),
        ([FIRST], []),
        ([CALLS, HELLO], [HELLO]),
        ([HELLO, FIRST], [HELLO]),
    ],
)
def test_unfinished(said: list[Message], kept: list[Message]) -> None:
    """An unfinished answer is kept without unanswered calls and messages without content."""
    response = ResponseBuilder().snapshot() if not said else ChatResponse(messages=tuple(said))
    turn = build_turn(HI, response, unfinished=True)

    assert turn == (Turn((HI, *kept), done=False) if kept else None)
    assert build_turn(HI, response, unfinished=False) is None


@pytest.mark.parametrize("unfinished", [False, True])
def test_whole(unfinished: bool) -> None:
    """A whole answer is a turn with its metrics, even if it is empty."""
    metrics = Metrics(eval_count=1)
    response = ChatResponse(message=Message("assistant"), done=True, done_reason="stop", metrics=metrics)

    assert build_turn(HI, response, unfinished=unfinished) == Turn((HI, Message("assistant")), metrics=metrics)


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_no_answer(reason: str) -> None:
    """Loading a model is not a turn."""
    assert build_turn(HI, ChatResponse(done=True, done_reason=reason), unfinished=True) is None


@pytest.mark.parametrize("said", [[CALLS], [CALLS, FIRST], [CALLS, FIRST, SECOND]])
def test_done_but_not_over(said: list[Message]) -> None:
    """A message that calls tools does not end the answer, though it is done."""
    assert build_turn(HI, ChatResponse(messages=tuple(said), done=True), unfinished=False) is None


@given(conversations(), st.data())
def test_nothing_is_unanswered(spoken: list[list[ChatChunk]], data: st.DataObject) -> None:
    """Wherever an answer ends, each call has a result and each result has a call."""
    chunks = [chunk for answer in spoken for chunk in answer]
    builder = ResponseBuilder()
    builder.extend(chunks[: data.draw(st.integers(0, len(chunks)))])
    turn = build_turn(HI, builder.snapshot(), unfinished=True)

    if turn is not None and not turn.done:
        spoken_by = "".join("t" if message.role == "tool" else "a" for message in turn.messages)
        for place, message in enumerate(turn.messages):
            after = spoken_by[place + 1 :]
            assert message.role == "tool" or len(message.tool_calls) == len(after) - len(after.lstrip("t"))
