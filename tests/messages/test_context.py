"""The use of the context window, and the fewest tokens of a text."""

from __future__ import annotations

import pytest
from recorded import recorded

from rxollama.messages import (
    ChatRequest,
    ChatResponse,
    ContextUse,
    GenerateRequest,
    Metrics,
    ResponseBuilder,
    fewest_tokens,
)


class TestUse:
    """`ChatResponse.context`."""

    @pytest.mark.parametrize(
        ("metrics", "use"),
        [
            (Metrics(), None),
            (Metrics(total_duration=1, chunk_count=3), None),
            (Metrics(context_length=4096), ContextUse(window=4096)),
            (Metrics(eval_count=7), ContextUse(answer_tokens=7)),
            (
                Metrics(context_length=4096, prompt_eval_count=1024, eval_count=1024),
                ContextUse(window=4096, prompt_tokens=1024, answer_tokens=1024),
            ),
        ],
    )
    def test_of_metrics(self, metrics: Metrics, use: ContextUse | None) -> None:
        """It holds what the metrics say, and is None if they say nothing of the window."""
        assert ChatResponse(metrics=metrics).context == use

    def test_of_rounds(self) -> None:
        """The numbers are those of the last round. The window is the last one that is known."""
        first = Metrics(context_length=4096, prompt_eval_count=100, eval_count=20)
        last = Metrics(context_length=8192, prompt_eval_count=200, eval_count=5)

        assert ChatResponse(metrics=first + last).context == ContextUse(window=8192, prompt_tokens=200, answer_tokens=5)
        assert (first + last).context_length == 8192
        assert ChatResponse(metrics=last + Metrics(eval_count=3)).context == ContextUse(window=8192, answer_tokens=3)

    def test_of_a_recording(self) -> None:
        """A real server names the tokens and not the window."""
        builder = ResponseBuilder()
        builder.extend(recorded("sky").chunks)

        assert builder.snapshot().context == ContextUse(
            prompt_tokens=12, answer_tokens=recorded("sky").expect["eval_count"]
        )

    @pytest.mark.parametrize(
        ("use", "share"),
        [
            (ContextUse(window=4096, prompt_tokens=1024, answer_tokens=1024), 0.5),
            (ContextUse(window=4096, prompt_tokens=1024), 0.25),
            (ContextUse(window=4096, prompt_tokens=4096, answer_tokens=1), 1.0),
            (ContextUse(window=4096, answer_tokens=10), None),
            (ContextUse(prompt_tokens=10, answer_tokens=10), None),
            (ContextUse(window=0, prompt_tokens=10), None),
        ],
    )
    def test_share(self, use: ContextUse, share: float | None) -> None:
        """The share counts prompt and answer. It is None if a number is missing."""
        assert use.share == share


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("abcde", 0),
        ("abcdef", 1),
        ("word " * 600, 500),
        ("\u4e2d\u6587" * 500, 400),
        ("\U00020000" * 5, 2),
        ("x" * 7, 1),
        ("x" * 96, 4),
        ("abc" + " " * 500 + "de", 1),
        ("-" * 5000, 0),
        ("\n \t\n" * 500, 0),
    ],
)
def test_fewest_tokens(text: str, tokens: int) -> None:
    """Six letters make a token at most, or 2.5 wide characters. Runs of one character count for less."""
    assert fewest_tokens([text]) == tokens


def test_fewest_tokens_of_several_texts() -> None:
    """Texts add up, until there are enough tokens."""
    text = "abcdef" * 10

    assert fewest_tokens([text] * 3) == 30
    assert fewest_tokens([text] * 3, enough=10) == 20
    assert fewest_tokens([text] * 3, enough=9) == 10


def test_the_clients_own_option_is_not_sent() -> None:
    """`to_dict` leaves `on_truncated` out."""
    assert ChatRequest(model="m", messages=(), on_truncated="raise").to_dict() == {"model": "m", "messages": []}
    assert GenerateRequest(model="m", on_truncated="ignore").to_dict() == {"model": "m"}
