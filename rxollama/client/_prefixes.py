"""Hashes of the beginnings of a conversation, by which a pool finds the host that knows it."""

from __future__ import annotations

from collections.abc import Iterable

from rxollama.messages import Message

__all__ = ("prefix_hashes",)


def prefix_hashes(messages: Iterable[Message]) -> tuple[int, ...]:
    """
    Return a hash of each beginning of a conversation: of the first message, of the first two, and so on.

    A str keeps its hash, so texts that are sent again and again are hashed once. The arguments of tool calls are left
    out: they have no hash, and the results that follow tell conversations apart.

    Args:
        messages: The messages.

    Returns:
        The hashes, the one of all messages last.
    """
    hashes: list[int] = []
    hashed = 0
    for message in messages:
        hashed = hash((hashed, message.role, message.content, message.images, len(message.tool_calls)))
        hashes.append(hashed)
    return tuple(hashes)
