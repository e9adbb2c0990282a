"""How much of a history is sent: as many of its latest turns as there is room for."""

from __future__ import annotations

import msgspec

from rxollama._invalid_value import invalid_value
from rxollama.conversation._turn import Turn
from rxollama.messages import Message

__all__ = ("Limits", "estimate")

_LETTERS = 4
_PER_MESSAGE = 4
_PER_IMAGE = 512
# What a model's template may say by itself. Without it "Hi" would make every letter look like several tokens.
_TEMPLATE = 64


def estimate(message: Message) -> int:
    """
    Estimate how many tokens a message has.

    What was thought is not counted, since models are mostly not shown what they thought in earlier turns.

    Args:
        message: The message.

    Returns:
        A quarter of its characters, and something for the message itself and for each image.
    """
    letters = len(message.content) + len(message.tool_name)
    letters += sum(len(call.name) + len(msgspec.json.encode(call.arguments)) for call in message.tool_calls)
    return _PER_MESSAGE + -(-letters // _LETTERS) + _PER_IMAGE * len(message.images)


class Limits:
    """
    Choose what is sent of a history.

    The estimate of tokens is corrected upwards by what the server counted last: never downwards, since a count may
    leave out what the server had in its cache, or dropped itself.

    Args:
        max_messages: How many messages may be sent, the prompt included and the system prompt not; None for any number.
        max_tokens: How many tokens may be sent, by an estimate of all that is sent; None for any number.
        always: Messages that are sent always.
        tools: What is sent of tools.

    Raises:
        InvalidValueError: When a limit is no number above 0.
    """

    def __init__(
        self, max_messages: int | None, max_tokens: int | None, *, always: tuple[Message, ...], tools: object
    ) -> None:
        for field, limit in (("max_messages", max_messages), ("max_tokens", max_tokens)):
            if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
                raise invalid_value(field, limit, "an int, 1 or more, or None")
        self._max_messages = max_messages
        self._max_tokens = max_tokens
        self._always = sum(map(estimate, always)) + (len(msgspec.json.encode(tools)) // _LETTERS if tools else 0)
        self._scale = 1.0

    def kept(self, turns: tuple[Turn, ...], prompt: Message) -> tuple[tuple[Turn, ...], int]:
        """
        Choose the latest turns that there is room for, without a gap.

        Args:
            turns: The history.
            prompt: What is sent after it, in any case.

        Returns:
            The turns, and what all of it is estimated to be; 0 where tokens are not limited.
        """
        if self._max_messages is None and self._max_tokens is None:
            return turns, 0
        counts_tokens = self._max_tokens is not None
        most = (self._max_tokens or 0) / self._scale
        messages, tokens, kept = 1, self._always + estimate(prompt) if counts_tokens else 0, 0
        for turn in reversed(turns):
            messages += len(turn.messages)
            more = tokens + sum(map(estimate, turn.messages)) if counts_tokens else 0
            if more > most or (self._max_messages is not None and messages > self._max_messages):
                break
            tokens, kept = more, kept + 1
        return turns[len(turns) - kept :], tokens

    def learn(self, estimated: int, counted: int) -> None:
        """
        Correct the estimate.

        Args:
            estimated: What a request was estimated to be; 0 where nobody did.
            counted: What the server counted; 0 where it did not.
        """
        if estimated and counted:
            self._scale = max(1.0, (_TEMPLATE + counted) / (_TEMPLATE + estimated))
