"""Structured output over real sockets, with recorded answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from heard import Heard
from programs import STRICT
from reactivex import operators as rx

from rxollama import Ollama, run
from rxollama import operators as op
from rxollama.errors import ConnectionLostError, StructuredOutputError
from rxollama.messages import Message, PartialJson
from rxollama.testing import Recording, Reply, ScriptedOllama


class Person(msgspec.Struct, frozen=True):
    """The type of the recorded persons."""

    name: str
    born: int
    fields: tuple[str, ...] = ()


class City(msgspec.Struct, frozen=True):
    """The type of the recorded cities."""

    name: str
    celsius: int


ADA = Person("Ada", 1815, ("mathematics", "computing"))
CITIES = [City("Oslo", -3), City("Zürich", 5), City("東京", 14)]


@pytest.mark.parametrize("name", ["format-json", "format-schema", "format-thinking"])
def test_recorded_object(server: ScriptedOllama, ollama: Ollama, recordings: dict[str, Recording], name: str) -> None:
    """A recorded object becomes a value, and its snapshots grow."""
    server.enqueue(*[Reply.of(recordings[name], speed=None)] * 2)
    chat = ollama.chat("m", "Go on.", format=Person)

    assert ADA == run(chat.pipe(op.parse(Person)))
    partials: list[PartialJson] = Heard(chat.pipe(op.partial_json())).wait().items
    assert PartialJson({}) == partials[0]
    assert PartialJson(msgspec.to_builtins(ADA) | {"fields": [*ADA.fields]}, complete=True) == partials[-1]
    assert PartialJson({"name": "Ada", "born": 1815, "fields": ["mathematics"]}, path=("fields", 0)) in partials
    for seen in server.requests:
        assert seen.json["format"]["required"] == ["name", "born"]


def test_recorded_list(server: ScriptedOllama, ollama: Ollama, recordings: dict[str, Recording]) -> None:
    """The elements of a recorded list are emitted one by one, and a misfit closes the request."""
    reply = Reply.of(recordings["format-schema-list"], speed=None)
    server.enqueue(reply, reply, reply)
    chat = ollama.chat("m", "Go on.", format={"type": "object"})

    assert CITIES == Heard(chat.pipe(op.elements(City, "cities"))).wait().items
    assert {"cities": CITIES} == run(chat.pipe(op.parse(dict[str, list[City]])))
    heard = Heard(chat.pipe(op.elements(Person, "cities")))
    error = heard.failure
    assert isinstance(error, StructuredOutputError)
    assert ("$.cities[0]", "Object missing required field `born`") == (error.path, error.reason)
    assert {"type": "object"} == server.requests[0].json["format"]


def test_misfit_closes_the_request(server: ScriptedOllama, ollama: Ollama) -> None:
    """A server whose answer does not fit sees the client disconnect before the end."""
    server.enqueue(Reply.answer(['["a",', " 5,", ' "b"', "]"]).stalled(2))
    heard = Heard(ollama.chat("m", "Hi", format=list[str]).pipe(op.elements(str)))

    assert isinstance(heard.failure, StructuredOutputError)
    assert ["a"] == heard.items
    server.requests[0].wait_left()


@pytest.mark.parametrize("operator", [op.parse(Person), op.partial_json(), op.elements(Person)])
def test_recorded_length(
    server: ScriptedOllama, ollama: Ollama, recordings: dict[str, Recording], operator: Any
) -> None:
    """The error of an answer that was cut off says so."""
    server.enqueue(Reply.of(recordings["length"], speed=None))
    error = Heard(ollama.chat("m", "Go on.").pipe(operator)).failure

    assert isinstance(error, StructuredOutputError)
    assert error.truncated
    assert error.reason.endswith("the answer was cut off at num_predict or the context limit: raise it")
    assert recordings["length"].expect["content"] == error.text
    assert "sky" not in str(error)


def test_recorded_load(server: ScriptedOllama, ollama: Ollama, recordings: dict[str, Recording]) -> None:
    """A request that only loads the model has no answer."""
    server.enqueue(Reply.of(recordings["load"], speed=None))
    error = Heard(ollama.chat("m", []).pipe(op.parse(Person))).failure

    assert isinstance(error, StructuredOutputError)
    assert error.reason.startswith("the server only loaded")


def test_recorded_rounds(server: ScriptedOllama, ollama: Ollama, recordings: dict[str, Recording]) -> None:
    """An answer that ends with tool calls is refused with that reason."""
    server.enqueue(Reply.of(recordings["tool-call"], speed=None))
    error = Heard(ollama.chat("m", "Hi").pipe(op.parse(Person))).failure

    assert isinstance(error, StructuredOutputError)
    assert error.reason.startswith("the answer ends with tool calls")
    assert error.partial is not None
    assert error.partial.message.tool_calls


def test_connection_lost(server: ScriptedOllama, ollama: Ollama) -> None:
    """A connection that breaks is the error, after the elements that came."""
    server.enqueue(Reply.answer(['[{"name": "Oslo", "celsius": 1},', " {"]).stalled(2).dropped(250))
    heard = Heard(ollama.chat("m", "Hi").pipe(op.elements(City)))

    assert isinstance(heard.failure, ConnectionLostError)
    assert [City("Oslo", 1)] == heard.items


def test_generate(server: ScriptedOllama, ollama: Ollama, recordings: dict[str, Recording]) -> None:
    """`generate` takes a type as well, and its answer is read in the same way."""
    server.enqueue(Reply.of(recordings["generate"], speed=None))
    error = Heard(ollama.generate("m", "Hi", format=list[City]).pipe(op.parse(list[City]))).failure

    assert isinstance(error, StructuredOutputError)
    assert recordings["generate"].expect["content"] == error.text
    assert "array" == server.requests[0].json["format"]["type"]


def test_with_other_operators(server: ScriptedOllama, ollama: Ollama) -> None:
    """`retry` works before these operators, and `throttle` after them."""
    reply = Reply.answer(['{"name": "Os', 'lo", "celsius": -3}'])
    server.enqueue(reply.dropped(0), reply)
    chat = ollama.chat("m", [Message.user("Hi")], format=City)

    last = run(chat.pipe(op.retry(2, backoff=0), op.partial_json(), op.throttle(1 / 30)))
    assert PartialJson({"name": "Oslo", "celsius": -3}, complete=True) == last


def test_asking_again(server: ScriptedOllama, ollama: Ollama) -> None:
    """The `retry` of reactivex asks again after an answer that does not fit."""
    server.enqueue(Reply.answer("Sorry."), Reply.answer('{"name": "Oslo", "celsius": -3}'))

    assert City("Oslo", -3) == run(ollama.chat("m", "Hi", format=City).pipe(op.parse(City)).pipe(rx.retry(2)))
    assert 2 == len(server.requests)


def test_document(server: ScriptedOllama) -> None:
    """The example of the document runs unchanged, with nothing on stderr."""
    text = (Path(__file__).parents[2] / "docs" / "structured.md").read_text("utf-8")
    [block] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    reply = Reply.answer('{"summary": "Cold.", "cities": [{"name": "Oslo", "celsius": -3}]}')
    server.enqueue(reply, reply, reply)
    done = subprocess.run(
        [sys.executable, *STRICT, "-c", block],
        env={**os.environ, "OLLAMA_HOST": server.url},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    first, second, *snapshots = done.stdout.splitlines()
    assert ("Cold. 1", "Oslo -3") == (first, second)
    assert "{'summary': 'Cold.', 'cities': [{'name': 'Oslo', 'celsius': -3}]}" == snapshots[-1]
