"""The events of a chat."""

from __future__ import annotations

import copy
import pickle
from typing import get_args

import pytest

from rxollama import messages
from rxollama.messages import (
    ChatEvent,
    ChatResponse,
    ContentDelta,
    ContentEnded,
    ContentStarted,
    Finished,
    Function,
    Message,
    Restarted,
    ThinkingDelta,
    ThinkingEnded,
    ThinkingStarted,
    ToolCall,
    ToolCalled,
    ToolFailed,
    ToolProgressed,
    ToolReturned,
)

_EVENTS: list[ChatEvent] = [
    ThinkingStarted(),
    ThinkingDelta("Hm"),
    ThinkingEnded(),
    ContentStarted(),
    ContentDelta("Yes"),
    ContentEnded(),
    ToolCalled(ToolCall(Function("get_time"))),
    ToolReturned("get_time", "12:00", "call_1"),
    ToolProgressed("get_time", "winding the clock"),
    ToolFailed("get_time", "no clock"),
    Restarted("ConnectionLostError: lost", 3, "message"),
    Finished(ChatResponse(message=Message.assistant("Yes"), done=True)),
]


def _told(event: ChatEvent) -> str:
    match event:
        case ThinkingDelta(text) | ContentDelta(text):
            return text
        case ToolCalled(call):
            return call.name
        case ToolReturned(name, content) | ToolFailed(name, content) | ToolProgressed(name, content):
            return f"{name}: {content}"
        case Restarted(reason, attempt):
            return f"attempt {attempt}: {reason}"
        case Finished(response):
            return response.message.content
        case _:
            return ""


class TestEvents:
    """Events work with `match`."""

    def test_is_matched_by_position(self) -> None:
        """A positional pattern matches the fields in order."""
        expected = [
            "",
            "Hm",
            "",
            "",
            "Yes",
            "",
            "get_time",
            "get_time: 12:00",
            "get_time: winding the clock",
            "get_time: no clock",
            "attempt 3: ConnectionLostError: lost",
            "Yes",
        ]

        assert expected == [_told(event) for event in _EVENTS]

    def test_covers_every_kind(self) -> None:
        """The union holds each kind of event once, and each kind is exported."""
        kinds = get_args(ChatEvent)

        assert {type(event) for event in _EVENTS} == set(kinds)
        assert {kind.__name__ for kind in kinds} <= set(messages.__all__)

    @pytest.mark.parametrize("event", _EVENTS, ids=lambda event: type(event).__name__)
    def test_is_a_value(self, event: ChatEvent) -> None:
        """An event equals its copies, and no event of another kind."""
        assert event == copy.deepcopy(event)
        assert event == pickle.loads(pickle.dumps(event))  # noqa: S301 - Our own bytes.
        assert sum(event == other for other in _EVENTS) == 1

    def test_cannot_be_changed(self) -> None:
        """The fields of an event cannot be set."""
        event = ContentDelta("Yes")

        with pytest.raises(AttributeError):
            event.text = "No"  # type: ignore[misc] # That is the point.

        assert event.text == "Yes"
