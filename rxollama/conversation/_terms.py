"""What a conversation may be given beside its model, its system prompt and its history."""

from __future__ import annotations

from rxollama._converse import RaiseOn, Through
from rxollama.messages import ChatOptions
from rxollama.tools import Approve, Tools

__all__ = ("ConversationTerms",)


class ConversationTerms(ChatOptions, total=False):
    """
    Hold what a conversation may be given beside its model, its system prompt and its history; see `Conversation`.

    .. versionadded:: 0.1
    """

    tools: Tools
    keep_unfinished: bool
    max_messages: int | None
    max_tokens: int | None
    max_rounds: int
    concurrency: int
    tool_timeout: float | None
    approve: Approve | None
    through: Through | None
    raise_on: RaiseOn
