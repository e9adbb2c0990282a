"""The log of a chat that begins over."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from structlog import wrap_logger
from structlog.testing import LogCapture

from rxollama.messages import ChatChunk, Function, Message, ResponseBuilder, Restart, ToolCall
from rxollama.operators import log

CALL = ToolCall(Function("get_weather", {"city": "Oslo"}), "call_1")
REASON = "TruncatedError: the model wrote a secret"


def says(text: str = "", *, restart: Restart | None = None, **fields: Any) -> ChatChunk:
    """Return a chunk of the assistant."""
    return ChatChunk(model="m", message=Message("assistant", text, **fields), restart=restart)


def asks(*calls: ToolCall) -> ChatChunk:
    """Return a chunk with calls."""
    return ChatChunk(message=Message("assistant", tool_calls=calls))


DONE = ChatChunk(message=Message("assistant"), done=True, done_reason="stop")
RESULT = ChatChunk(message=Message.tool("3 °C", call=CALL), done=True)
PROGRESS = ChatChunk(message=Message("tool", tool_name="get_weather"), tool_progress="half")


def lines_of(*chunks: ChatChunk, content: bool = False) -> list[Any]:
    """Return the lines of a chat without its times."""
    lines = LogCapture()
    reactivex.from_iterable(chunks).pipe(log(wrap_logger(None, processors=[lines]), content=content)).subscribe()
    unsteady = {"chat", "wall_duration", "time_to_first_token"}
    return [{key: value for key, value in line.items() if key not in unsteady} for line in lines.entries]


def test_what_was_dropped() -> None:
    """The line of the restart has the attempt and what was dropped; the last line, only what stands."""
    restart = Restart("ConnectionLostError: lost", attempt=3)
    lines = lines_of(says("Hel", thinking="Hm"), asks(CALL), says("Good", restart=restart), says("bye"), DONE)

    assert lines[3] == {
        "log_level": "warning",
        "event": "chat_restarted",
        "model": "m",
        "attempt": 3,
        "scope": "answer",
        "error": "ConnectionLostError",
        "dropped_chunk_count": 2,
        "dropped_content_length": 3,
        "dropped_thinking_length": 2,
        "dropped_tool_call_count": 1,
    }
    [last] = [line for line in lines if line["event"] == "chat_finished"]
    assert (last["content_length"], last["thinking_length"], last["tool_call_count"]) == (7, 0, 0)
    assert last["chunk_count"] == 3


@pytest.mark.parametrize(("scope", "stands"), [("answer", (4, 0, 0)), ("message", (9, 1, 1))])
def test_rounds_before(scope: Literal["answer", "message"], stands: tuple[int, int, int]) -> None:
    """A restart of a message leaves the rounds before it as they are."""
    restart = Restart("ConnectionLostError: lost", scope=scope)
    round_one = (says("First"), asks(CALL), DONE, RESULT)
    lines = lines_of(*round_one, says("Sec"), PROGRESS, says("Good", restart=restart), DONE)

    [line] = [line for line in lines if line["event"] == "chat_restarted"]
    assert line["dropped_content_length"] == (3 if scope == "message" else 8)
    last = lines[-1]
    assert (last["content_length"], last["tool_call_count"], last.get("tool_result_count", 0)) == stands


def test_after_a_message_without_an_end() -> None:
    """A message that another role follows stands, too."""
    restart = Restart("ConnectionLostError: lost", scope="message")
    lines = lines_of(
        asks(CALL), ChatChunk(message=Message.tool("3", call=CALL)), says("Se"), says("Go", restart=restart)
    )

    assert (lines[-1]["content_length"], lines[-1]["tool_call_count"], lines[-1]["tool_result_count"]) == (2, 1, 1)


def test_after_a_result_without_an_end() -> None:
    """A result stands, even if the message after it begins over at once."""
    restart = Restart("ConnectionLostError: lost", scope="message")
    lines = lines_of(asks(CALL), DONE, ChatChunk(message=Message.tool("3", call=CALL)), says("Go", restart=restart))

    assert (lines[-1]["content_length"], lines[-1]["tool_result_count"], lines[-1]["chunk_count"]) == (2, 1, 4)


def test_twice() -> None:
    """Each restart drops only what the attempt before it brought."""
    again = Restart("ConnectionLostError: lost", attempt=2)
    lines = lines_of(says("a"), says("bb", restart=again), says("ccc", restart=again), DONE)

    assert [line["dropped_content_length"] for line in lines if line["event"] == "chat_restarted"] == [1, 2]
    assert lines[-1]["content_length"] == 3


def test_content() -> None:
    """The reason and the texts are written only if they are asked for, and then only what stands."""
    chunks = (says("Hel", thinking="Hm"), says("Bye", restart=Restart(REASON)), DONE)
    shown, hidden = lines_of(*chunks, content=True), lines_of(*chunks)

    assert [line["error_message"] for line in shown if line["event"] == "chat_restarted"] == [REASON]
    assert (shown[-1]["content"], shown[-1]["thinking"]) == ("Bye", "")
    assert "secret" not in repr(hidden)


_RESTARTS = st.builds(Restart, scope=st.sampled_from(["answer", "message"]))
_CHUNKS = st.lists(
    st.one_of(
        st.builds(says, st.sampled_from(["", "a", "bb"]), thinking=st.sampled_from(["", "t"])),
        st.builds(says, st.sampled_from(["", "x"]), restart=_RESTARTS),
        st.just(DONE),
        st.just(RESULT),
        st.just(asks(CALL)),
    )
)


@given(_CHUNKS)
def test_counts_what_stands(chunks: list[ChatChunk]) -> None:
    """The last line counts what the response holds."""
    builder = ResponseBuilder()
    builder.extend(chunks)
    messages = [message for message in builder.snapshot().messages if message.role != "tool"]
    last = lines_of(*chunks)[-1]

    assert last["content_length"] == sum(len(message.content) for message in messages)
    assert last["thinking_length"] == sum(len(message.thinking) for message in messages)
    assert last["tool_call_count"] == sum(len(message.tool_calls) for message in messages)
