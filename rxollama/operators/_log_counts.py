"""The counts of a log: what was received of a chat, and how much of it stands."""

from __future__ import annotations

from copy import copy
from io import StringIO

import msgspec

from ..messages import Metrics, Restart

__all__ = ("LogCounts", "ReceivedCounts")


class ReceivedCounts(msgspec.Struct):
    """
    The numbers of what was received, and its end.

    Args:
        model: The model of the latest chunk that names one.
        chunk_count: The number of chunks.
        content_length: The characters of content.
        thinking_length: The characters of thinking.
        tool_call_count: The number of tool calls.
        tool_result_count: The number of tool results, including failures.
        tool_failure_count: The number of tools that failed.
        metrics: The metrics of the messages that are done.
        done_reason: Why the last message ended; empty if it has not.
    """

    model: str = ""
    chunk_count: int = 0
    content_length: int = 0
    thinking_length: int = 0
    tool_call_count: int = 0
    tool_result_count: int = 0
    tool_failure_count: int = 0
    metrics: Metrics | None = None
    done_reason: str = ""


_DROPPED = ("chunk_count", "content_length", "thinking_length", "tool_call_count")


class LogCounts:
    """
    The counts of one chat, which may begin over.

    Args:
        keep_texts: Whether to keep the texts, too.
    """

    __slots__ = ("_before", "content", "now", "thinking")

    now: ReceivedCounts
    """The counts of what was received and stands."""
    content: StringIO | None
    """The content that stands, if it is kept."""
    thinking: StringIO | None
    """The thinking that stands, if it is kept."""

    def __init__(self, *, keep_texts: bool) -> None:
        self.now = ReceivedCounts()
        self.content, self.thinking = (StringIO(), StringIO()) if keep_texts else (None, None)
        # The counts without the message that is not over yet.
        self._before = ReceivedCounts()

    def begin_message(self) -> None:
        """Let what was received stand, whatever becomes of the next message."""
        self._before = copy(self.now)

    def add_text(self, content: str, thinking: str) -> None:
        """Add the text of a chunk of the assistant."""
        self.now.content_length += len(content)
        self.now.thinking_length += len(thinking)
        if self.content is not None and self.thinking is not None:
            self.content.write(content)
            self.thinking.write(thinking)

    def begin_over(self, restart: Restart) -> dict[str, int]:
        """
        Drop what no longer counts.

        Args:
            restart: The mark of the chunk that begins over.

        Returns:
            How much of each kind was dropped, as fields of a log.
        """
        dropped, stands = self.now, self._before if restart.scope == "message" else ReceivedCounts()
        self.now = copy(stands)
        self._before = stands
        for text, length in ((self.content, stands.content_length), (self.thinking, stands.thinking_length)):
            if text is not None:
                text.seek(length)
                text.truncate()
        return {f"dropped_{name}": getattr(dropped, name) - getattr(stands, name) for name in _DROPPED}
