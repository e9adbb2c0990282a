"""Conversations: a system prompt, tools and a history of turns that can be forked, undone, saved and loaded."""

from rxollama._public import publish
from rxollama.conversation._conversation import Conversation, ConversationOptions
from rxollama.conversation._turn import Turn

__all__ = ("Conversation", "ConversationOptions", "Turn")

publish(globals())
