"""The numbers of an answer: the server's and the client's."""

from __future__ import annotations

from rxollama.messages._value import Value

__all__ = ("ClientTiming", "Metrics")

_NANOSECONDS = 1e9


class ClientTiming(Value, frozen=True, kw_only=True, gc=False):
    """
    The times that the client measured for one answer, in nanoseconds since it sent the request.

    If the answer took several requests, the times begin with the first of them. They are those of the text that stands:
    after a restart the first chunk is the first one of the new attempt.

    Args:
        time_to_first_chunk: Until the first chunk of any kind.
        time_to_first_token: Until the first thinking, content or tool call; None before it.
        time_to_first_content: Until the first content; None before it.
        wall_duration: Until the last chunk.
        chunk_count: The number of chunks that stand.
        context_length: The context window in tokens, as far as the client knows it. It knows `num_ctx` of the request.
        host: The base URL of the host that answered; empty if it is not known. After several requests, the last one's.
        repeat_count: The number of further requests that the answer took, since it broke or its thought was cut off.
        thinking_cut_count: How often the thought was cut off, since it exceeded `max_thinking`.

    .. versionadded:: 0.1
    """

    time_to_first_chunk: int | None = None
    time_to_first_token: int | None = None
    time_to_first_content: int | None = None
    wall_duration: int | None = None
    chunk_count: int = 0
    context_length: int | None = None
    host: str = ""
    repeat_count: int = 0
    thinking_cut_count: int = 0


class Metrics(ClientTiming, frozen=True, kw_only=True, gc=False):
    """
    The numbers of an answer: Ollama's under Ollama's names, the client's, and rates computed from them.

    Durations are integer nanoseconds, as the server sends them
    (https://github.com/ollama/ollama/blob/main/docs/api.md). A number that the server left out is 0. If an answer took
    several requests, the server's numbers are those of the last one: a request that broke has none.

    Args:
        total_duration: From the arrival of the request to the end of the answer.
        load_duration: Until the model was ready, including the wait for it.
        prompt_eval_count: The tokens of the prompt, including cached ones.
        prompt_eval_cached_count: The tokens of the prompt that came from the cache; None if the server does not say.
        prompt_eval_duration: The time for reading the prompt.
        eval_count: The tokens of the answer.
        eval_duration: The time for generating the answer.
        time_to_first_chunk: See `ClientTiming`. In a sum of rounds it is the first round's.
        time_to_first_token: As above.
        time_to_first_content: As above.
        wall_duration: See `ClientTiming`.
        chunk_count: See `ClientTiming`.
        context_length: See `ClientTiming`. In a sum of rounds it is the last one that is known.
        host: See `ClientTiming`. In a sum of rounds it is the last one's that is known.
        repeat_count: See `ClientTiming`.
        thinking_cut_count: See `ClientTiming`.
        tool_result_count: The number of tool results, including failures.
        tool_failure_count: The number of tools that failed: unknown, wrong arguments, denied, too slow, or an error.
        rounds: The metrics of each round, if these are a sum.

    .. versionadded:: 0.1
    """

    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_cached_count: int | None = None
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0
    tool_result_count: int = 0
    tool_failure_count: int = 0
    rounds: tuple[Metrics, ...] = ()

    @property
    def tokens_per_second(self) -> float | None:
        """The answer's tokens per second, `eval_count / (eval_duration / 1e9)`; None if it is not known."""
        return _rate(self.eval_count, self.eval_duration)

    @property
    def prompt_tokens_per_second(self) -> float | None:
        """The prompt's tokens per second; None if it is not known."""
        return _rate(self.prompt_eval_count, self.prompt_eval_duration)

    @property
    def queue_duration(self) -> int:
        """The rest of the total in nanoseconds: about the wait for a free slot."""
        busy = self.load_duration + self.prompt_eval_duration + self.eval_duration
        return max(0, self.total_duration - busy)

    def __add__(self, other: Metrics) -> Metrics:
        """Return the sum of two rounds, which keeps both in `rounds`."""
        if not isinstance(other, Metrics):
            return NotImplemented
        cached = (self.prompt_eval_cached_count, other.prompt_eval_cached_count)
        walls = (self.wall_duration, other.wall_duration)
        return Metrics(
            time_to_first_chunk=self.time_to_first_chunk,
            time_to_first_token=self.time_to_first_token,
            time_to_first_content=self.time_to_first_content,
            wall_duration=_sum_known(walls),
            chunk_count=self.chunk_count + other.chunk_count,
            context_length=self.context_length if other.context_length is None else other.context_length,
            host=other.host or self.host,
            repeat_count=self.repeat_count + other.repeat_count,
            thinking_cut_count=self.thinking_cut_count + other.thinking_cut_count,
            total_duration=self.total_duration + other.total_duration,
            load_duration=self.load_duration + other.load_duration,
            prompt_eval_count=self.prompt_eval_count + other.prompt_eval_count,
            prompt_eval_cached_count=_sum_known(cached),
            prompt_eval_duration=self.prompt_eval_duration + other.prompt_eval_duration,
            eval_count=self.eval_count + other.eval_count,
            eval_duration=self.eval_duration + other.eval_duration,
            tool_result_count=self.tool_result_count + other.tool_result_count,
            tool_failure_count=self.tool_failure_count + other.tool_failure_count,
            rounds=(self.rounds or (self,)) + (other.rounds or (other,)),
        )


def _rate(count: int, duration: int) -> float | None:
    try:
        return count / (duration / _NANOSECONDS) if duration > 0 else None
    except OverflowError:
        # JSON has numbers that no float holds. A server that sends one does not end the stream by it.
        return None


def _sum_known(values: tuple[int | None, ...]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
