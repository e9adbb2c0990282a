"""The limits on how much of a history is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxollama.conversation._limits import Limits, estimate_tokens
from rxollama.conversation._turn import Turn
from rxollama.errors import InvalidValueError
from rxollama.messages import Function, Message, ToolCall

PROMPT = Message.user("1234")


def turns(*lengths: int) -> tuple[Turn, ...]:
    """Return turns with these numbers of messages, each of 5 tokens."""
    return tuple(Turn((Message.user("1234"),) * length) for length in lengths)


def limits(messages: int | None = None, tokens: int | None = None) -> Limits:
    """Return limits without a system prompt and tools."""
    return Limits(messages, tokens, always=(), tools=[])


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        (Message("user"), 4),
        (Message.user("12345"), 6),
        (Message.assistant("1234", thinking="not counted"), 5),
        (Message.user("", images=[b"hello"]), 516),
        (Message.assistant(tool_calls=[ToolCall(Function("f", {"a": 1}))]), 6),
        (Message.tool("1234", name="1234"), 6),
    ],
)
def test_estimate(message: Message, tokens: int) -> None:
    """A token is four characters. Messages and images have a cost of their own."""
    assert estimate_tokens(message) == tokens


@pytest.mark.parametrize(("most", "kept"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 3), (9, 3), (None, 3)])
def test_messages(most: int | None, kept: int) -> None:
    """Turns of 1, 2 and 2 messages are selected whole, the latest first, beside the prompt."""
    history = turns(1, 2, 2)

    assert limits(messages=most).select(history, PROMPT) == (history[3 - kept :], 0)


@pytest.mark.parametrize(("most", "kept"), [(1, 0), (14, 0), (15, 1), (24, 1), (25, 2), (30, 3), (99, 3)])
def test_tokens(most: int, kept: int) -> None:
    """Tokens limit likewise. The prompt counts first and is never left out."""
    history = turns(1, 2, 2)

    assert limits(tokens=most).select(history, PROMPT) == (history[3 - kept :], 5 + [0, 10, 20, 25][kept])


def test_constant_part() -> None:
    """The system prompt and the tools count as tokens."""
    tools = [{"type": "function"}]
    alone, beside = limits(tokens=20), Limits(None, 20, always=(Message.system("1234"),), tools=tools)

    assert alone.select(turns(2), PROMPT) == (turns(2), 15)
    assert beside.select(turns(2), PROMPT) == ((), 5 + 5 + 5)


def test_calibration() -> None:
    """The server's count makes later estimates larger, and never smaller than the rule."""
    limit, history = limits(tokens=15), turns(2)
    assert limit.select(history, PROMPT)[0] == history
    limit.calibrate(10, 20)
    assert limit.select(history, PROMPT)[0] == ()
    limit.calibrate(10, 0)
    limit.calibrate(0, 10)
    assert limit.select(history, PROMPT)[0] == ()
    limit.calibrate(10, 5)
    assert limit.select(history, PROMPT)[0] == history


def test_short_prompts_teach_little() -> None:
    """A template's own tokens are not taken for long words, so a greeting does not exclude the next answer."""
    limit = limits(tokens=6000)
    _, estimated = limit.select((), Message.user("Hi"))
    limit.calibrate(estimated, 80)
    answered = (Turn((Message.user("Hi"), Message.assistant("word " * 1500))),)

    assert limit.select(answered, Message.user("Go on."))[0] == answered


def test_dense_text() -> None:
    """In text with a token per character, the limit holds from the second turn on."""
    limit, prompt, other = limits(tokens=6000), Message.user("語" * 4000), Message.user("語" * 2500)
    _, estimated = limit.select((), prompt)
    assert limit.select((Turn((prompt,)),), other)[0] != ()
    limit.calibrate(estimated, 4000)

    assert limit.select((Turn((prompt,)),), other)[0] == ()


@given(
    lengths=st.lists(st.integers(1, 4), max_size=6),
    messages=st.none() | st.integers(1, 20),
    tokens=st.none() | st.integers(1, 100),
)
def test_limits_never_cut_a_turn(lengths: list[int], messages: int | None, tokens: int | None) -> None:
    """The latest turns are selected whole, and one more would exceed a limit."""
    history = turns(*lengths)
    kept, _ = limits(messages, tokens).select(history, PROMPT)
    sizes = [1 + sum(lengths[place:]) for place in range(len(lengths) + 1)]
    fitting = [size for size in sizes if size <= (messages or 999) and 5 * size <= (tokens or 999)]

    assert kept == history[len(history) - len(kept) :]
    assert 1 + sum(len(turn.messages) for turn in kept) == max(fitting, default=1)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "5"])
@pytest.mark.parametrize("field", ["messages", "tokens"])
def test_refused(limit: int, field: str) -> None:
    """A limit that is not an int of 1 or more is refused."""
    with pytest.raises(InvalidValueError, match=f"max_{field}: .* 1 or more"):
        limits(**{field: limit})
