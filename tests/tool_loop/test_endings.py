"""The ways to leave a conversation, after which nothing of it remains."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
import reactivex
from faults_cases import no_tasks_left
from heard import PATIENCE, Heard, settle
from reactivex import abc
from reactivex.disposable import Disposable
from talks import calls, done, from_a_thread

from rxollama import ChatChunk, Function, Message, Ollama, ToolCall, aiterate, iterate
from rxollama.errors import ClientClosedError, InvalidValueError, ToolError
from rxollama.operators import content
from rxollama.testing import Reply, ScriptedOllama
from rxollama.tools import Tool


class Endless:
    """A tool that never returns, and records when it began and when it was cancelled."""

    def __init__(self) -> None:
        self.began, self.left = threading.Event(), threading.Event()

    async def wait(self) -> None:
        """Wait without an end."""
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()

    def approve(self, _: ToolCall) -> reactivex.Observable[bool]:
        """Never answer."""

        def subscribe(_: abc.ObserverBase[bool], __: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            self.began.set()
            return Disposable(self.left.set)

        return reactivex.Observable(subscribe)


def begun(ollama: Ollama, server: ScriptedOllama, phase: str) -> tuple[Heard[ChatChunk], Callable[[], object]]:
    """Bring a conversation into a phase; return it, and a function that waits until all of it is gone."""
    endless = Endless()
    approve = endless.approve if phase == "asking" else None
    replies = {
        "waiting": [Reply.answer("Hello").stalled(0)],
        "streaming": [Reply.answer(["Hel", "lo"]).stalled(1)],
        "calling": [Reply.answer(["Let me", " see."], tool_calls=[{"name": "wait"}]).stalled(3)],
    }
    server.enqueue(*replies.get(phase, [calls(("wait", {}))]), Reply.answer("Again").stalled(1))
    tools = [endless.wait] if phase != "again" else [done("wait")]
    heard = Heard(ollama.converse("m", "Go", tools=tools, approve=approve))
    if phase in {"calling", "running", "asking"}:
        assert endless.began.wait(PATIENCE)
    last = server.wait_for(2 if phase == "again" else 1)[-1]
    arriving = {"streaming": 1, "calling": 3}.get(phase, 0)
    heard.wait_items(arriving)
    while phase == "again" and heard.items[-1].message.content != "Again":
        heard.wait_items(len(heard.items) + 1)
    if phase in {"running", "asking"}:
        heard.wait_items(2)
        return heard, lambda: endless.left.wait(PATIENCE)
    return heard, last.wait_left


PHASES = ["waiting", "streaming", "calling", "running", "asking", "again"]


@pytest.mark.parametrize("phase", PHASES)
def test_dispose(phase: str, http_client: httpx.AsyncClient | None, server: ScriptedOllama) -> None:
    """Disposing in any phase closes the request, cancels the tools and emits nothing more."""
    with Ollama(server.url, http_client=http_client) as ollama:
        heard, gone = begun(ollama, server, phase)
        count = len(heard.items)
        heard.dispose()
        assert gone()
        settle()
        assert len(heard.items) == count
        assert not heard.over.is_set()


@pytest.mark.parametrize("phase", PHASES)
def test_close(phase: str, server: ScriptedOllama) -> None:
    """Closing the client ends it in any phase, with the partial response."""
    ollama = Ollama(server.url)
    heard, gone = begun(ollama, server, phase)
    ollama.close()
    assert isinstance(heard.failure, ClientClosedError)
    assert heard.failure.partial is not None
    assert gone()


def test_after_close(server: ScriptedOllama) -> None:
    """A closed client does not begin a conversation."""
    ollama = Ollama(server.url)
    talk = ollama.converse("m", "Go")
    ollama.close()
    assert isinstance(Heard(talk).failure, ClientClosedError)


def test_dispose_within(ollama: Ollama, server: ScriptedOllama) -> None:
    """A tool does not run if the callback of the call's chunk disposes."""
    server.enqueue(calls(("f", {})))
    ran = threading.Event()

    def leave(chunk: ChatChunk) -> None:
        if chunk.message.tool_calls:
            heard.dispose()

    heard = Heard[ChatChunk](each=leave)
    heard.subscription = ollama.converse("m", "Go", tools=[Tool(ran.set, name="f")]).subscribe(heard.on_next)
    heard.wait_items(1)
    server.requests[0].wait_finished()
    settle()
    assert not ran.is_set()


