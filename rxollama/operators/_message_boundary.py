"""Who speaks: the rule by which a message of a stream ends without saying so."""

from __future__ import annotations

from typing import final

from ..messages import ChatChunk

__all__ = ("MessageBoundary",)


@final
class MessageBoundary:
    """
    Follow who speaks, as the response does.

    A chunk without a role goes on with the message; words that come before any role are the assistant's.
    """

    __slots__ = ("_spoken", "role")

    def __init__(self) -> None:
        self.role = ""
        self._spoken = False

    def changes(self, chunk: ChatChunk) -> bool:
        """Take in a chunk, and tell whether somebody else's message begins with it."""
        role = chunk.message.role
        if chunk.is_tool_progress:
            return False
        if role and role != self.role:
            changed = bool(self.role) or (self._spoken and role != "assistant")
            self.role = role
            return changed
        self._spoken = self._spoken or chunk.visible
        return False

    def restart(self) -> None:
        """Forget who spoke: the message is done."""
        self.role = ""
        self._spoken = False
