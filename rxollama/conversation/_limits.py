"""The limits on how much of a history is sent."""

from __future__ import annotations

import msgspec

from rxollama._checks import check_count
from rxollama.conversation._turn import Turn
from rxollama.messages import Message

__all__ = ("Limits", "estimate_tokens")

# A token of English text is about four characters.
_CHARACTERS_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_IMAGE = 512
# A model's template may add this many tokens to any request. If they were not allowed for, the count of a short prompt
# such as "Hi" would look as if each character were several tokens.
_TEMPLATE_TOKENS = 64


def estimate_tokens(message: Message) -> int:
    """
    Return an estimate of a message's tokens.

    Thinking is not counted, because most templates do not show a model its earlier thinking.

    Args:
        message: The message.

    Returns:
        A quarter of the characters, plus a constant for the message and for each image.
    """
    characters = len(message.content) + len(message.tool_name)
    characters += sum(len(call.name) + len(msgspec.json.encode(call.arguments)) for call in message.tool_calls)
    return _TOKENS_PER_MESSAGE + -(-characters // _CHARACTERS_PER_TOKEN) + _TOKENS_PER_IMAGE * len(message.images)


class Limits:
    """
    The limits on how many messages and tokens a request may hold.

    Args:
        max_messages: The largest number of messages, with the prompt and without the system prompt. None for no limit.
        max_tokens: The largest estimate of all tokens in the request. None for no limit.
        always: The messages that every request holds.
        tools: The JSON value that describes the tools.

    Raises:
        InvalidValueError: If a limit is not an int of 1 or more.
    """

    def __init__(
        self, max_messages: int | None, max_tokens: int | None, *, always: tuple[Message, ...], tools: object
    ) -> None:
        for field, limit in (("max_messages", max_messages), ("max_tokens", max_tokens)):
            if limit is not None:
                check_count(field, limit)
        self._max_messages = max_messages
        self._max_tokens = max_tokens
        tool_tokens = len(msgspec.json.encode(tools)) // _CHARACTERS_PER_TOKEN if tools else 0
        self._always = sum(map(estimate_tokens, always)) + tool_tokens
        self._scale = 1.0

    def select(self, turns: tuple[Turn, ...], prompt: Message) -> tuple[tuple[Turn, ...], int]:
        """
        Return the latest turns that fit into the limits, without a gap.

        Args:
            turns: The history.
            prompt: The message that is sent after the history. It is always sent.

        Returns:
            The turns, and the estimate of the whole request. The estimate is 0 if tokens are not limited.
        """
        if self._max_messages is None and self._max_tokens is None:
            return turns, 0
        counts_tokens = self._max_tokens is not None
        limit = (self._max_tokens or 0) / self._scale
        messages, tokens, kept = 1, self._always + estimate_tokens(prompt) if counts_tokens else 0, 0
        for turn in reversed(turns):
            messages += len(turn.messages)
            more = tokens + sum(map(estimate_tokens, turn.messages)) if counts_tokens else 0
            if more > limit or (self._max_messages is not None and messages > self._max_messages):
                break
            tokens, kept = more, kept + 1
        return turns[len(turns) - kept :], tokens

    def calibrate(self, estimated: int, counted: int) -> None:
        """
        Adjust the estimate to the server's count of a request.

        Args:
            estimated: The estimate of the request, or 0 if there is none.
            counted: The server's count, or 0 if there is none.
        """
        if estimated and counted:
            # Never below the rule: a count may leave out cached tokens and messages that the server dropped.
            self._scale = max(1.0, (_TEMPLATE_TOKENS + counted) / (_TEMPLATE_TOKENS + estimated))
