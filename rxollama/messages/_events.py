"""What happens in a chat, as typed events for `match`."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from rxollama.messages._message import ToolCall
from rxollama.messages._response import ChatResponse

__all__ = (
    "ChatEvent",
    "ContentDelta",
    "ContentEnded",
    "ContentStarted",
    "Finished",
    "ThinkingDelta",
    "ThinkingEnded",
    "ThinkingStarted",
    "ToolCalled",
    "ToolFailed",
    "ToolProgressed",
    "ToolReturned",
)


class ThinkingStarted(msgspec.Struct, frozen=True):
    """
    Say that the model begins to think; it may do so again after content or a tool call.

    .. versionadded:: 0.1
    """


class ThinkingDelta(msgspec.Struct, frozen=True):
    """
    Bring the next piece of thinking.

    Args:
        text: The piece, never empty.

    .. versionadded:: 0.1
    """

    text: str


class ThinkingEnded(msgspec.Struct, frozen=True):
    """
    Say that this spell of thinking is over.

    .. versionadded:: 0.1
    """


class ContentStarted(msgspec.Struct, frozen=True):
    """
    Say that the model begins to answer.

    .. versionadded:: 0.1
    """


class ContentDelta(msgspec.Struct, frozen=True):
    """
    Bring the next piece of the answer.

    Args:
        text: The piece, never empty.

    .. versionadded:: 0.1
    """

    text: str


class ContentEnded(msgspec.Struct, frozen=True):
    """
    Say that this piece of the answer is over.

    .. versionadded:: 0.1
    """


class ToolCalled(msgspec.Struct, frozen=True):
    """
    Say that the model calls a tool.

    Args:
        call: The call, whole.

    .. versionadded:: 0.1
    """

    call: ToolCall


class ToolProgressed(msgspec.Struct, frozen=True):
    """
    Tell how far a tool is; those that run at the same time may take turns.

    Args:
        name: The tool's name.
        text: What it says of it; the model is not told.
        call_id: The id of the call; empty where it has none.

    .. versionadded:: 0.1
    """

    name: str
    text: str
    call_id: str = ""


class ToolReturned(msgspec.Struct, frozen=True):
    """
    Bring what a tool gave back.

    Args:
        name: The tool's name.
        content: Its result, as the model is told.
        call_id: The id of the call; empty where it has none.

    .. versionadded:: 0.1
    """

    name: str
    content: str
    call_id: str = ""


class ToolFailed(msgspec.Struct, frozen=True):
    """
    Say that a tool failed.

    Args:
        name: The tool's name.
        content: What the model is told of it.
        call_id: The id of the call; empty where it has none.

    .. versionadded:: 0.1
    """

    name: str
    content: str
    call_id: str = ""


class Finished(msgspec.Struct, frozen=True):
    """
    Say that the answer is complete.

    Args:
        response: All of it: message, reason, metrics.

    .. versionadded:: 0.1
    """

    response: ChatResponse


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
    | Finished
)
"""Any of the events."""
