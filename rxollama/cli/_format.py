"""Numbers as people read them."""

from __future__ import annotations

from rxollama.messages import ChatResponse, ClientTiming, Metrics

__all__ = ("duration", "ending", "known", "summary")

_NANOSECONDS = 1e9
_MINUTE = 60
_LONG_LOAD = 1.0


def duration(seconds: float) -> str:
    """Word a duration."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest} s"


def summary(response: ChatResponse) -> str:
    """Word the numbers of a whole answer, as far as the server tells them."""
    metrics = response.metrics
    parts = [*_pace(metrics), *_first(metrics), *_counts(metrics), *_tools(metrics), *ending(response.done_reason)]
    return " · ".join(parts)


def known(timing: ClientTiming, how: str) -> str:
    """Word what is known of an answer that has no end; *how* is what became of it."""
    after = duration((timing.wall_duration or 0) / _NANOSECONDS)
    came = _several(timing.chunk_count, "chunk") if timing.chunk_count else "nothing had come"
    return " · ".join([f"{how} after {after}", *_first(timing), came])


def _pace(metrics: Metrics) -> list[str]:
    rate = metrics.tokens_per_second
    return [] if rate is None else [f"{rate:.1f} tokens/s"]


def _first(timing: ClientTiming) -> list[str]:
    first = timing.time_to_first_token
    return [] if first is None else [f"first token {duration(first / _NANOSECONDS)}"]


def _counts(metrics: Metrics) -> list[str]:
    # The time that was spent on the tokens, if it is known, so that it goes with their rate.
    took = duration((metrics.eval_duration or metrics.wall_duration or 0) / _NANOSECONDS)
    counts = [f"{_several(metrics.eval_count, 'token')} in {took}" if metrics.eval_count else f"done in {took}"]
    if metrics.prompt_eval_count:
        counts.append(_several(metrics.prompt_eval_count, "prompt token"))
    load = metrics.load_duration / _NANOSECONDS
    if load > _LONG_LOAD:
        counts.append(f"model loaded in {duration(load)}")
    return counts


def _tools(metrics: Metrics) -> list[str]:
    if not metrics.tool_result_count:
        return []
    calls, failures = _several(metrics.tool_result_count, "tool call"), metrics.tool_failure_count
    failed = f" ({failures} failed)" if failures else ""
    return [f"{_several(max(1, len(metrics.rounds)), 'round')}, {calls}{failed}"]


def ending(reason: str) -> list[str]:
    """Word an end that is not the usual one."""
    if reason in {"", "stop"}:
        return []
    return ["cut off: length limit reached (length)"] if reason == "length" else [f"ended with {reason!r}"]


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
