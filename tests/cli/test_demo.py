"""The demo: recorded answers to a few questions."""

from __future__ import annotations

import pytest
from terminals import piped

from rxollama import ChatResponse, Ollama, run
from rxollama import operators as op
from rxollama.cli._demo import demo_server, normalize

MATH = "17 × 23 = **391**\n\nSplit the second factor:\n\n1. 17 × 20 = 340\n2. 17 × 3 = 51\n3. 340 + 51 = 391"
LINE = "demo: a scripted server plays recorded answers; no model runs here\n"


@pytest.mark.parametrize(
    "question", ["What is 17 × 23?", "what is 17 x 23", "  What  is 17*23 ?\n", "WHAT IS 17×23?!", "What is 17 X 23."]
)
def test_normal(question: str) -> None:
    """Spellings of one question have the same normal form."""
    assert normalize(question) == "what is 17 × 23"


def test_normal_keeps_words() -> None:
    """An x or * outside a multiplication of numbers is kept."""
    assert normalize("Is x*y 2x?") == "is x*y 2x"


def ask(question: str, *, think: bool | None) -> ChatResponse:
    """Return the demo server's answer to a question."""
    with demo_server() as server, Ollama(server.url) as ollama:
        return run(ollama.chat("any", question, think=think).pipe(op.collect()))


@pytest.mark.parametrize("think", [None, True])
def test_answer(think: bool | None) -> None:
    """A recorded question gets the recorded thinking, content, metrics and timing."""
    response = ask("what is 17*23", think=think)

    assert response.message.content == MATH
    assert response.message.thinking.startswith("I need 17 times 23.")
    assert response.metrics.tokens_per_second == 40.0
    assert response.metrics.wall_duration is not None
    assert 2.0 < response.metrics.wall_duration / 1e9 < 10


def test_answer_without_thinking() -> None:
    """Without thinking, the content is the same and comes at once."""
    response = ask("What is 17 × 23?", think=False)

    assert (response.message.content, response.message.thinking) == (MATH, "")
    assert response.metrics.time_to_first_content is not None
    assert response.metrics.time_to_first_content < 1e9


def test_other_question() -> None:
    """The answer to any other question lists the recorded ones."""
    response = ask("Why?", think=None)

    assert "- What is 17 × 23?\n- Why is the sky blue?\n" in response.message.content
    assert response.done


def test_piped() -> None:
    """In a pipe, standard output holds only the answer. The note on the demo and the metrics are beside it."""
    done = piped("chat", "--demo", "-m", "qwen3", "What is 17 x 23?")

    assert (done.returncode, done.stdout) == (0, MATH + "\n")
    assert done.stderr.startswith(LINE + "40.0 tokens/s · first token ")
    assert done.stderr.endswith(" · 82 tokens in 2.0 s · 12 prompt tokens\n")
