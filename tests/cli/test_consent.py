"""The question before a call."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rxollama.cli._consent import Consent, Question
from rxollama.messages import Function, ToolCall
from rxollama.tools import Denied

CALL = ToolCall(Function("dig", {"at": "here"}))
LONG = ToolCall(Function("dig", {"at": "here " * 50}))


class Person:
    """A person with prepared answers, and a record of what was shown."""

    columns = 20

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.shown: list[str] = []
        self.asked: list[str] = []

    def show_call(self, text: str) -> None:
        """Record a call."""
        self.shown.append(text)

    def read_answer(self, prompt: str) -> str:
        """Return the next answer, or raise EOFError after the last."""
        self.asked.append(prompt)
        if not self._answers:
            raise EOFError
        return self._answers.pop(0)


@pytest.mark.parametrize(
    ("answer", "approval"),
    [
        ("y", True),
        (" YES ", True),
        ("", False),
        ("n", Denied()),
        ("No", Denied()),
        ("n too late", Denied("too late")),
        ("no, Not now", Denied("Not now")),
    ],
)
def test_answers(answer: str, approval: object) -> None:
    """Yes allows a call, an empty line denies it, and the text after a no is the reason."""
    assert Consent().ask(CALL, Person(answer)) == approval


@pytest.mark.parametrize("answer", ["yes please", "now", "never mind", "yn", "s", "1"])
def test_anything_else_is_asked_again(answer: str) -> None:
    """Any other text is not an answer, and the question is asked again."""
    person = Person(answer, "y")

    assert Consent().ask(CALL, person) is True
    assert person.asked == [
        "  run it? [y]es, [n]o and why, [a]lways dig, [q]uit: ",
        "  answer y, n, a or q; text after the n is passed to the model: ",
    ]


@pytest.mark.parametrize("answers", [["q"], ["Quit"], []])
def test_leaving(answers: list[str]) -> None:
    """`q` and the end of input stop the answer as Ctrl-C does."""
    with pytest.raises(KeyboardInterrupt):
        Consent().ask(CALL, Person(*answers))


def test_always() -> None:
    """`a` allows every call of this tool, and of no other."""
    consent = Consent()

    assert not consent.is_always_allowed(CALL)
    assert consent.ask(CALL, Person("a")) is True
    assert consent.is_always_allowed(LONG)
    assert not consent.is_always_allowed(ToolCall(Function("burn")))


def test_name_that_steers_the_terminal() -> None:
    """Control characters in a tool's name are escaped in the question."""
    person = Person("y")
    Consent().ask(ToolCall(Function("dig\x1b[2J")), person)

    assert person.asked == ['  run it? [y]es, [n]o and why, [a]lways "dig\\u001b[2J", [q]uit: ']


def test_long_arguments() -> None:
    """A long call is shortened, and the question offers to show all of it."""
    person = Person("s", "y")

    assert Consent().ask(LONG, person) is True
    assert "[… 140 characters …]" in person.shown[0]
    assert person.shown[1] == f'dig(at="{"here " * 50}")'
    assert person.asked == ["  run it? [y]es, [n]o and why, [a]lways dig, [q]uit, [s]how all of it: "] * 2


async def test_second_answer() -> None:
    """The first answer counts, and later ones are ignored."""
    question = Question(CALL)

    question.answer(Denied("no"))
    question.answer(True)

    assert await question.wait() == Denied("no")


async def test_answer_after_the_stream_ended() -> None:
    """An answer is ignored if the stream ended while the question was open."""
    question = Question(CALL)
    waiting = asyncio.ensure_future(question.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    question.answer(True)


async def test_answer_from_another_thread() -> None:
    """A question is answered from any thread."""
    question = Question(CALL)
    thread = threading.Thread(target=question.answer, args=(True,))
    thread.start()

    assert await question.wait() is True
    thread.join()
