"""The turns of a conversation."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from rxollama.messages import ChatResponse, Message, Metrics

__all__ = ("Turn", "build_turn", "is_whole", "split_into_turns")

# The server answers a chat without messages with one of these. It only loads or unloads the model.
_NO_ANSWER = ("load", "unload")


class Turn(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """
    One turn of a conversation: what the user said, and the answer.

    Args:
        messages: The user's message, then all messages of the answer, with tool calls and their results.
        done: Whether the answer is whole. False for the kept part of an answer that failed or was disposed.
        metrics: The metrics of the answer, summed over its rounds. Empty if the turn was given as messages.

    .. versionadded:: 0.1
    """

    messages: tuple[Message, ...]
    done: bool = True
    metrics: Metrics = Metrics()

    @property
    def prompt(self) -> Message:
        """The first message: what the user said."""
        return self.messages[0]


def split_into_turns(messages: Iterable[Message]) -> tuple[Turn, ...]:
    """
    Split a history into turns.

    Args:
        messages: The history. A user's message after another role's message begins a turn.

    Returns:
        The turns.
    """
    turns: list[list[Message]] = []
    last = ""
    for message in messages:
        if not turns or (message.role == "user" and last != "user"):
            turns.append([])
        turns[-1].append(message)
        last = message.role
    return tuple(Turn(tuple(turn)) for turn in turns)


def is_whole(response: ChatResponse) -> bool:
    """Return whether an answer is complete: its last message is done and calls no tool."""
    last = response.messages[-1]
    return response.done and last.role != "tool" and not last.tool_calls


def build_turn(prompt: Message, response: ChatResponse, *, unfinished: bool) -> Turn | None:
    """
    Build the turn of a prompt and its answer.

    Args:
        prompt: The user's message.
        response: The answer, or the part of it that arrived.
        unfinished: Whether an answer that is not whole makes a turn. Tool calls without a result are then left out,
            and so are messages that hold only thinking.

    Returns:
        The turn, or None if the answer makes none.
    """
    messages, whole = response.messages, is_whole(response)
    if not whole:
        messages = _sendable(messages) if unfinished else ()
    if not messages or response.done_reason in _NO_ANSWER:
        return None
    return Turn((prompt, *messages), whole, response.metrics)


def _sendable(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the messages without unanswered calls, results without a call, and messages without content."""
    kept: list[Message] = []
    results: list[Message] = []
    for message in reversed(messages):
        if message.role == "tool":
            results.insert(0, message)
            continue
        # Results come in the order of the calls.
        answered = message.tool_calls[: len(results)]
        trimmed = message if answered == message.tool_calls else replace(message, tool_calls=answered)
        has_content = trimmed.content or trimmed.images or answered
        kept[:0] = (*((trimmed,) if has_content else ()), *results[: len(answered)])
        results.clear()
    return tuple(kept)
