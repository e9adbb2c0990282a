"""The rule of where a message of a stream begins, followed chunk by chunk."""

from __future__ import annotations

from typing import final

from rxollama.messages._chunk import ChatChunk, continues

__all__ = ("MessageBoundary",)


@final
class MessageBoundary:
    """
    The current message of a stream, and whether a chunk begins another one.

    A chunk of another role begins a message, and so does the result of another tool call. A chunk without a role
    continues the message. Text before any role is the assistant's. A chunk with `restart` begins a message instead of
    the current one, or after it if that is complete.

    .. versionadded:: 0.1
    """

    __slots__ = ("_has_spoken", "_tool_call_id", "_tool_name", "role")

    role: str
    """The role of the current message; empty before any role."""

    def __init__(self) -> None:
        self.role = ""
        self._tool_name = self._tool_call_id = ""
        self._has_spoken = False

    def changes(self, chunk: ChatChunk) -> bool:
        """
        Add the next chunk, and return whether another message begins with it.

        A chunk that is tool progress belongs to no message, and changes nothing.
        """
        message = chunk.message
        begins_over = chunk.restart is not None
        if message.role == self.role and not (begins_over or message.tool_name or message.tool_call_id):
            # Nearly every chunk is like this.
            self._has_spoken = self._has_spoken or chunk.visible
            return False
        changed = begins_over or (
            not chunk.is_tool_progress
            and not continues(message, self.role, self._tool_name, self._tool_call_id, self._has_spoken)
        )
        if changed:
            self.restart()
        if chunk.is_tool_progress:
            return changed
        self.role = self.role or message.role
        self._tool_name = self._tool_name or message.tool_name
        self._tool_call_id = self._tool_call_id or message.tool_call_id
        self._has_spoken = self._has_spoken or chunk.visible
        return changed

    def restart(self) -> None:
        """Begin a new message: the current one is done."""
        self.role = self._tool_name = self._tool_call_id = ""
        self._has_spoken = False
