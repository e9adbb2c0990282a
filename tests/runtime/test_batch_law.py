"""The law of batches: nobody outside can see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from batch_cases import ENDINGS, STAGES, Branch, Case, OneByOne, cases, play, shown
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_answers import Answer, Scripted, answers, record

from rxollama import Ollama, iterate, run
from rxollama import operators as op
from rxollama.errors import StreamError

# A busy machine is no reason to fail.
_ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
_END = record("", done=True)
_TURNS = ("content", "thinking", "chat", "events", "content, coalesce", "thinking, coalesce")


def check(case: Case) -> None:
    """Check that all that is seen of a case with batches is what is seen of it without them."""
    assert play(case, OneByOne) == play(case, Ollama)


def answered(*reads: bytes) -> tuple[Answer, ...]:
    """Return an answer that comes in some reads, and a while later its end."""
    return (Answer((*((0.01, read) for read in reads), (1.0, _END))),)


def said(*texts: str) -> bytes:
    """Return records: of a text its content, of one that begins with "?" its thinking, each with a time of its own."""
    return b"".join(
        record("" if text.startswith("?") else text, text[1:], created_at=f"{place} {text}")
        for place, text in enumerate(texts)
    )


_READS = [
    (said("a", "b", "c"), said("?d", "?e")),
    (said("", ""), said("?a", "?b"), said("c", "d")),
    (said("a"), said("b", "", "c"), said("", "")),
    (record("a", message={"role": "user"}), said("b", "c")),
    (record("a", message={"role": ""}), said("b", "c"), said("?d", "?e")),
    (record("a", message={"role": "tool", "tool_name": "f"}), said("b", "c"), said("d", "e")),
    (said("a", "b"), record("c", message={"tool_calls": [{"function": {"name": "f"}}]}), said("d", "e")),
    (said("", "", "?a"), said("?b", "?c"), said("?d e", "f", "g"), said("h", "i")),
]


class TestTraps:
    """What a batch would show if it were handed on carelessly."""

    def test_consumers_wake_in_the_order_of_the_items(self) -> None:
        """Of two loops over one chat that goes first whose item came first, and not who subscribed first."""
        check(
            Case(answered(said("?a", "?b", "c", "d")), (), (Branch("content", "sum"), Branch("thinking", "sum")), True)
        )

    def test_timers_are_set_in_the_order_of_the_items(self) -> None:
        """The same holds for what emits a while later."""
        branches = (Branch("content, coalesce"), Branch("thinking, coalesce"))
        check(Case(answered(said("?a", "b"), said("?c", "?d", "e", "f")), (), branches, shared=True))

    @pytest.mark.parametrize(
        "reads",
        [
            (said("a"), said("b"), said("", "?c"), said("d", "e")),
            (said("a"), said("?b", "c", "d"), said(""), said("?e")),
            (said("a"), said("?b", "c", "d"), said("", "?e", "?f")),
            (said("a"), said("?b", "c"), record(message={"role": ""}), record(message={"role": "tool"})),
            (said("a", "?b", "c"), record("x", message={"role": "tool"}), said("d", "?e", "f", "")),
        ],
    )
    def test_late_subscribers(self, reads: tuple[bytes, ...]) -> None:
        """Whoever comes late gets the sums that one backlog of all items gives, to the time of each record."""
        late = Branch("chat", start=0.085)
        check(Case((Answer(tuple((0.02, read) for read in reads)),), (), (Branch("chat", "await"), late), shared=True))

    @pytest.mark.parametrize("ending", ENDINGS)
    @pytest.mark.parametrize("reads", _READS)
    def test_messages(self, ending: str, reads: tuple[bytes, ...]) -> None:
        """Where a message begins, and what a chunk without text counts for, is the same for each operator."""
        check(Case(answered(*reads), (), (Branch(ending),)))
        check(Case(answered(*reads), (), (Branch(ending), Branch(ending, "await")), shared=True))

    @pytest.mark.parametrize("stage", STAGES)
    @pytest.mark.parametrize("reads", _READS)
    def test_messages_of_a_chat(self, stage: str, reads: tuple[bytes, ...]) -> None:
        """The same holds for each operator from a chat to a chat, whose subscribers get batches or items."""
        waiting, loud = (Branch("chat", "sum"), Branch("meter", "await")), Branch("chat", act="leave", place=3)
        check(Case(answered(*reads), (stage,), waiting, shared=True))
        check(Case(answered(*reads), ("log", stage), (*waiting, loud), shared=True))

    @pytest.mark.parametrize("stage", ["retry", "fallback"])
    @pytest.mark.parametrize("read", [said("", ""), said("a", "b"), said("", "?a", "b")])
    def test_an_attempt_that_fails(self, stage: str, read: bytes) -> None:
        """Behind the first text of an answer no other is asked for, also if it came with many others."""
        failed = Answer(((0.01, read),), breaks=True)
        check(Case((failed, *answered(said("c", "d"))), (stage,), (Branch("chat", "await"),)))

    def test_a_subscriber_who_gets_items_beside_one_who_absorbs(self) -> None:
        """Each item reaches all subscribers before the next item does."""
        branches = (Branch("collect"), Branch("content"), Branch("thinking"))
        check(Case(answered(said("a", "?b", "c")), (), branches, shared=True))

    def test_a_slow_consumer(self) -> None:
        """An item without text goes on with what waited before it, and not with what comes after it."""
        check(Case(answered(said("a"), said("", "", "?b", "c")), (), (Branch("chat", "sum"),)))


@pytest.mark.parametrize("ending", ENDINGS)
def test_endings(ending: str) -> None:
    """Each operator, whoever consumes it."""

    @given(cases([ending], ["share", "log"], most=1))
    @settings(_ANY_MACHINE, max_examples=20)
    def same(case: Case) -> None:
        check(case)

    same()


@pytest.mark.parametrize("stage", STAGES)
def test_stages(stage: str) -> None:
    """Each operator from a chat to a chat, before and behind another."""

    @given(st.data())
    @settings(_ANY_MACHINE, max_examples=20)
    def same(data: st.DataObject) -> None:
        case = data.draw(cases(("chat", "content", "collect", "coalesce", "accumulate"), ["share", "log"], most=1))
        check(case._replace(stages=(stage, *case.stages) if data.draw(st.booleans()) else (*case.stages, stage)))

    same()


@given(cases(_TURNS, ["share"], most=1))
@settings(_ANY_MACHINE, max_examples=60)
def test_order(case: Case) -> None:
    """The subscribers of one chat, of which some want its thinking, some its content and some both."""
    check(case)


@given(cases(most=3))
@settings(_ANY_MACHINE, max_examples=80)
def test_chains(case: Case) -> None:
    """Any operators, and any subscribers."""
    check(case)


def _seen(read: Callable[[], Iterable[object]]) -> list[str]:
    seen: list[str] = []
    try:
        seen += map(shown, read())
    except StreamError as error:
        seen.append(shown(error))
    return seen


@given(answers())
@settings(_ANY_MACHINE, max_examples=15)
def test_threads(answer: Answer) -> None:
    """A plain `for` with `overflow="keep"` gets each item, and `run` the whole, from the background loop."""
    at_once = Answer(tuple((0.0, piece) for _, piece in answer.pieces), breaks=answer.breaks)

    def all_seen(client: type[Ollama]) -> list[list[str]]:
        with client(transport=Scripted((at_once,))) as ollama:
            chat = ollama.chat("m", "Hi")
            return [
                _seen(lambda: iterate(chat, overflow="keep")),
                _seen(lambda: iterate(chat.pipe(op.events()))),
                _seen(lambda: ["".join(iterate(chat.pipe(op.content())))]),
                _seen(lambda: [run(chat)]),
                _seen(lambda: [run(chat.pipe(op.accumulate()))]),
            ]

    assert all_seen(OneByOne) == all_seen(Ollama)
