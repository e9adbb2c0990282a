"""Durations and metrics as text."""

from __future__ import annotations

import pytest

from rxollama.cli._format import format_duration, format_ending, format_summary, format_unfinished, format_waiting
from rxollama.messages import ChatResponse, ClientTiming, Metrics

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.1449, "0.14 s"), (2.06, "2.1 s"), (59.9, "59.9 s"), (125.2, "2 min 5 s")]
)
def test_duration(seconds: float, words: str) -> None:
    """A duration has two digits below a second, one below a minute, and none above."""
    assert format_duration(seconds) == words


def test_summary() -> None:
    """The summary has the rate, the time of the first token and the counts."""
    metrics = Metrics(
        eval_count=82,
        eval_duration=2_100_000_000,
        prompt_eval_count=12,
        time_to_first_token=140_000_000,
        load_duration=2_000_000,
    )

    line = format_summary(ChatResponse(metrics=metrics, done=True, done_reason="stop"))

    assert line == "39.0 tokens/s · first token 0.14 s · 82 tokens in 2.1 s · 12 prompt tokens"


def test_summary_of_a_long_load() -> None:
    """A long load is shown, since it explains a late first token."""
    metrics = Metrics(eval_count=1, eval_duration=SECOND, load_duration=90 * SECOND, prompt_eval_count=1)

    line = format_summary(ChatResponse(metrics=metrics, done=True, done_reason="length"))

    assert line == (
        "1.0 tokens/s · 1 token in 1.0 s · 1 prompt token · model loaded in 1 min 30 s"
        " · cut off: length limit reached (length)"
    )


def test_summary_without_numbers() -> None:
    """Without the server's metrics, the summary has the times that the client measured."""
    metrics = Metrics(time_to_first_token=SECOND // 2, wall_duration=3 * SECOND)

    line = format_summary(ChatResponse(metrics=metrics, done=True, done_reason="tired"))

    assert line == "first token 0.50 s · done in 3.0 s · ended with 'tired'"


@pytest.mark.parametrize(
    ("results", "failures", "rounds", "words"),
    [
        (1, 0, (), "1 round, 1 tool call"),
        (3, 1, (Metrics(), Metrics()), "2 rounds, 3 tool calls (1 failed)"),
    ],
)
def test_summary_with_tools(results: int, failures: int, rounds: tuple[Metrics, ...], words: str) -> None:
    """An answer with tools shows its rounds, calls and failures."""
    metrics = Metrics(tool_result_count=results, tool_failure_count=failures, rounds=rounds)

    assert format_summary(ChatResponse(metrics=metrics, done=True)) == f"done in 0.00 s · {words}"


def test_unfinished() -> None:
    """An unfinished answer shows its time and its number of chunks."""
    timing = ClientTiming(time_to_first_token=SECOND // 4, wall_duration=2 * SECOND, chunk_count=34)

    assert format_unfinished(timing, "interrupted") == "interrupted after 2.0 s · first token 0.25 s · 34 chunks"
    assert format_unfinished(ClientTiming(), "broken off") == "broken off after 0.00 s · nothing received"


def test_waiting() -> None:
    """After a long wait the line gives a possible reason."""
    assert format_waiting("qwen3", 0.5) == "waiting for qwen3 · 0.50 s"
    assert format_waiting("qwen3", 7) == "waiting for qwen3 · 7.0 s · loading a model can take minutes"


def test_waiting_with_an_expectation() -> None:
    """A wait says how long it is still expected to take, and that it takes longer than usual."""
    assert format_waiting("qwen3", 7, 12.4) == "waiting for qwen3 · 7.0 s · about 12 s more"
    assert format_waiting("qwen3", 7, 150.0) == "waiting for qwen3 · 7.0 s · about 2 min more"
    assert format_waiting("qwen3", 0.5, 0.3) == "waiting for qwen3 · 0.50 s"
    assert format_waiting("qwen3", 7, 0.0) == "waiting for qwen3 · 7.0 s · longer than usual"


def test_summary_of_numbers_that_no_float_holds() -> None:
    """The summary of an answer with impossible durations has the longest one."""
    metrics = Metrics(eval_count=1, eval_duration=10**400, load_duration=10**400)
    assert "1 token in 153722867 min 17 s" in format_summary(ChatResponse(metrics=metrics, done=True))


@pytest.mark.parametrize("reason", ["empty", "thinking_only", "load"])
def test_ending_without_an_answer(reason: str) -> None:
    """An answer that is none ends with words that say so, and name the reason."""
    [words] = format_ending(reason)

    assert words.endswith(f" ({reason})")
    assert "answer" in words or "loaded" in words
