"""The answers of `approve=`, and what becomes of each."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Mapping
from typing import Any

import pytest
import reactivex
from heard import PATIENCE, Heard
from reactivex.subject import Subject
from talks import calls, failures_of, results_of

from rxollama import Ollama, ToolCall
from rxollama.errors import InvalidValueError, ToolArgumentsError, ToolDeniedError
from rxollama.testing import Reply, ScriptedOllama
from rxollama.tools import Approval, Denied, Tool, ToolExitError

DENIED = "Error: this call of 'add' was not allowed"


def add(one: int, other: int) -> int:
    """Add."""
    return one + other


def in_a_thread(answer: Any) -> Any:
    """Answer from a function."""

    def approve(_: ToolCall) -> Any:
        return answer

    return approve


def in_a_coroutine(answer: Any) -> Any:
    """Answer from a coroutine."""

    async def approve(_: ToolCall) -> Any:
        await asyncio.sleep(0)
        return answer

    return approve


def in_an_observable(answer: Any) -> Any:
    """Answer from an observable that never completes."""

    def approve(_: ToolCall) -> reactivex.Observable[Any]:
        return reactivex.concat(reactivex.of(answer, "ignored"), reactivex.never())

    return approve


@pytest.mark.parametrize("way", [in_a_thread, in_a_coroutine, in_an_observable])
@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (True, "3"),
        (False, DENIED),
        (Denied(), DENIED),
        (Denied("not on a Sunday"), f"{DENIED}: not on a Sunday"),
        ({"one": 10, "other": 20}, "30"),
        ({"one": "10", "other": 20}, "30"),
    ],
)
def test_answers(way: Any, answer: Approval, result: str, ollama: Ollama, server: ScriptedOllama) -> None:
    """Every answer works from a function, a coroutine and an observable."""
    server.enqueue(calls(("add", {"one": 1, "other": 2})), Reply.answer("Done."))
    heard = Heard(ollama.converse("m", "Go", tools=[add], approve=way(answer))).wait()

    assert heard.error is None
    assert results_of(heard.items) == [result]
    assert failures_of(heard.items) == [result] * result.startswith("Error")
    # The history has what the model called, whatever was made of it.
    assert server.requests[1].json["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"one": 1, "other": 2}


@pytest.mark.parametrize("answer", [None, "yes", 1, ["one"]])
def test_no_answer(answer: Any, ollama: Ollama, server: ScriptedOllama) -> None:
    """A value that is not an answer ends the stream, and the tool does not run."""
    server.enqueue(calls(("add", {"one": 1, "other": 2})))
    ran = threading.Event()

    def add(one: int, other: int) -> int:  # noqa: ARG001 - A tool is known by its arguments.
        ran.set()
        return 0

    heard = Heard(ollama.converse("m", "Go", tools=[add], approve=in_a_thread(answer)))
    assert isinstance(heard.failure, InvalidValueError)
    assert heard.failure.field == "approve"
    assert not ran.is_set()


def test_nobody(ollama: Ollama, server: ScriptedOllama) -> None:
    """An observable that completes without an answer denies the call."""
    server.enqueue(calls(("add", {"one": 1, "other": 2})), Reply.answer("Done."))
    heard = Heard(ollama.converse("m", "Go", tools=[add], approve=lambda _: reactivex.empty())).wait()
    assert results_of(heard.items) == [f"{DENIED}: nobody answered"]


def test_cancelled(ollama: Ollama, server: ScriptedOllama) -> None:
    """A dialog that is closed, which cancels the awaited future, denies the call."""
    server.enqueue(calls(("add", {"one": 1, "other": 2})), Reply.answer("Done."))

    async def approve(_: ToolCall) -> bool:
        answer = asyncio.get_running_loop().create_future()
        answer.cancel()
        await answer
        return True

    heard = Heard(ollama.converse("m", "Go", tools=[add], approve=approve)).wait()
    assert heard.error is None
    assert results_of(heard.items) == [f"{DENIED}: nobody answered"]


def test_half_a_letter(ollama: Ollama, server: ScriptedOllama) -> None:
    """A reason with half a surrogate pair is escaped."""
    server.enqueue(calls(("add", {"one": 1, "other": 2})), Reply.answer("Done."))
    heard = Heard(ollama.converse("m", "Go", tools=[add], approve=in_a_thread(Denied("caf\udce9")))).wait()
    assert heard.error is None
    assert results_of(heard.items) == [rf"{DENIED}: caf\udce9"]


@pytest.mark.parametrize("answer", ["arguments", "yes"])
def test_changed_in_place(answer: str, ollama: Ollama, server: ScriptedOllama) -> None:
    """Arguments that `approve` changes in place are those that the tool receives."""
    server.enqueue(calls(("add", {"one": 1, "other": 2})), Reply.answer("Done."))

    def approve(call: ToolCall) -> Approval:
        call.arguments["one"] = 10
        return call.arguments if answer == "arguments" else True

    assert results_of(Heard(ollama.converse("m", "Go", tools=[add], approve=approve)).wait().items) == ["12"]


NESTED = {"to": {"city": "Oslo", "stops": ["Hamar", {"name": "Lillehammer"}]}}


def change(arguments: dict[str, Any]) -> None:
    """Change arguments at every depth."""
    arguments["to"]["city"] = "Rome"
    arguments["to"]["stops"][1]["name"] = "Pisa"
    arguments["to"]["stops"].append("Milan")
    arguments["more"] = True


@pytest.mark.parametrize("who", ["tool", "async tool", "approve", "schema"])
def test_history_is_not_changed(who: str, ollama: Ollama, server: ScriptedOllama) -> None:
    """A tool or `approve` may change its arguments at any depth: the model is told what it said."""
    server.enqueue(calls(("travel", NESTED)), Reply.answer("Done."))
    seen: list[Any] = []

    def travel(to: dict[str, Any], more: bool = False) -> str:
        change({"to": to})
        seen.append(more)
        return "there"

    async def travel_async(to: Any, more: Any = None) -> str:
        change({"to": to})
        seen.append(more)
        return "there"

    def approve(call: ToolCall) -> bool:
        change(call.arguments)
        return True

    schema = {"type": "function", "function": {"name": "travel"}}
    tools = {"async tool": Tool(travel_async, name="travel"), "schema": Tool(schema, run=travel)}
    talk = ollama.converse("m", "Go", tools=[tools.get(who, travel)], approve=approve if who == "approve" else None)
    heard = Heard(talk).wait()

    assert results_of(heard.items) == ["there"]
    assert seen == [True if who == "approve" else None if who == "async tool" else False]
    assert [call.arguments for chunk in heard.items for call in chunk.message.tool_calls] == [NESTED]
    assert server.requests[1].json["messages"][1]["tool_calls"][0]["function"]["arguments"] == NESTED


@pytest.mark.parametrize("where", ["thread", "loop"])
def test_leaving(where: str, ollama: Ollama, server: ScriptedOllama) -> None:
    """An `approve` that calls `sys.exit` ends the stream with a `ToolExitError`."""
    server.enqueue(calls(("add", {"one": 1, "other": 2})))

    def approve(_: ToolCall) -> bool:
        sys.exit("leaving")

    async def approve_async(_: ToolCall) -> bool:
        sys.exit("leaving")

    asked = approve if where == "thread" else approve_async
    failure = Heard(ollama.converse("m", "Go", tools=[add], approve=asked)).failure
    assert isinstance(failure, ToolExitError)
    assert str(failure) == "approve= raised SystemExit for the tool 'add'"
    assert isinstance(failure.__cause__, SystemExit)


def test_failing(ollama: Ollama, server: ScriptedOllama) -> None:
    """An `approve` that raises ends the stream with that error."""
    server.enqueue(calls(("add", {"one": 1, "other": 2})))

    def approve(_: ToolCall) -> bool:
        raise LookupError("no such person")

    assert isinstance(Heard(ollama.converse("m", "Go", tools=[add], approve=approve)).failure, LookupError)


def test_other_arguments_that_do_not_fit(ollama: Ollama, server: ScriptedOllama) -> None:
    """Other arguments are checked as the model's are."""
    server.enqueue(calls(("add", {"one": 1, "other": 2})), Reply.answer("Done."))
    changed: Mapping[str, Any] = {"one": 1}
    heard = Heard(ollama.converse("m", "Go", tools=[add], approve=lambda _: changed)).wait()
    assert "`other`" in failures_of(heard.items)[0]


