"""Durations and metrics as text."""

from __future__ import annotations

from rxollama.messages import ChatResponse, ClientTiming, Metrics, Restart

__all__ = (
    "format_duration",
    "format_ending",
    "format_restart",
    "format_summary",
    "format_unfinished",
    "format_waiting",
)

_NANOSECONDS = 1e9
_LONGEST = 2**63
_MINUTE = 60
_LONG_LOAD = 1.0
_LONG_WAIT = 5.0
_ENDINGS = {
    "length": "cut off: length limit reached (length)",
    "empty": "the model gave no answer (empty)",
    "thinking_only": "the model only thought, and gave no answer (thinking_only)",
    "load": "the server only loaded the model (load)",
}


def format_duration(seconds: float) -> str:
    """Return a duration, such as "0.14 s" or "2 min 5 s"."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest} s"


def format_waiting(model: str, elapsed: float, expected: float | None = None) -> str:
    """
    Return the status line of a request that has no answer yet.

    Args:
        model: The model.
        elapsed: The seconds since the request began.
        expected: The seconds that are still expected; None if that is not known.
    """
    line = f"waiting for {model} · {format_duration(elapsed)}"
    if expected is not None and expected >= 1:
        return f"{line} · about {_about(expected)} more"
    if elapsed < _LONG_WAIT:
        return line
    return f"{line} · {'loading a model can take minutes' if expected is None else 'longer than usual'}"


def _about(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _MINUTE else f"{seconds / _MINUTE:.0f} min"


def format_summary(response: ChatResponse) -> str:
    """Return the metrics of a finished answer. Metrics that the server does not send are left out."""
    metrics = response.metrics
    parts = [
        *_rate(metrics),
        *_first_token(metrics),
        *_counts(metrics),
        *_tools(metrics),
        *format_ending(response.done_reason),
    ]
    return " · ".join(parts)


def format_unfinished(timing: ClientTiming, event: str) -> str:
    """Return what is known of an answer that did not finish. *event* is what ended it, such as "interrupted"."""
    after = format_duration((timing.wall_duration or 0) / _NANOSECONDS)
    received = _count(timing.chunk_count, "chunk") if timing.chunk_count else "nothing received"
    return " · ".join([f"{event} after {after}", *_first_token(timing), received])


def format_ending(reason: str) -> list[str]:
    """Return the text of a `done_reason`, or an empty list if the answer ended as usual."""
    if reason in {"", "stop"}:
        return []
    return [_ENDINGS.get(reason, f"ended with {reason!r}")]


def format_restart(restart: Restart) -> str:
    """Return the line before an answer that begins over."""
    return f"the answer broke off and begins over, attempt {restart.attempt}"


def _rate(metrics: Metrics) -> list[str]:
    rate = metrics.tokens_per_second
    return [] if rate is None else [f"{rate:.1f} tokens/s"]


def _first_token(timing: ClientTiming) -> list[str]:
    first = timing.time_to_first_token
    return [] if first is None else [f"first token {format_duration(first / _NANOSECONDS)}"]


def _counts(metrics: Metrics) -> list[str]:
    # The server's own time for the tokens comes first, because the rate is computed from it.
    took = format_duration(_seconds(metrics.eval_duration or metrics.wall_duration or 0))
    counts = [f"{_count(metrics.eval_count, 'token')} in {took}" if metrics.eval_count else f"done in {took}"]
    if metrics.prompt_eval_count:
        counts.append(_count(metrics.prompt_eval_count, "prompt token"))
    load = _seconds(metrics.load_duration)
    if load > _LONG_LOAD:
        counts.append(f"model loaded in {format_duration(load)}")
    return counts


def _seconds(nanoseconds: int) -> float:
    # A server may send a number that no float holds.
    return min(nanoseconds, _LONGEST) / _NANOSECONDS


def _tools(metrics: Metrics) -> list[str]:
    if not metrics.tool_result_count:
        return []
    calls, failures = _count(metrics.tool_result_count, "tool call"), metrics.tool_failure_count
    failed = f" ({failures} failed)" if failures else ""
    return [f"{_count(max(1, len(metrics.rounds)), 'round')}, {calls}{failed}"]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
