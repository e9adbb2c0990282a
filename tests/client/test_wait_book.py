"""Whole conversations with a server of known speed: each wait is foreseen."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rxollama._wire import encode_chat
from rxollama.client._sent_request import read_sent
from rxollama.client._wait_book import WaitBook
from rxollama.messages import ChatChunk, ChatRequest, ClientTiming, Message

SECOND = 1_000_000_000
KEY = ("http://gpu:11434", "m:latest")
LOAD = 8.0
PACE = 200.0


class Server:
    """
    A server with one slot in made-up time.

    Args:
        tells: Whether it says how much of a prompt came from its cache.
    """

    def __init__(self, *, tells: bool) -> None:
        self._tells = tells
        self._context: list[Message] = []
        self.is_loaded = False

    def unload(self) -> None:
        """Unload the model, and forget the cache."""
        self.is_loaded, self._context = False, []

    def answer(self, messages: list[Message], answer: Message) -> tuple[float, ChatChunk]:
        """Return the wait for the first token, and the last chunk."""
        same = 0
        while same < min(len(messages), len(self._context)) and messages[same] == self._context[same]:
            same += 1
        tokens, cached = _tokens(messages), _tokens(messages[:same])
        load, read = 0.0 if self.is_loaded else LOAD, (tokens - cached) / PACE
        self.is_loaded, self._context = True, [*messages, answer]
        metrics: dict[str, Any] = {
            "load_duration": round((load or 0.03) * SECOND),
            "prompt_eval_count": tokens,
            "prompt_eval_cached_count": cached if self._tells else None,
            "prompt_eval_duration": round(read * SECOND),
        }
        first = load + read + 0.05
        timing = ClientTiming(time_to_first_token=round(first * SECOND))
        return first, ChatChunk(done=True, done_reason="stop", client=timing, **metrics)


def _tokens(messages: list[Message]) -> int:
    return sum(round(len(message.content) / 4.6) + 10 for message in messages)


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_foreseen(seed: int, tells: bool) -> None:
    """After a first cold answer each wait is foreseen within a fifth, whether or not the server tells of its cache."""
    draw = random.Random(seed)  # noqa: S311 - It is not a secret.
    server, book = Server(tells=tells), WaitBook({}, list)
    system = Message("system", "You are helpful. " * 40)
    history = [system]
    for turn in range(30):
        if draw.random() < 0.1:
            server.unload()
        history = [system] if draw.random() < 0.1 else history
        history = [*history, Message("user", "word " * draw.randint(2, 800))]
        sent = read_sent(encode_chat(ChatRequest(model="m", messages=history)))
        expected = book.seconds(KEY, sent, is_loaded=server.is_loaded)
        answer = Message("assistant", "answer " * draw.randint(5, 300))
        first, last = server.answer(history, answer)
        if turn:
            assert expected == pytest.approx(first, rel=0.2, abs=0.3)
        book.learn(KEY, sent, last, float(turn))
        history = [*history, answer]
