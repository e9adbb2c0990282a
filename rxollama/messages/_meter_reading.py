"""What a meter reads of a chat at one moment."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from rxollama.messages._metrics import Metrics

__all__ = ("MeterPhase", "MeterReading")

MeterPhase: TypeAlias = Literal["waiting", "thinking", "answering", "calling_tools", "done", "failed"]
"""What a chat is about, see `MeterReading`."""


class MeterReading(msgspec.Struct, frozen=True, kw_only=True, gc=False, repr_omit_defaults=True):
    """
    Hold what a meter reads of a chat at one moment.

    Durations are integer nanoseconds, counted by the clock of the meter from its subscription; rates are per second.

    The phases:

    - `waiting`: nothing of the answer is visible yet. Connecting, waiting for a free slot, loading the model and
      reading the prompt look the same from outside, since the server sends nothing meanwhile. `/api/ps` lists a model
      as soon as loading it begins. Afterwards `metrics.load_duration` tells them apart.
    - `thinking`, `answering`: what the latest words of the model were.
    - `calling_tools`: from a call to the last tool's result; where results do not say that they are done, to the next
      words of the model.
    - `done`: the answer is there, with no tool called; another may begin after it.
    - `failed`: the stream ended with an error.

    Args:
        phase: What the chat is about, as above.
        wall_duration: Since the subscription.
        phase_duration: Since the phase began.
        time_to_first_token: Until the first thinking, content or tool call; None while there was none.
        gap_duration: Since the latest chunk; None where nothing is being written, so that no gap is counted: before
            the first token of a round, while tools run, and at the end.
        longest_gap_duration: The longest silence in the middle of an answer, the one that goes on included; None while
            there was no token.
        chunk_count: How many chunks came, of whatever kind.
        content_length: Characters of the answer, over all rounds.
        thinking_length: Characters of thinking, over all rounds.
        tool_call_count: How many tools were called.
        round_count: How many answers of the model began: with tools there are several.
        chunks_per_second: Chunks with something to see, lately: over the last two seconds, or over the interval of the
            meter where that is longer, but only since the round's first token. None where nothing is being written,
            and in the first quarter of a second, in which a rate would be chance.
        characters_per_second: Characters of thinking and content, lately.
        mean_chunks_per_second: Chunks with something to see, from the first token to the latest; of several rounds only
            the time counts in which the model wrote. None where there was no time between tokens.
        mean_characters_per_second: Characters of thinking and content, likewise.
        metrics: The server's own numbers, tokens per second among them, once an answer is done; summed over rounds.

    .. versionadded:: 0.1
    """

    phase: MeterPhase
    wall_duration: int = 0
    phase_duration: int = 0
    time_to_first_token: int | None = None
    gap_duration: int | None = None
    longest_gap_duration: int | None = None
    chunk_count: int = 0
    content_length: int = 0
    thinking_length: int = 0
    tool_call_count: int = 0
    round_count: int = 0
    chunks_per_second: float | None = None
    characters_per_second: float | None = None
    mean_chunks_per_second: float | None = None
    mean_characters_per_second: float | None = None
    metrics: Metrics | None = None

    @property
    def character_count(self) -> int:
        """Characters of thinking and content."""
        return self.thinking_length + self.content_length
