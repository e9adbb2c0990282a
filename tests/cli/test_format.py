"""Numbers as people read them."""

from __future__ import annotations

import pytest

from rxollama.cli._format import duration, known, summary
from rxollama.cli._terminal_display import waiting
from rxollama.messages import ChatResponse, ClientTiming, Metrics

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.1449, "0.14 s"), (2.06, "2.1 s"), (59.9, "59.9 s"), (125.2, "2 min 5 s")]
)
def test_duration(seconds: float, words: str) -> None:
    """A duration is as exact as it is of use."""
    assert duration(seconds) == words


def test_summary() -> None:
    """A whole answer has its rate, its first token and its counts."""
    metrics = Metrics(
        eval_count=82,
        eval_duration=2_100_000_000,
        prompt_eval_count=12,
        time_to_first_token=140_000_000,
        load_duration=2_000_000,
    )

    line = summary(ChatResponse(metrics=metrics, done=True, done_reason="stop"))

    assert line == "39.0 tokens/s · first token 0.14 s · 82 tokens in 2.1 s · 12 prompt tokens"


def test_summary_of_a_long_load() -> None:
    """That the model had to be loaded first is what explains a late first token."""
    metrics = Metrics(eval_count=1, eval_duration=SECOND, load_duration=90 * SECOND, prompt_eval_count=1)

    line = summary(ChatResponse(metrics=metrics, done=True, done_reason="length"))

    assert line == (
        "1.0 tokens/s · 1 token in 1.0 s · 1 prompt token · model loaded in 1 min 30 s"
        " · cut off: length limit reached (length)"
    )


def test_summary_without_numbers() -> None:
    """A server that tells no numbers leaves what the client saw."""
    metrics = Metrics(time_to_first_token=SECOND // 2, wall_duration=3 * SECOND)

    line = summary(ChatResponse(metrics=metrics, done=True, done_reason="tired"))

    assert line == "first token 0.50 s · done in 3.0 s · ended with 'tired'"


@pytest.mark.parametrize(
    ("results", "failures", "rounds", "words"),
    [
        (1, 0, (), "1 round, 1 tool call"),
        (3, 1, (Metrics(), Metrics()), "2 rounds, 3 tool calls (1 failed)"),
    ],
)
def test_summary_with_tools(results: int, failures: int, rounds: tuple[Metrics, ...], words: str) -> None:
    """An answer with tools has its rounds and calls."""
    metrics = Metrics(tool_result_count=results, tool_failure_count=failures, rounds=rounds)

    assert summary(ChatResponse(metrics=metrics, done=True)) == f"done in 0.00 s · {words}"


def test_known() -> None:
    """An answer without an end has what was seen of it."""
    timing = ClientTiming(time_to_first_token=SECOND // 4, wall_duration=2 * SECOND, chunk_count=34)

    assert known(timing, "interrupted") == "interrupted after 2.0 s · first token 0.25 s · 34 chunks"
    assert known(ClientTiming(), "broken off") == "broken off after 0.00 s · nothing had come"


def test_waiting() -> None:
    """A long wait says what it may be."""
    assert waiting("qwen3", 0.5) == "waiting for qwen3 · 0.50 s"
    assert waiting("qwen3", 7) == "waiting for qwen3 · 7.0 s · loading a model can take minutes"
