"""Chunks turned into the events of `events`, without Rx."""

from __future__ import annotations

from typing import final

from msgspec.structs import replace

from ..messages import (
    ChatChunk,
    ChatEvent,
    ChunkBatch,
    ContentDelta,
    ContentEnded,
    ContentStarted,
    Finished,
    ResponseBuilder,
    Restarted,
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
    """
    The state of one `events` stream: which text is open, and the response so far.

    `add` comes once for each chunk; `close` or `finish` comes once at the end.
    """

    __slots__ = ("_builder", "_open")

    def __init__(self) -> None:
        self._builder = ResponseBuilder()
        self._open: tuple[ChatEvent, ChatEvent] | None = None

    def add(self, chunk: ChatChunk) -> list[ChatEvent]:
        """Add a chunk and return its events, in the order restart, thinking, content, tool calls."""
        restart = chunk.restart
        if restart is not None:
            begun = [*self.close(), Restarted(restart.reason, restart.attempt, restart.scope)]
            self._builder.add(ChatChunk(restart=restart))
            return begun + self.add(replace(chunk, restart=None))
        self._builder.add(chunk)
        message = chunk.message
        if chunk.is_tool_progress:
            return [ToolProgressed(message.tool_name, chunk.tool_progress, message.tool_call_id)]
        if message.role == "tool":
            outcome = ToolFailed if chunk.tool_failed else ToolReturned
            return [*self.close(), outcome(message.tool_name, message.content, message.tool_call_id)]
        built = self._texts(message.thinking, message.content)
        if message.tool_calls or chunk.done:
            built += self.close()
            built += map(ToolCalled, message.tool_calls)
        return built

    def extend(self, batch: ChunkBatch) -> list[ChatEvent]:
        """Add a batch and return the events of its chunks."""
        self._builder.extend(batch)
        return [event for thinking, content in batch.texts() for event in self._texts(thinking, content)]

    def close(self) -> tuple[ChatEvent, ...]:
        """Return the ended event of the open text, if there is one."""
        ended, self._open = self._open, None
        return ended[1:] if ended else ()

    def finish(self) -> tuple[ChatEvent, ...]:
        """Return the ended event of the open text and, if the last message is done, `Finished`."""
        response = self._builder.snapshot()
        return (*self.close(), Finished(response)) if response.done else self.close()

    def _texts(self, thinking: str, content: str) -> list[ChatEvent]:
        built: list[ChatEvent] = []
        if thinking:
            built += self._begin(_THINKING)
            built.append(ThinkingDelta(thinking))
        if content:
            built += self._begin(_CONTENT)
            built.append(ContentDelta(content))
        return built

    def _begin(self, kind: tuple[ChatEvent, ChatEvent]) -> tuple[ChatEvent, ...]:
        if self._open is kind:
            return ()
        begun = (*self.close(), kind[0])
        self._open = kind
        return begun