async def test_cancel(server: ScriptedOllama) -> None:
    """Cancelling the task that awaits cancels the tools."""
    server.enqueue(calls(("wait", {})))
    endless = Endless()
    async with Ollama(server.url) as ollama:

        async def talk() -> None:
            await ollama.converse("m", "Go", tools=[endless.wait])

        task = asyncio.create_task(talk())
        assert await asyncio.to_thread(endless.began.wait, PATIENCE)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(endless.left.wait, PATIENCE)
        await no_tasks_left()


def test_left_loop(ollama: Ollama, server: ScriptedOllama) -> None:
    """Leaving a `for` disposes."""
    server.always(Reply.answer(["Hel", "lo"]).stalled(1))
    for text in iterate(ollama.converse("m", "Go").pipe(content())):
        assert text == "Hel"
        break
    server.requests[0].wait_left()


async def test_async_loop(server: ScriptedOllama) -> None:
    """An `async for` has the text of all rounds."""
    server.enqueue(calls(("f", {}), content="Let me see."), Reply.answer("Done."))
    async with Ollama(server.url) as ollama:
        texts = [text async for text in aiterate(ollama.converse("m", "Go", tools=[done()]).pipe(content()))]
    assert "".join(texts) == "Let me see.Done."


@pytest.mark.parametrize("role", ["assistant", "tool"])
@pytest.mark.parametrize("another_thread", [False, True])
def test_failing_subscriber(role: str, ollama: Ollama, server: ScriptedOllama, *, another_thread: bool) -> None:
    """A subscriber that raises gets its own error, whichever chunk it raised on, and no request follows."""
    server.always(calls(("f", {}), content="Let me see."))

    def each(chunk: ChatChunk) -> None:
        if chunk.message.role == role:
            raise LookupError("mine")

    through = from_a_thread if another_thread else None
    heard = Heard(ollama.converse("m", "Go", tools=[done()], through=through), each)
    assert isinstance(heard.failure, LookupError)
    assert len(server.requests) == 1
    settle()


class Late:
    """An observable that fails and then emits a call while it is disposed, as a late thread may."""

    def subscribe(self, observer: abc.ObserverBase[ChatChunk], **_: object) -> abc.DisposableBase:
        """Fail at once."""
        chunk = ChatChunk(message=Message("assistant", tool_calls=(ToolCall(Function("f")),)))

        def bring() -> None:
            thread = threading.Thread(target=observer.on_next, args=(chunk,))
            thread.start()
            thread.join()

        observer.on_error(LookupError("mine"))
        return Disposable(bring)


def test_calls_that_come_too_late(ollama: Ollama) -> None:
    """A call that arrives after the stream ended is not made, and leaves no unawaited coroutine."""
    ran = threading.Event()
    late: Any = Late()
    heard = Heard(ollama.converse("m", "Go", tools=[Tool(ran.set, name="f")], through=lambda _: late))
    assert isinstance(heard.failure, LookupError)
    settle()
    assert not ran.is_set()


def raw(name: str) -> dict[str, Any]:
    """Make a schema without anything to run."""
    return {"type": "function", "function": {"name": name, "description": "", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("max_rounds", 0),
        ("max_rounds", True),
        ("concurrency", -1),
        ("concurrency", 1.5),
        ("tool_timeout", 0),
        ("tool_timeout", "5"),
        ("approve", True),
        ("through", "retry"),
        ("raise_on", ValueError),
        ("raise_on", (ToolError, "timeout")),
        ("raise_on", True),
        ("tools", [raw("f")]),
        ("tools", [done(), done()]),
        ("tools", done()),
        ("think", "very"),
        ("messages", 5),
    ],
)
def test_refused(field: str, wrong: Any, ollama: Ollama, server: ScriptedOllama) -> None:
    """A wrong argument is refused at the call, by name, and nothing is sent."""
    arguments: dict[str, Any] = {"model": "m", "messages": "Go", field: wrong}
    with pytest.raises(InvalidValueError) as refused:
        ollama.converse(**arguments)
    assert refused.value.field.startswith(field)
    assert server.requests == ()


def test_chat_takes_functions(ollama: Ollama, server: ScriptedOllama) -> None:
    """`chat` describes functions and schemas alike, and runs none of them."""
    server.enqueue(calls(("f", {})))
    heard = Heard(ollama.chat("m", "Go", tools=[done(), raw("g")])).wait()

    assert [tool["function"]["name"] for tool in server.requests[0].json["tools"]] == ["f", "g"]
    assert [call.name for chunk in heard.items for call in chunk.message.tool_calls] == ["f"]
    assert len(server.requests) == 1
