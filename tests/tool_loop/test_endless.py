"""Tools that do not end: they block neither their own conversation nor other streams."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import timedelta
from typing import Any

import pytest
from heard import PATIENCE, Heard
from talks import calls, failures_of, results_of
from tool_cases import join_tools

from rxollama import Ollama, run
from rxollama import operators as op
from rxollama.errors import ClientClosedError
from rxollama.testing import Reply, ScriptedOllama
from rxollama.tools import Tool, ToolProgress


def empty_texts() -> Generator[str]:
    """Yield empty strings without an end, on a thread."""
    while True:
        yield ""


async def async_empty_texts() -> AsyncGenerator[str, None]:
    """Yield empty strings without an end on the loop, and never wait there."""
    while True:
        yield ""


def progress() -> Generator[ToolProgress]:
    """Report progress without an end."""
    while True:
        yield ToolProgress("more")


ENDLESS = [empty_texts, async_empty_texts, progress]


@pytest.mark.parametrize("function", ENDLESS)
def test_time_limit(function: Callable[..., Any], ollama: Ollama, server: ScriptedOllama) -> None:
    """`tool_timeout` ends the call, and the conversation goes on."""
    server.enqueue(calls(("f", {})), Reply.answer("Sorry."))
    tool = Tool(function, name="f")
    response = run(ollama.converse("m", "Go", tools=[tool], tool_timeout=timedelta(seconds=0.05)).pipe(op.collect()))

    join_tools()
    assert response.messages[1].content == "Error: the tool 'f' gave no result in 0.05 s"
    assert response.message.content == "Sorry."


@pytest.mark.parametrize("function", ENDLESS)
def test_other_streams(function: Callable[..., Any], ollama: Ollama, server: ScriptedOllama) -> None:
    """Another stream on the same loop runs meanwhile, and disposing ends the call."""
    server.enqueue(calls(("f", {})), Reply.answer("Hello"))
    heard = Heard(ollama.converse("m", "Go", tools=[Tool(function, name="f")])).wait_items(1)
    server.requests[0].wait_finished()

    assert run(ollama.chat("m", "Hello")).message.content == "Hello"
    assert not heard.over.is_set()
    heard.dispose()
    join_tools()


def test_close(server: ScriptedOllama) -> None:
    """Closing the client ends it as well."""
    server.enqueue(calls(("empty_texts", {})))
    ollama = Ollama(server.url)
    heard = Heard(ollama.converse("m", "Go", tools=[empty_texts])).wait_items(1)
    ollama.close()

    assert isinstance(heard.failure, ClientClosedError)
    join_tools()


def test_too_long(ollama: Ollama, server: ScriptedOllama) -> None:
    """A result that is too long ends the call and its thread."""
    server.enqueue(calls(("texts", {})), Reply.answer("Sorry."))
    given = 0

    def texts() -> Generator[str]:
        nonlocal given
        while True:
            given += 1
            yield "x" * 100_000

    heard = Heard(ollama.converse("m", "Go", tools=[texts])).wait()
    join_tools()
    assert failures_of(heard.items) == [
        "Error: the tool 'texts' gave more than 10,000,000 characters; ask for less at a time"
    ]
    assert given < 500


@pytest.mark.parametrize("item", ["x", 1, None], ids=repr)
def test_many(item: Any, ollama: Ollama, server: ScriptedOllama) -> None:
    """Hundreds of thousands of items are a result, and other streams run while they come."""
    server.enqueue(calls(("many", {})), Reply.answer("Hello"), Reply.answer("Done."))
    began, go_on = threading.Event(), threading.Event()
    count = 200_000

    def many() -> Generator[Any]:
        for place in range(count):
            yield item
            if place == count // 2:
                began.set()
                go_on.wait(PATIENCE)

    heard = Heard(ollama.converse("m", "Go", tools=[many]))
    assert began.wait(PATIENCE)
    assert run(ollama.chat("m", "Hello")).message.content == "Hello"
    go_on.set()

    [result] = results_of(heard.wait().items)
    assert result == ("x" * count if item == "x" else "\n".join(["null" if item is None else "1"] * count))
