"""
The client's own words for an answer that is none: `empty` and `thinking_only`.

A server ends such an answer like any other, with `stop`, so a program that shows the content shows nothing and never
learns why. Both replace `done_reason` on the last chunk. The words `load` and `unload` stay as they are: only the
server says them.
"""

from __future__ import annotations

from collections.abc import Iterable

from rxollama.messages import ChatRequest, GenerateRequest, Message

__all__ = ("checked_reason", "expects_answer")


def expects_answer(request: ChatRequest | GenerateRequest) -> bool:
    """
    Return whether an empty answer to a request is worth a word.

    It is not for a request that only loads a model or renders its prompt. Nor is it where a model has said enough:
    where it goes on from an assistant's message, or fills in the middle of a text.
    """
    if request.debug_render_only:
        return False
    if isinstance(request, ChatRequest):
        return bool(request.messages) and request.messages[-1].role != "assistant"
    return bool(request.prompt) and not request.suffix


def checked_reason(reason: str, messages: Iterable[Message]) -> str:
    """
    Return the `done_reason` of an answer without content.

    Args:
        reason: The server's own.
        messages: The messages of the answer.
    """
    has_thinking = False
    for message in messages:
        if message.tool_calls or message.images:
            return reason
        has_thinking = has_thinking or bool(message.thinking)
    if has_thinking:
        return "thinking_only" if reason in {"", "stop", "length"} else reason
    return "empty" if reason in {"", "stop"} else reason
