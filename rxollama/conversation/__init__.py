"""Conversations: a history that grows by a turn with each answer, and can be forked, undone, saved and loaded."""

from rxollama.conversation._conversation import Conversation
from rxollama.conversation._terms import ConversationOptions
from rxollama.conversation._turn import Turn

__all__ = ("Conversation", "ConversationOptions", "Turn")
