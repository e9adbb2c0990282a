"""The story of a chat, told in events: no Rx."""

from __future__ import annotations

from typing import final

from ..messages import (
    ChatChunk,
    ChatEvent,
    ContentDelta,
    ContentEnded,
    ContentStarted,
    Finished,
    ResponseBuilder,
    ThinkingDelta,
    ThinkingEnded,
    ThinkingStarted,
    ToolCalled,
    ToolFailed,
    ToolProgressed,
    ToolReturned,
)

__all__ = ("EventBuilder",)

_THINKING = (ThinkingStarted(), ThinkingEnded())
_CONTENT = (ContentStarted(), ContentEnded())


@final
class EventBuilder:
    """Turn chunks into events, step by step: know what is open, and keep everything for the end."""

    __slots__ = ("_builder", "_open")

    def __init__(self) -> None:
        self._builder = ResponseBuilder()
        self._open: tuple[ChatEvent, ChatEvent] | None = None

    def tell(self, chunk: ChatChunk) -> list[ChatEvent]:
        """Tell what a chunk says, in the order of reading."""
        self._builder.add(chunk)
        message = chunk.message
        if chunk.is_tool_progress:
            return [ToolProgressed(message.tool_name, chunk.tool_progress, message.tool_call_id)]
        if message.role == "tool":
            outcome = ToolFailed if chunk.tool_failed else ToolReturned
            return [*self.close(), outcome(message.tool_name, message.content, message.tool_call_id)]
        told: list[ChatEvent] = []
        if message.thinking:
            told += self._begin(_THINKING)
            told.append(ThinkingDelta(message.thinking))
        if message.content:
            told += self._begin(_CONTENT)
            told.append(ContentDelta(message.content))
        if message.tool_calls or chunk.done:
            told += self.close()
            told += map(ToolCalled, message.tool_calls)
        return told

    def close(self) -> tuple[ChatEvent, ...]:
        """Tell the end of what is open."""
        ended, self._open = self._open, None
        return ended[1:] if ended else ()

    def finish(self) -> tuple[ChatEvent, ...]:
        """Tell the end of what is open and, where the last message is done, all of it."""
        response = self._builder.snapshot()
        return (*self.close(), Finished(response)) if response.done else self.close()

    def _begin(self, kind: tuple[ChatEvent, ChatEvent]) -> tuple[ChatEvent, ...]:
        if self._open is kind:
            return ()
        told = (*self.close(), kind[0])
        self._open = kind
        return told
