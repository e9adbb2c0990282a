"""Turns: what the user said, with all that came of it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from rxollama.messages import ChatResponse, Message, Metrics

__all__ = ("Turn", "is_whole", "turn_of", "turns_of")

_NO_ANSWERS = ("load", "unload")


class Turn(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """
    Be one turn of a conversation.

    Args:
        messages: What the user said, and all messages of the answer, calls of tools and their results included.
        done: Whether the answer is whole; False for what was kept of one that was broken off.
        metrics: The numbers of the answer, summed over its rounds; empty where the turn was given as messages.

    .. versionadded:: 0.1
    """

    messages: tuple[Message, ...]
    done: bool = True
    metrics: Metrics = Metrics()

    @property
    def prompt(self) -> Message:
        """What the user said: the first message."""
        return self.messages[0]


def turns_of(messages: Iterable[Message]) -> tuple[Turn, ...]:
    """
    Cut a history into turns.

    Args:
        messages: The messages; what a user says after somebody else spoke begins a turn.

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
    """Tell whether nothing more comes of an answer: the last message is done, and calls no tool."""
    last = response.messages[-1]
    return response.done and last.role != "tool" and not last.tool_calls


def turn_of(prompt: Message, response: ChatResponse, *, unfinished: bool) -> Turn | None:
    """
    Make a turn of what came of a prompt.

    Args:
        prompt: What the user said.
        response: What came.
        unfinished: Whether to make one of an answer that is not whole, as far as it can be sent again: calls of tools
            without a result are left out, and a message in which nothing is left but thinking.

    Returns:
        The turn; None where there is none.
    """
    messages, whole = response.messages, is_whole(response)
    if not whole:
        messages = _fit(messages) if unfinished else ()
    if not messages or response.done_reason in _NO_ANSWERS:
        return None
    return Turn((prompt, *messages), whole, response.metrics)


def _fit(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Leave out what a model must not be sent: calls and results without each other, and a message without words."""
    fit: list[Message] = []
    results: list[Message] = []
    for message in reversed(messages):
        if message.role == "tool":
            results.insert(0, message)
            continue
        # Results come in the order of the calls.
        answered = message.tool_calls[: len(results)]
        said = message if answered == message.tool_calls else replace(message, tool_calls=answered)
        words = (said,) if said.content or said.images or answered else ()
        fit[:0] = (*words, *results[: len(answered)])
        results.clear()
    return tuple(fit)
