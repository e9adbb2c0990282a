"""What is remembered of an answer that has no end."""

from __future__ import annotations

import pytest

from rxollama import Message
from rxollama.cli._chat import meaningful
from rxollama.messages import Function, ToolCall

ONE, TWO = (ToolCall(Function("dig"), id=name) for name in "12")
CALLS = Message.assistant(tool_calls=[ONE, TWO])
WORDS = Message.assistant("Let me dig.", thinking="Hm.", tool_calls=[ONE])
RESULTS = (Message.tool("dug", call=ONE), Message.tool("dug", call=TWO))
ANSWER = Message.assistant("It is")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ((), ()),
        ((ANSWER,), (ANSWER,)),
        ((CALLS, *RESULTS), (CALLS, *RESULTS)),
        ((CALLS, *RESULTS, ANSWER), (CALLS, *RESULTS, ANSWER)),
        ((CALLS, RESULTS[0]), ()),
        ((CALLS, *RESULTS, CALLS, RESULTS[0]), (CALLS, *RESULTS)),
        ((CALLS, *RESULTS, WORDS), (CALLS, *RESULTS, Message.assistant("Let me dig.", thinking="Hm."))),
    ],
)
def test_calls_without_all_results(said: tuple[Message, ...], kept: tuple[Message, ...]) -> None:
    """Calls are remembered with all of their results, or not at all; words are."""
    assert meaningful(said) == kept
