"""The events of a chat, for `match`."""

from __future__ import annotations

from typing import Literal, TypeAlias

from rxollama.messages._message import ToolCall
from rxollama.messages._response import ChatResponse
from rxollama.messages._value import Value

__all__ = (
    "ChatEvent",
    "ContentDelta",
    "ContentEnded",
    "ContentStarted",
    "Finished",
    "Restarted",
    "ThinkingDelta",
    "ThinkingEnded",
    "ThinkingStarted",
    "ToolCalled",
    "ToolFailed",
    "ToolProgressed",
    "ToolReturned",
)

# In JSON each event has its name under "type": without it, events that have no fields would look alike.


class ThinkingStarted(Value, frozen=True, tag=True):
    """
    The start of thinking. A model may think again after content or a tool call.

    .. versionadded:: 0.1
    """


class ThinkingDelta(Value, frozen=True, tag=True):
    """
    The next piece of thinking.

    Args:
        text: The piece. It is never empty.

    .. versionadded:: 0.1
    """

    text: str


class ThinkingEnded(Value, frozen=True, tag=True):
    """
    The end of thinking that started before.

    .. versionadded:: 0.1
    """


class ContentStarted(Value, frozen=True, tag=True):
    """
    The start of content.

    .. versionadded:: 0.1
    """


class ContentDelta(Value, frozen=True, tag=True):
    """
    The next piece of content.

    Args:
        text: The piece. It is never empty.

    .. versionadded:: 0.1
    """

    text: str


class ContentEnded(Value, frozen=True, tag=True):
    """
    The end of content that started before.

    .. versionadded:: 0.1
    """


class ToolCalled(Value, frozen=True, tag=True):
    """
    A call of a tool by the model.

    Args:
        call: The call, complete.

    .. versionadded:: 0.1
    """

    call: ToolCall


class ToolProgressed(Value, frozen=True, tag=True):
    """
    The progress of a running tool. Events of tools that run at the same time may alternate.

    Args:
        name: The name of the tool.
        text: The progress in the tool's own words. The model does not see it.
        call_id: The id of the call; empty if it has none.

    .. versionadded:: 0.1
    """

    name: str
    text: str
    call_id: str = ""


class ToolReturned(Value, frozen=True, tag=True):
    """
    The result of a tool.

    Args:
        name: The name of the tool.
        content: The result, as the model sees it.
        call_id: The id of the call; empty if it has none.

    .. versionadded:: 0.1
    """

    name: str
    content: str
    call_id: str = ""


class ToolFailed(Value, frozen=True, tag=True):
    """
    The failure of a tool.

    Args:
        name: The name of the tool.
        content: The description of the failure, as the model sees it.
        call_id: The id of the call; empty if it has none.

    .. versionadded:: 0.1
    """

    name: str
    content: str
    call_id: str = ""


class Finished(Value, frozen=True, tag=True):
    """
    The end of a complete answer.

    Args:
        response: The whole answer: its messages, the reason of its end, and its metrics.

    .. versionadded:: 0.1
    """

    response: ChatResponse


class Restarted(Value, frozen=True, tag=True):
    """
    The start of another attempt: the texts and tool calls of the attempt before count no longer.

    Args:
        reason: The error of the attempt before, in one line.
        attempt: The number of the new attempt, counted from 1.
        scope: What begins over: "answer" for everything, or "message" for the unfinished message alone.

    .. versionadded:: 0.1
    """

    reason: str
    attempt: int = 2
    scope: Literal["answer", "message"] = "answer"


ChatEvent: TypeAlias = (
    ThinkingStarted
    | ThinkingDelta
    | ThinkingEnded
    | ContentStarted
    | ContentDelta
    | ContentEnded
    | ToolCalled
    | ToolProgressed
    | ToolReturned
    | ToolFailed
    | Restarted
    | Finished
)
"""Any of the events."""
