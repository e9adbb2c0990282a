"""The question before a call."""

from __future__ import annotations

import pytest

from rxollama.cli._consent import Consent, Question
from rxollama.messages import Function, ToolCall
from rxollama.tools import Denied

CALL = ToolCall(Function("dig", {"at": "here"}))
LONG = ToolCall(Function("dig", {"at": "here " * 50}))


class Person:
    """Be somebody who answers, and remembers what was shown."""

    columns = 20

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.shown: list[str] = []
        self.asked: list[str] = []

    def call(self, text: str) -> None:
        """See a call."""
        self.shown.append(text)

    def line(self, prompt: str) -> str:
        """Answer, or leave."""
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
    """Yes is yes; nothing is no; what stands after a no is why."""
    assert Consent().ask(CALL, Person(answer)) == approval


@pytest.mark.parametrize("answer", ["yes please", "now", "never mind", "yn", "s", "1"])
def test_anything_else_is_asked_again(answer: str) -> None:
    """What is none of the answers is not taken for one."""
    person = Person(answer, "y")

    assert Consent().ask(CALL, person) is True
    assert person.asked == [
        "  run it? [y]es, [n]o and why, [a]lways dig, [q]uit: ",
        "  y, n, a or q; what the model should be told goes after the n: ",
    ]


@pytest.mark.parametrize("answers", [["q"], ["Quit"], []])
def test_leaving(answers: list[str]) -> None:
    """To quit, or to have no more to say, is what Ctrl-C is."""
    with pytest.raises(KeyboardInterrupt):
        Consent().ask(CALL, Person(*answers))


def test_always() -> None:
    """A tool that is always allowed is that one only."""
    consent = Consent()

    assert not consent.is_given(CALL)
    assert consent.ask(CALL, Person("a")) is True
    assert consent.is_given(LONG)
    assert not consent.is_given(ToolCall(Function("burn")))


def test_name_that_steers_the_terminal() -> None:
    """A tool's name may be anybody's, and is shown harmless."""
    person = Person("y")
    Consent().ask(ToolCall(Function("dig\x1b[2J")), person)

    assert person.asked == ['  run it? [y]es, [n]o and why, [a]lways "dig\\u001b[2J", [q]uit: ']


def test_long_arguments() -> None:
    """Of a long call the question says how much is not shown, and offers to show it."""
    person = Person("s", "y")

    assert Consent().ask(LONG, person) is True
    assert "[… 140 characters …]" in person.shown[0]
    assert person.shown[1] == f'dig(at="{"here " * 50}")'
    assert person.asked == ["  run it? [y]es, [n]o and why, [a]lways dig, [q]uit, [s]how all of it: "] * 2


async def test_answer_that_comes_too_late() -> None:
    """Of several answers the first counts; the others, which may come after the stream's end, do no harm."""
    question = Question(CALL)

    question.settle(Denied("no"))
    question.settle(True)

    assert await question.answer() == Denied("no")
