"""Rounds that break and are repeated: only the broken round begins over, and no tool runs twice."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import reactivex
from heard import PATIENCE, Heard
from reactivex import Observable
from talks import calls, results_of

from rxollama import ChatChunk, Conversation, Message, Ollama, ToolCall, run
from rxollama import operators as op
from rxollama.errors import TooManyRoundsError, TruncatedError
from rxollama.messages import ResponseBuilder, Restart
from rxollama.testing import Reply, ScriptedOllama
from rxollama.tools import ToolProgress

WAYS: dict[str, dict[str, Any]] = {
    "restart": {"after_break": "restart"},
    "continue": {"after_break": "continue"},
    "through": {"through": op.retry(backoff=0, after_first="restart")},
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


def call(place: str, call_id: str = "") -> dict[str, Any]:
    """Return a call of the tool `look`."""
    return {"name": "look", "arguments": {"place": place}, "id": call_id}


def answer(*given: dict[str, Any], content: str = "") -> Reply:
    """Return an answer that calls tools."""
    return Reply.answer(content, tool_calls=given)


def scopes_of(chunks: list[ChatChunk]) -> list[str]:
    """Return the scopes of the restarts."""
    return [chunk.restart.scope for chunk in chunks if chunk.restart is not None]


def messages_of(chunks: list[ChatChunk]) -> list[tuple[str, str]]:
    """Return the role and content of each message that stands."""
    builder = ResponseBuilder()
    for chunk in chunks:
        builder.add(chunk)
    return [(message.role, message.content) for message in builder.snapshot().messages]


class Look:
    """The tool `look`, which counts how often it runs."""

    def __init__(self) -> None:
        self.places: list[str] = []

    async def look(self, place: str) -> str:
        """Look at a place."""
        self.places.append(place)
        return f"seen {place}"


@ways
@pytest.mark.parametrize("pieces", [1, 2])
def test_runs_once(ollama: Ollama, server: ScriptedOllama, way: dict[str, Any], pieces: int) -> None:
    """A call that the repeated round makes again takes over the result, under its own id."""
    server.enqueue(answer(call("sea", "old_1"), call("sky", "old_2")).truncated(pieces))
    server.enqueue(answer(call("sea", "new_1"), call("sky", "new_2")), Reply.answer("Both are blue."))
    tool = Look()
    heard = Heard(ollama.converse("m", "Go", tools=[tool.look], **way)).wait()

    assert heard.error is None
    assert tool.places == ["sea", "sky"]
    assert results_of(heard.items) == ["seen sea", "seen sky"]
    assert scopes_of(heard.items) == ["message"]
    assert messages_of(heard.items) == [
        ("assistant", ""),
        ("tool", "seen sea"),
        ("tool", "seen sky"),
        ("assistant", "Both are blue."),
    ]
    sent = server.requests[-1].json["messages"]
    assert [each["id"] for each in sent[1]["tool_calls"]] == ["new_1", "new_2"]
    assert [each["tool_call_id"] for each in sent[2:]] == ["new_1", "new_2"]
    assert server.requests[0].body == server.requests[1].body


def test_several_times(ollama: Ollama, server: ScriptedOllama) -> None:
    """A round that breaks again and again hands its results on each time, also to calls without an id."""
    server.enqueue(*(answer(call("sea", call_id)).truncated(1) for call_id in ("a", "", "b")))
    server.enqueue(answer(call("sea", "a")), Reply.answer("Blue."))
    tool = Look()
    heard = Heard(ollama.converse("m", "Go", tools=[tool.look], after_break="restart")).wait()
    assert heard.error is None
    assert tool.places == ["sea"]
    [result] = [chunk for chunk in heard.items if chunk.message.role == "tool"]
    assert (result.message.content, result.message.tool_call_id) == ("seen sea", "a")


def test_equal_calls(ollama: Ollama, server: ScriptedOllama) -> None:
    """Equal calls are matched once each, and what is left is made."""
    server.enqueue(answer(call("sea"), call("sea")).truncated(2))
    server.enqueue(answer(call("sea"), call("sea"), call("sea")), Reply.answer("Blue."))
    tool = Look()
    heard = Heard(ollama.converse("m", "Go", tools=[tool.look], after_break="restart")).wait()
    assert tool.places == ["sea"] * 3
    assert results_of(heard.items) == ["seen sea"] * 3


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        (1, True, 2),
        ([0], [False], 2),
        ({"a": 1}, {"a": True}, 2),
        ([1], [1, 1], 2),
        ({"a": 1}, {"b": 1}, 2),
        ({"a": [1], "b": "x"}, {"b": "x", "a": [1]}, 1),
    ],
)
def test_equal_arguments(ollama: Ollama, server: ScriptedOllama, first: Any, second: Any, count: int) -> None:
    """A result is taken over only for the same arguments: `true` is not 1, though Python says that they are equal."""
    given: list[Any] = []

    def note(value: Any) -> str:
        given.append(value)
        return repr(value)

    begun, again = ({"name": "note", "arguments": {"value": value}} for value in (first, second))
    server.enqueue(answer(begun).truncated(1), answer(again), Reply.answer("Noted."))
    heard = Heard(ollama.converse("m", "Go", tools=[note], after_break="restart")).wait()
    assert len(given) == count
    assert results_of(heard.items) == [repr(given[-1])]


def test_still_running(ollama: Ollama, server: ScriptedOllama) -> None:
    """A tool that runs while its round breaks goes on, and reports its progress under the new id."""
    server.enqueue(answer(call("sea", "old")).truncated(1), answer(call("sea", "new")), Reply.answer("Blue."))
    may_end = threading.Event()
    runs: list[str] = []

    def look(place: str) -> Any:
        runs.append(place)
        yield ToolProgress("before")
        assert may_end.wait(PATIENCE)
        yield ToolProgress("after")
        yield "seen"

    def watch(chunk: ChatChunk) -> None:
        if chunk.done and chunk.message.role != "tool":
            may_end.set()

    heard = Heard(ollama.converse("m", "Go", tools=[look], after_break="restart"), watch).wait()
    assert runs == ["sea"]
    told = [(each.tool_progress, each.message.tool_call_id) for each in heard.items if each.tool_progress]
    assert told == [("before", "old"), ("after", "new")]
    assert results_of(heard.items) == ["seen"]


def test_not_repeated(ollama: Ollama, server: ScriptedOllama) -> None:
    """A call that is not repeated is cancelled when the round ends, and has no result."""
    server.enqueue(answer(call("sea")).truncated(1), answer(call("sky")), Reply.answer("Blue."))
    ends: list[str] = []

    async def look(place: str) -> str:
        try:
            await asyncio.sleep(0 if place == "sky" else PATIENCE)
        except asyncio.CancelledError:
            ends.append(f"left {place}")
            raise
        ends.append(f"saw {place}")
        return place

    heard = Heard(ollama.converse("m", "Go", tools=[look], after_break="restart")).wait()
    assert heard.error is None
    assert results_of(heard.items) == ["sky"]
    assert sorted(ends) == ["left sea", "saw sky"]
    assert messages_of(heard.items) == [("assistant", ""), ("tool", "sky"), ("assistant", "Blue.")]


def test_no_call_any_more(ollama: Ollama, server: ScriptedOllama) -> None:
    """A round that calls nothing the second time ends the conversation."""
    server.enqueue(answer(call("sea")).truncated(1), Reply.answer("Blue."))
    tool = Look()
    heard = Heard(ollama.converse("m", "Go", tools=[tool.look], after_break="restart")).wait()
    assert messages_of(heard.items) == [("assistant", "Blue.")]
    assert len(server.requests) == 2


@pytest.mark.parametrize("calls_again", [True, False])
def test_last_round(ollama: Ollama, server: ScriptedOllama, calls_again: bool) -> None:
    """Only the calls that stand are calls in the last round."""
    server.enqueue(answer(call("sea")).truncated(1), answer(call("sea")) if calls_again else Reply.answer("Blue."))
    tool = Look()
    heard = Heard(ollama.converse("m", "Go", tools=[tool.look], max_rounds=1, after_break="restart")).wait()
    assert tool.places == []
    if calls_again:
        assert type(heard.failure) is TooManyRoundsError
    else:
        assert messages_of(heard.items) == [("assistant", "Blue.")]


def test_approved_once(ollama: Ollama, server: ScriptedOllama) -> None:
    """A call that is repeated needs no second approval."""
    server.enqueue(answer(call("sea")).truncated(1), answer(call("sea")), Reply.answer("Blue."))
    asked: list[ToolCall] = []

    def approve(asked_for: ToolCall) -> bool:
        asked.append(asked_for)
        return True

    tool = Look()
    heard = Heard(ollama.converse("m", "Go", tools=[tool.look], approve=approve, after_break="restart")).wait()
    assert heard.error is None
    assert len(asked) == len(tool.places) == 1


@pytest.mark.parametrize("pieces", range(4))
@ways
def test_a_later_round(ollama: Ollama, server: ScriptedOllama, way: dict[str, Any], pieces: int) -> None:
    """The rounds before the broken one stand, in the stream, in the history and in what is sent."""
    words = ["The sea", " is", " blue."]
    server.enqueue(answer(call("sea", "1"), content="Let me see."), Reply.answer(words).truncated(pieces))
    goes_on = "after_break" in way and way["after_break"] == "continue" and pieces
    server.enqueue(Reply.answer(words[pieces:] if goes_on else words))
    tool = Look()
    conversation = Conversation(ollama, "m", tools=[tool.look], **way)
    heard = Heard(conversation.send("Which colour?")).wait()

    whole = [("assistant", "Let me see."), ("tool", "seen sea"), ("assistant", "The sea is blue.")]
    assert heard.error is None
    assert tool.places == ["sea"]
    assert messages_of(heard.items) == whole
    assert [(each.role, each.content) for each in conversation.messages] == [("user", "Which colour?"), *whole]
    assert scopes_of(heard.items) == ([] if goes_on or not pieces else ["message"])
    assert [each["role"] for each in server.requests[2].json["messages"]] == [
        "user",
        "assistant",
        "tool",
        *(["assistant"] if goes_on else []),
    ]


def test_after_the_message(ollama: Ollama, server: ScriptedOllama) -> None:
    """An operator may begin over after a complete message, as after an error about a prompt that was cut."""
    server.enqueue(answer(call("sea", "1"), content="Let me see."), Reply.answer("Not there."))
    again = [
        ChatChunk(message=Message("assistant", "It is"), restart=Restart("of no use")),
        ChatChunk(message=Message("assistant", " blue."), done=True),
    ]
    tool = Look()

    def through(source: Observable[ChatChunk]) -> Observable[ChatChunk]:
        return reactivex.concat(source, reactivex.from_iterable(again))

    heard = Heard(ollama.converse("m", "Go", tools=[tool.look], through=through)).wait()
    assert scopes_of(heard.items) == ["answer"]
    assert messages_of(heard.items) == [("assistant", "It is blue.")]
    assert len(server.requests) == 1


def test_given_up(ollama: Ollama, server: ScriptedOllama) -> None:
    """The error of a round that is given up carries the rounds before it and what stands of this one."""
    server.enqueue(answer(call("sea", "1")))
    server.always(Reply.answer("It is blue.").truncated(2))
    tool = Look()
    heard = Heard(ollama.converse("m", "Go", tools=[tool.look], after_break="restart"))
    assert type(heard.failure) is TruncatedError
    assert heard.failure.partial is not None
    assert [message.content for message in heard.failure.partial.messages] == ["", "seen sea", "It is"]


def test_disposed(ollama: Ollama, server: ScriptedOllama) -> None:
    """Disposing within the repeated round cancels the tools of the broken one, too."""
    server.enqueue(answer(call("sea")).truncated(1), answer(content="Hm.").stalled(1))
    ended = threading.Event()

    async def look(place: str) -> str:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            ended.set()
        return place

    heard = Heard(ollama.converse("m", "Go", tools=[look], after_break="restart"))
    server.wait_for(2)
    heard.wait_items(2).dispose()
    assert ended.wait(PATIENCE)
    server.requests[1].wait_left()


def test_metrics(ollama: Ollama, server: ScriptedOllama) -> None:
    """The sum of the rounds says how many more requests they took."""
    server.enqueue(answer(call("sea")).truncated(1), answer(call("sea")), Reply.answer("Blue.").truncated(0))
    server.enqueue(Reply.answer("Blue."))
    tool = Look()
    response = run(ollama.converse("m", "Go", tools=[tool.look], after_break="restart").pipe(op.collect()))
    assert response.metrics.repeat_count == 2
    assert [each.repeat_count for each in response.metrics.rounds] == [1, 1]


@ways
def test_shared(ollama: Ollama, server: ScriptedOllama, way: dict[str, Any]) -> None:
    """Everybody who reads the conversation sees the same messages, however late."""
    server.enqueue(calls(("look", {"place": "sea"}), content="First.").truncated(2))
    server.enqueue(calls(("look", {"place": "sea"}), content="Second."), Reply.answer("Blue."))
    tool = Look()
    shared = ollama.converse("m", "Go", tools=[tool.look], **way).pipe(op.share())
    late: Heard[ChatChunk] = Heard()

    def join(chunk: ChatChunk) -> None:
        if chunk.restart is not None:
            shared.subscribe(late.on_next, late.on_error, late.on_completed)

    heard = Heard(shared, join).wait()
    assert messages_of(late.wait().items) == messages_of(heard.items)
