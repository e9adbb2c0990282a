"""The part of a request that matters for its wait."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from rxollama._wire import encode_chat, encode_generate
from rxollama.client._learned_wait import SentSize
from rxollama.client._sent_request import SentRequest, is_remote, read_sent
from rxollama.messages import ChatRequest, GenerateRequest, KeepAlive, Message

SYSTEM = Message("system", "Be short. " * 50)
HELLO = Message("user", 'Hello, "images":[1]')
HI = Message("assistant", "Hi.")
BYE = Message("user", "Bye.")


def sent(*messages: Message, **options: Any) -> SentRequest:
    """Read a chat."""
    return read_sent(encode_chat(ChatRequest(model="m", messages=messages, **options)))


def test_length() -> None:
    """The length is that of the body."""
    body = encode_chat(ChatRequest(model="m", messages=[HELLO]))
    assert read_sent(body).size_after(None) == SentSize(len(body))


def test_images() -> None:
    """Images do not count, of a chat or of a generation."""
    plain, pictured = Message("user", "Look."), Message("user", "Look.", images=(b"png" * 3000,))
    assert abs(sent(pictured).length - sent(plain).length) < 20
    assert [sent(plain).has_images, sent(pictured).has_images] == [False, True]
    generated = read_sent(encode_generate(GenerateRequest(model="m", prompt="Look.", images=[b"png" * 3000])))
    assert generated.has_images
    assert generated.length < 100


def test_known() -> None:
    """The messages at the beginning that the request before had are known, with what stands around them."""
    first, second = sent(SYSTEM, HELLO), sent(SYSTEM, HELLO, HI, BYE)
    assert second.size_after(first) == SentSize(second.length, second.length - second.parts[3].length)
    assert second.size_after(second).known == second.length
    other = sent(SYSTEM, BYE)
    assert other.size_after(first).known == other.length - other.parts[1].length


def test_answers() -> None:
    """An answer is known as the reply to all of the request before, and without thinking."""
    first = sent(SYSTEM, HELLO)
    thoughtful = sent(SYSTEM, HELLO, Message("assistant", "Hi.", "A greeting."), BYE)
    assert thoughtful.size_after(first).known == thoughtful.length - sum(part.length for part in thoughtful.parts[2:])
    branched = sent(SYSTEM, HI, BYE)
    assert branched.size_after(first).known == branched.length - sum(part.length for part in branched.parts[1:])
    assert sent(HI, BYE).size_after(SentRequest(0)).known == 0


def test_nothing_known() -> None:
    """Nothing is known of a conversation that begins otherwise."""
    assert sent(HELLO).size_after(sent(SYSTEM, HELLO)).known == 0


def test_generate() -> None:
    """A prompt is one message."""
    one, other = (read_sent(encode_generate(GenerateRequest(model="m", prompt=text))) for text in ("One.", "Two."))
    assert (one.size_after(one).known, one.size_after(other).known) == (one.length, 0)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, 300.0),
        (10, 10.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("0", 0.0),
        (-1, math.inf),
        ("-1m", math.inf),
        (timedelta(minutes=1), 60.0),
    ],
)
def test_keep_alive(given: KeepAlive | None, seconds: float) -> None:
    """The time for which the model stays loaded is read as the server reads it."""
    assert sent(HELLO, keep_alive=given).keep_alive == seconds


def test_streamed() -> None:
    """An answer that is not streamed has no first token of its own."""
    assert [sent(HELLO).is_streamed, sent(HELLO, stream=False).is_streamed] == [True, False]


def test_not_readable() -> None:
    """Only the length of a body counts that cannot be read."""
    assert read_sent(b"{") == SentRequest(1)


def test_remote() -> None:
    """The tag of a name shows a model of the cloud."""
    assert [is_remote(name) for name in ("m", "m:cloud", "m:120b-cloud", "cloud")] == [False, True, True, False]
