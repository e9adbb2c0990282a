"""Recorded conversations with tools, replayed: each round sends what was sent then."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from heard import Heard
from msgspec.structs import replace

from rxollama import ChatResponse, Message, Ollama, run
from rxollama import operators as op
from rxollama.errors import ReportedError
from rxollama.messages import ChatEvent, Finished, ToolCalled, ToolFailed, ToolReturned
from rxollama.testing import Recording, Reply, ScriptedOllama
from rxollama.tools import Tool

Tools = dict[str, Callable[..., Any]]

ROUNDS = (
    ("tool-call", "tool-answer"),
    ("tool-calls-parallel", "tool-calls-parallel-answer"),
    ("tool-rounds-1", "tool-rounds-2", "tool-rounds-3"),
)


def tools_of(recording: Recording, functions: Callable[[str], Callable[..., Any]]) -> list[Tool]:
    """Return the recorded tools, with functions to run."""
    return [Tool(schema, run=functions(schema["function"]["name"])) for schema in recording.request.body["tools"]]


def called_as_then(recording: Recording, following: Recording) -> Recording:
    """Give the calls of an answer the ids that the next recording has."""
    [*_, asked] = [said for said in following.request.body["messages"] if said["role"] == "assistant"]
    ids = iter([call["id"] for call in asked["tool_calls"]])
    found = dict.fromkeys(re.findall(rb'"id":"(call_\w+)"', recording.body))
    names = {was: next(ids).encode() for was in found}

    def renamed(data: bytes) -> bytes:
        for was, name in names.items():
            data = data.replace(was, name)
        return data

    return replace(recording, reads=tuple((at, renamed(data)) for at, data in recording.reads))


def results_of(recording: Recording) -> Iterator[str]:
    """Return the recorded results of the tools, in order."""
    return (said["content"] for said in recording.request.body["messages"] if said["role"] == "tool")


@pytest.mark.parametrize("names", ROUNDS)
def test_rounds(
    names: tuple[str, ...], recordings: dict[str, Recording], ollama: Ollama, server: ScriptedOllama
) -> None:
    """Each request holds what the recorded one holds: history, thinking, calls, results, ids, all in order."""
    rounds = [recordings[name] for name in names]
    for recording, following in pairwise(rounds):
        server.enqueue(Reply.of(called_as_then(recording, following), speed=None))
    server.enqueue(Reply.of(rounds[-1], speed=None))
    said = results_of(rounds[-1])
    [first, *_] = rounds[-1].request.body["messages"]

    async def result(**_: Any) -> str:
        return next(said)

    tools = tools_of(rounds[0], lambda _: result)
    response: ChatResponse = run(
        ollama.converse(rounds[0].request.body["model"], first, tools=tools, think=True).pipe(op.collect())
    )

    sent = [request.json for request in server.requests]
    assert [
        recording.request.body | {"messages": body["messages"]} for recording, body in zip(rounds, sent, strict=True)
    ] == [{key: value for key, value in body.items() if key != "stream"} for body in sent]
    assert [recording.request.body["messages"] for recording in rounds[1:]] == [body["messages"] for body in sent[1:]]
    assert sent[0]["messages"] == [first]
    expect = rounds[-1].expect
    assert (response.message.content, response.message.thinking) == (expect["content"], expect["thinking"])
    assert response.done
    assert [metrics.eval_count for metrics in response.metrics.rounds] == [
        recording.expect["eval_count"] for recording in rounds
    ]
    assert response.metrics.tool_result_count == len(list(results_of(rounds[-1])))


def events_of(ollama: Ollama, recording: Recording, functions: Tools) -> list[ChatEvent]:
    """Run a recorded answer and its tools; return the events."""
    tools = tools_of(recording, lambda name: functions.get(name, dict))
    heard = Heard(ollama.converse(recording.request.body["model"], "Go on.", tools=tools).pipe(op.events()))
    return heard.wait().items


def tells(*results: str) -> Callable[..., str]:
    """Return a tool that gives these results, one after another."""
    given = iter(results)

    def tool(**_: Any) -> str:
        return next(given)

    return tool


def test_unknown(recordings: dict[str, Recording], ollama: Ollama, server: ScriptedOllama) -> None:
    """The model is told that it called an unknown tool, and the conversation goes on."""
    recording = recordings["tool-call-unknown"]
    server.enqueue(Reply.of(recording, speed=None), Reply.answer("I cannot."))
    events = events_of(ollama, recording, {})

    [called] = [event.call for event in events if isinstance(event, ToolCalled)]
    [failed] = [event for event in events if isinstance(event, ToolFailed)]
    assert (failed.name, failed.call_id) == ("launch_rocket", called.id)
    assert failed.content == "Error: there is no tool 'launch_rocket'; those offered are: get_weather, get_time"
    assert server.requests[1].json["messages"][-1]["content"] == failed.content
    assert isinstance(events[-1], Finished)
    assert events[-1].response.metrics.tool_failure_count == 1


def test_nested(recordings: dict[str, Recording], ollama: Ollama, server: ScriptedOllama) -> None:
    """Nested arguments reach the tool as the model wrote them, and go back so in the history."""
    recording = recordings["tool-call-nested"]
    server.enqueue(Reply.of(recording, speed=None), Reply.answer("Done."))
    given: list[dict[str, Any]] = []

    async def plan(**arguments: Any) -> str:
        given.append(arguments)
        return "planned"

    events = events_of(ollama, recording, {"plan": plan})
    [expected] = recording.expect["tool_calls"]
    assert given == [expected["arguments"]]
    assert [event.content for event in events if isinstance(event, ToolReturned)] == ["planned"]
    [_, asked, _] = server.requests[1].json["messages"]
    assert asked["tool_calls"][0]["function"] == expected


@pytest.mark.parametrize("name", ["tool-call-bad", "harmony-bad-call"])
def test_unparsable(name: str, recordings: dict[str, Recording], ollama: Ollama, server: ScriptedOllama) -> None:
    """A call that the server cannot parse ends the stream with its error, and is not requested again."""
    recording = recordings[name]
    server.enqueue(Reply.of(recording, speed=None))
    tools = tools_of(recording, lambda _: dict)
    heard = Heard(ollama.converse("m", "Go on.", tools=tools, through=op.retry(3)))

    assert isinstance(heard.failure, ReportedError)
    assert heard.failure.detail == recording.expect["error"]
    assert heard.failure.partial is not None
    assert heard.failure.partial.messages == (
        Message.assistant(recording.expect["content"], thinking=recording.expect["thinking"]),
    )
    assert len(server.requests) == 1


def test_without_an_id(recordings: dict[str, Recording], ollama: Ollama, server: ScriptedOllama) -> None:
    """Each call in the last chunk gets its result, also one without an id."""
    recording = recordings["native-calls"]
    server.enqueue(Reply.of(recording, speed=None), Reply.answer("Both."))
    events = events_of(ollama, recording, {"get_weather": tells("cold"), "get_time": tells("noon")})

    assert [event.content for event in events if isinstance(event, ToolReturned)] == ["cold", "noon"]
    [*_, one, other] = server.requests[1].json["messages"]
    assert (one["tool_name"], one["content"]) == ("get_weather", "cold")
    assert other == {"role": "tool", "content": "noon", "tool_name": "get_time"}


def test_the_same_twice(recordings: dict[str, Recording], ollama: Ollama, server: ScriptedOllama) -> None:
    """The same call made twice is two calls, each with a result of its own."""
    recording = recordings["tool-calls-same"]
    server.enqueue(Reply.of(recording, speed=None), Reply.answer("Both."))
    events = events_of(ollama, recording, {recording.expect["tool_calls"][0]["name"]: tells("0", "1")})

    returned = [event for event in events if isinstance(event, ToolReturned)]
    assert sorted(event.content for event in returned) == ["0", "1"]
    assert [event.call_id for event in returned] == [event.call.id for event in events if isinstance(event, ToolCalled)]
