"""The reading of a meter."""

from __future__ import annotations

from typing import Literal, TypeAlias

from rxollama.messages._metrics import Metrics
from rxollama.messages._value import Value

__all__ = ("MeterPhase", "MeterReading")

MeterPhase: TypeAlias = Literal["waiting", "thinking", "answering", "calling_tools", "done", "failed"]
"""The phase of a chat, see `MeterReading`."""


class MeterReading(Value, frozen=True, kw_only=True, gc=False):
    """
    The state of a chat at one moment, as `meter()` reads it.

    Durations are integer nanoseconds by the meter's clock, counted from its subscription. Rates are per second, and
    `expected` is in seconds.

    The phases:

    - `waiting`: nothing of the answer is visible yet. Connecting, waiting for a free slot, loading the model and
      reading the prompt look the same from outside, since the server sends nothing meanwhile. `/api/ps` lists a model
      as soon as loading begins. Afterwards `metrics.load_duration` distinguishes them. `expected` is an estimate from
      answers of the same model; see `rxollama.client.WaitEstimates`.
    - `thinking`, `answering`: what the model generated last.
    - `calling_tools`: from a call to the last tool's result. If results do not say that they are done, to the next
      text of the model.
    - `done`: the answer is complete, and calls no tool. Another may begin after it.
    - `failed`: the stream ended with an error.

    If the answer begins over, lengths, calls and rounds are those that stand. Chunks, times and rates include the
    attempt that broke.

    Args:
        phase: The phase, as above.
        wall_duration: Since the subscription.
        phase_duration: Since the phase began.
        expected: The seconds that are still expected until the first token; 0 once they have passed. None if this is
            not known, and when nothing is waited for.
        time_to_first_token: Until the first thinking, content or tool call; None before it.
        gap_duration: Since the latest chunk. None while nothing is being generated: before the first token of a round,
            while tools run, and at the end.
        longest_gap_duration: The longest silence within an answer, including the current one; None before a token.
        chunk_count: The number of chunks of any kind.
        content_length: The characters of content, over all rounds.
        thinking_length: The characters of thinking, over all rounds.
        tool_call_count: The number of tool calls.
        round_count: The number of answers that the model began. With tools there are several.
        chunks_per_second: The recent rate of visible chunks: over the last two seconds, or over the meter's interval if
            that is longer, but only since the round's first token. None while nothing is being generated, and in the
            first quarter of a second, in which a rate would be chance.
        characters_per_second: The recent rate of characters of thinking and content.
        mean_chunks_per_second: The rate of visible chunks from the first token to the latest. With several rounds, only
            the time counts in which the model generated. None if there was no time between tokens.
        mean_characters_per_second: The same rate of characters of thinking and content.
        metrics: The server's own numbers, once an answer is done. They include tokens per second, and are summed over
            rounds.

    .. versionadded:: 0.1
    """

    phase: MeterPhase
    wall_duration: int = 0
    phase_duration: int = 0
    expected: float | None = None
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
        """The characters of thinking and content."""
        return self.thinking_length + self.content_length