def test_not_asked(ollama: Ollama, server: ScriptedOllama) -> None:
    """`approve` is not asked about a call that cannot be made."""
    server.enqueue(calls(("launch", {}), ("add", {"one": "x"})), Reply.answer("Done."))
    asked: list[ToolCall] = []

    def approve(call: ToolCall) -> bool:
        asked.append(call)
        return True

    heard = Heard(ollama.converse("m", "Go", tools=[add], approve=approve)).wait()
    assert len(failures_of(heard.items)) == 2
    assert asked == []


def test_one_at_a_time(ollama: Ollama, server: ScriptedOllama) -> None:
    """`approve` is asked about one call at a time, in order, while allowed calls run."""
    given = [{"one": place, "other": 0} for place in range(3)]
    server.enqueue(calls(*[("add", arguments) for arguments in given]), Reply.answer("Done."))
    ran = [threading.Event() for _ in given]
    asked: list[int] = []

    def add(one: int, other: int) -> int:
        ran[one].set()
        return one + other

    def approve(call: ToolCall) -> bool:
        place = int(call.arguments["one"])
        assert asked == list(range(place))
        # The one before has been run while this one is being asked for.
        assert place == 0 or ran[place - 1].wait(PATIENCE)
        asked.append(place)
        return True

    heard = Heard(ollama.converse("m", "Go", tools=[add], approve=approve)).wait()
    assert heard.error is None
    assert results_of(heard.items) == ["0", "1", "2"]


def test_a_person(ollama: Ollama, server: ScriptedOllama) -> None:
    """The answer of a subject may come later, from another thread."""
    server.enqueue(calls(("add", {"one": 1, "other": 2})), Reply.answer("Done."))
    asked, answers = threading.Event(), Subject[Approval]()

    def approve(_: ToolCall) -> reactivex.Observable[Approval]:
        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            subscription = answers.subscribe(observer, scheduler=scheduler)
            asked.set()
            return subscription

        return reactivex.Observable(subscribe)

    heard = Heard(ollama.converse("m", "Go", tools=[add], approve=approve))
    assert asked.wait(PATIENCE)
    assert not heard.over.is_set()
    answers.on_next(True)
    assert results_of(heard.wait().items) == ["3"]


@pytest.mark.parametrize("kind", [ToolDeniedError, ToolArgumentsError])
def test_raised(kind: Any, ollama: Ollama, server: ScriptedOllama) -> None:
    """A denied call ends the stream if `raise_on=` asks for it."""
    server.enqueue(calls(("add", {"one": 1, "other": 2})), Reply.answer("Done."))
    heard = Heard(ollama.converse("m", "Go", tools=[add], approve=lambda _: False, raise_on=kind)).wait()
    assert type(heard.error) is (ToolDeniedError if kind is ToolDeniedError else type(None))
