"""The watch over the context window, with generated conversations that fit into it: no false alarm."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from rxollama.conversation._context_watch import ContextWatch
from rxollama.messages import ChatRequest, ChatResponse, Message, Metrics

_TEXTS = {
    # What a text is made of, and how many tokens a character of it has.
    "prose": ("The quick brown fox jumps over the lazy dog, and nobody knows why it does so. ", 0.22),
    "code": ("for index, value in enumerate(values):\n        total[index] += value * 2\n", 0.3),
    "numbers": ("3.14159, 2.71828, 1.41421, 0.57721;\n", 0.65),
    "chinese": ("天空为什么是蓝色的?因为空气分子散射短波长的光。", 0.65),
    "russian": ("Почему небо голубое? Потому что воздух рассеивает свет. ", 0.28),
}
# How many of the latest messages a template shows the thinking of.
_SHOWN = (0, 1, 1000)
_PER_MESSAGE = 5


class _Talk:
    """A conversation of a person and a model of one tokenizer, and the server's counts of it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._per_character = {kind: tokens * chance.uniform(0.85, 1.2) for kind, (_, tokens) in _TEXTS.items()}
        self._kinds = [chance.choice(list(_TEXTS)), chance.choice(list(_TEXTS))]
        self._tokens: dict[int, int] = {}
        self._texts: list[Message] = []
        self._shown = chance.choice(_SHOWN)
        self._thinks = chance.random() < 0.5
        self.hidden = chance.choice([10, 100, 1500])

    def say(self, role: str) -> Message:
        """Return the next message."""
        content, tokens = self._text(self._chance.choice([20, 300, 4000]))
        thinking, thought = self._text(2000) if role == "assistant" and self._thinks else ("", 0)
        message = Message(role, content, thinking)
        self._texts.append(message)
        self._tokens[id(message)] = tokens
        self._tokens[-id(message)] = thought
        return message

    def count(self, messages: tuple[Message, ...]) -> int:
        """Return the tokens of a prompt."""
        shown = [message for message in messages if message.thinking][-self._shown :] if self._shown else []
        thinking = sum(self._tokens[-id(message)] for message in shown)
        return self.hidden + thinking + sum(self._tokens[id(message)] + _PER_MESSAGE for message in messages)

    def answered(self, message: Message) -> int:
        """Return the tokens of an answer."""
        return self._tokens[id(message)] + self._tokens[-id(message)]

    def _text(self, most: int) -> tuple[str, int]:
        kind = self._chance.choice(self._kinds)
        length = self._chance.randint(1, most)
        text = (_TEXTS[kind][0] * (length // len(_TEXTS[kind][0]) + 1))[:length]
        return text, max(1, int(length * self._per_character[kind]))


def _all(_: int, count: int, __: random.Random) -> tuple[int, int | None]:
    """Count all tokens, and the cached ones."""
    return count, count // 2


def _none_said(_: int, count: int, __: random.Random) -> tuple[int, int | None]:
    """Count all tokens, and do not say which were cached."""
    return count, None


def _uncached(before: int, count: int, chance: random.Random) -> tuple[int, int | None]:
    """Count what is not cached, all or a part of the last prompt being cached."""
    return count - int(before * chance.choice([0, 0.3, 1])), None


def _missing(_: int, count: int, chance: random.Random) -> tuple[int, int | None]:
    """Leave the count out at times."""
    return chance.choice([0, count]), None


Counting = Callable[[int, int, random.Random], tuple[int, "int | None"]]


@pytest.mark.parametrize("counting", [_all, _none_said, _uncached, _missing])
def test_no_false_alarm(counting: Counting) -> None:
    """None of 5,000 answers in conversations that fit is taken for one with messages left out."""
    chance = random.Random(counting.__name__)  # noqa: S311 - Nothing here is secret.
    answers = 0
    alarms: list[str] = []
    while answers < 5000:
        talk = _Talk(chance)
        spoken = tuple(talk.say(role) for _ in range(10) for role in ("user", "assistant"))
        counts = [talk.count(spoken[:end]) for end in range(1, len(spoken), 2)]
        window = max(count + talk.answered(spoken[2 * turn + 1]) for turn, count in enumerate(counts))
        request = ChatRequest(model="m", messages=(), options={"num_ctx": window})
        watch = ContextWatch(request, tools=[], has_through=False)
        for turn, (before, count) in enumerate(pairwise([0, *counts])):
            messages, answer = spoken[: 2 * turn + 1], spoken[2 * turn + 1]
            said, cached = counting(before, count, chance)
            metrics = Metrics(prompt_eval_count=said, prompt_eval_cached_count=cached, eval_count=talk.answered(answer))
            problem = watch.learn(messages, ChatResponse(message=answer, metrics=metrics, done=True))
            alarms.extend([problem] if problem else [])
            answers += 1
    assert alarms == []


def test_estimate_is_near() -> None:
    """A prompt is said not to fit only if it nearly fills the window or exceeds it. One far too long is found."""
    chance = random.Random(3)  # noqa: S311 - As above.
    told = early = missed = 0
    for _ in range(500):
        talk = _Talk(chance)
        spoken = tuple(talk.say(role) for _ in range(10) for role in ("user", "assistant"))
        window = 8192
        watch = ContextWatch(
            ChatRequest(model="m", messages=(), options={"num_ctx": window}), tools=[], has_through=False
        )
        for end in range(1, len(spoken), 2):
            count = talk.count(spoken[:end])
            problem = watch.expect(spoken[:end])
            told += problem is not None
            early += problem is not None and count < window * 0.9
            missed += problem is None and count > window * 1.2 and end > 1
            if count > window:
                break
            metrics = Metrics(prompt_eval_count=count, eval_count=talk.answered(spoken[end]))
            watch.learn(spoken[:end], ChatResponse(message=spoken[end], metrics=metrics, done=True))
    assert early == 0
    assert missed <= 0.05 * told
    assert told > 50
