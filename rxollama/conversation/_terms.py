"""What a conversation may be given beside its model, its system prompt and its history."""

from __future__ import annotations

from rxollama._tool_loop import ConverseOptions
from rxollama.tools import Tools

__all__ = ("ConversationOptions",)


class ConversationOptions(ConverseOptions, total=False):
    """
    Hold what a conversation may be given beside its model, its system prompt and its history; see `Conversation`.

    .. versionadded:: 0.1
    """

    tools: Tools
    keep_unfinished: bool
    max_messages: int | None
    max_tokens: int | None
