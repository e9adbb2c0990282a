"""The failures of calls: told to the model, emitted, counted, or raised with `raise_on=`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from heard import PATIENCE, Heard
from reactivex import Observable
from reactivex import operators as rx
from talks import call_of, calls, done, failures_of, results_of, said

from rxollama import ChatChunk, Function, Message, Ollama, StreamError, ToolCall, run
from rxollama import operators as op
from rxollama.errors import (
    InvalidValueError,
    ToolArgumentsError,
    ToolDeniedError,
    ToolError,
    ToolFailedError,
    ToolTimeoutError,
    UnknownToolError,
)
from rxollama.testing import Reply, ScriptedOllama
from rxollama.tools import Tool, ToolExitError, ToolProgress


class Failing(NamedTuple):
    """A call that fails, and what the model is told."""

    name: str
    arguments: dict[str, Any]
    kind: type[ToolError]
    told: str

    @property
    def limit(self) -> float | None:
        """The time limit: only one of these tools is meant to exceed it, and a thread may start late."""
        return 0.05 if self.kind is ToolTimeoutError else None


def weather(city: str, days: int = 1) -> str:
    """Look up the weather."""
    raise LookupError(f"no such city: {city}, {days}")


class MuteError(Exception):
    """An exception whose `str` raises."""

    def __str__(self) -> str:
        raise RuntimeError


def file_of() -> str:
    """Raise an error with half a surrogate pair, as names of files may have."""
    raise OSError("caf\udce9")


async def leave() -> str:
    """Leave the program."""
    sys.exit("leaving")


def leave_thread() -> str:
    """Leave the program, on a thread."""
    sys.exit("leaving")


async def close() -> str:
    """Raise a `GeneratorExit`."""
    raise GeneratorExit("closing")


def silent() -> str:
    """Raise an error without a message."""
    raise ValueError


async def patient() -> str:
    """Wait without an end."""
    await asyncio.Event().wait()
    return "never"


async def impatient() -> str:
    """Time out by itself."""
    raise TimeoutError("the radio is silent")


async def given_up() -> str:
    """Raise a cancellation."""
    raise asyncio.CancelledError


async def stop() -> str:
    """Cancel its own task."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return "stopped"


def mute() -> str:
    """Raise an exception without words."""
    raise MuteError


class Unsayable(BaseException):
    """An exception that leaves the program if it is asked for its words."""

    def __str__(self) -> str:
        raise SystemExit("unsayable")


async def unsayable() -> str:
    """Raise it."""
    raise Unsayable


class Unwritable:
    """A result that leaves the program if it is written."""

    def __str__(self) -> str:
        raise SystemExit("unwritable")


def unwritable() -> Any:
    """Return it."""
    return Unwritable()


async def too_long() -> AsyncGenerator[str, None]:
    """Give a result that is too long, without an end."""
    while True:
        yield "x" * 1_000_000


@dataclass
class Spot:
    """A place that raises an error of its own if it is wrong."""

    north: int

    def __post_init__(self) -> None:
        raise LookupError(f"no such place: {self.north}")


def placed(spot: Spot) -> str:
    """Accept a spot."""
    return f"{spot}"


async def broken_off() -> AsyncGenerator[str | ToolProgress, None]:
    """Fail after the first items."""
    yield ToolProgress("a half")
    yield "half of it"
    raise OSError("the disk is full")


TOOLS: list[Callable[..., Any]] = [
    *(weather, silent, patient, impatient, given_up, broken_off, mute, file_of, leave, leave_thread, close),
    *(unsayable, unwritable, too_long, placed, stop),
]
FAILING = (
    Failing("launch", {}, UnknownToolError, "Error: there is no tool 'launch'; those offered are: weather, silent, "),
    Failing("x" * 999, {}, UnknownToolError, f"Error: there is no tool '{'x' * 200}…'; those"),
    Failing("weather", {"town": "Oslo"}, ToolArgumentsError, "Error: the arguments do not fit 'weather': "),
    Failing("weather", {"city": "Oslo", "days": "two"}, ToolArgumentsError, "`$.days`"),
    Failing(
        "weather", {"city": "Oslo"}, ToolFailedError, "the tool 'weather' raised LookupError: no such city: Oslo, 1"
    ),
    Failing("silent", {}, ToolFailedError, "Error: the tool 'silent' raised ValueError"),
    Failing("patient", {}, ToolTimeoutError, "Error: the tool 'patient' gave no result in 0.05 s"),
    Failing("impatient", {}, ToolFailedError, "the tool 'impatient' raised TimeoutError: the radio is silent"),
    Failing("given_up", {}, ToolFailedError, "Error: the tool 'given_up' was cancelled from within"),
    Failing("broken_off", {}, ToolFailedError, "the tool 'broken_off' raised OSError: the disk is full"),
    Failing("mute", {}, ToolFailedError, "the tool 'mute' raised MuteError"),
    Failing("file_of", {}, ToolFailedError, r"the tool 'file_of' raised OSError: caf\udce9"),
    Failing("leave", {}, ToolFailedError, "Error: the tool 'leave' raised SystemExit: leaving"),
    Failing("leave_thread", {}, ToolFailedError, "Error: the tool 'leave_thread' raised SystemExit: leaving"),
    Failing("close", {}, ToolFailedError, "Error: the tool 'close' raised GeneratorExit: closing"),
    Failing("stop", {}, ToolFailedError, "Error: the tool 'stop' was cancelled from within"),
    Failing("unsayable", {}, ToolFailedError, "Error: the tool 'unsayable' raised Unsayable"),
    Failing("unwritable", {}, ToolFailedError, "Error: the tool 'unwritable' raised SystemExit: unwritable"),
    Failing("too_long", {}, ToolFailedError, "the tool 'too_long' gave more than 10,000,000 characters; ask for less"),
    Failing("placed", {"spot": {"north": 91}}, ToolArgumentsError, "do not fit 'placed': a LookupError was raised"),
)


@pytest.mark.parametrize("failing", FAILING, ids=lambda failing: f"{failing.kind.__name__}-{failing.name[:9]}")
class TestFailing:
    """A call that fails, and what the model is told."""

    def test_told(self, failing: Failing, ollama: Ollama, server: ScriptedOllama) -> None:
        """The model is told, the stream shows it, and the conversation goes on."""
        server.enqueue(calls((failing.name, failing.arguments)), Reply.answer("Sorry."))
        heard = Heard(ollama.converse("m", "Go", tools=TOOLS, tool_timeout=failing.limit)).wait()

        assert heard.error is None
        [told] = failures_of(heard.items)
        assert failing.told in told
        assert server.requests[1].json["messages"][-1] == {
            "role": "tool",
            "content": told,
            "tool_name": failing.name,
            "tool_call_id": "call_0",
        }

    def test_counted(self, failing: Failing, ollama: Ollama, server: ScriptedOllama) -> None:
        """It is counted as a result and as a failure."""
        server.enqueue(calls((failing.name, failing.arguments), ("f", {})), Reply.answer("Sorry."))

        async def f() -> str:
            return "done"

        talk = ollama.converse("m", "Go", tools=[*TOOLS, f], tool_timeout=failing.limit)
        metrics = run(talk.pipe(op.collect())).metrics

        assert (metrics.tool_result_count, metrics.tool_failure_count) == (2, 1)

    @pytest.mark.parametrize("asked", [ToolError, (UnknownToolError, ToolError), None])
    def test_raised(
        self, failing: Failing, ollama: Ollama, server: ScriptedOllama, *, asked: type[ToolError] | None
    ) -> None:
        """With `raise_on=` of its own class or of `ToolError`, the stream ends with it."""
        server.enqueue(calls((failing.name, failing.arguments), content="Let me see."))
        kinds = asked or failing.kind
        heard = Heard(ollama.converse("m", "Go", tools=TOOLS, tool_timeout=failing.limit, raise_on=kinds))

        failure = heard.failure
        assert type(failure) is failing.kind
        assert isinstance(failure, ToolError)
        assert failure.call is not None
        assert (failure.call.name, failure.call.arguments) == (failing.name, failing.arguments)
        assert failure.partial is not None
        assert failure.partial.message.content == "Let me see."
        assert not failure.partial.done
        assert (failure.model, len(server.requests)) == ("m", 1)

    def test_another_kind(self, failing: Failing, ollama: Ollama, server: ScriptedOllama) -> None:
        """With `raise_on=` of another class, the model is told."""
        server.enqueue(calls((failing.name, failing.arguments)), Reply.answer("Sorry."))
        talk = ollama.converse("m", "Go", tools=TOOLS, tool_timeout=failing.limit, raise_on=ToolDeniedError)

        assert run(talk.pipe(op.collect())).message.content == "Sorry."


def test_raised_at_once(ollama: Ollama, server: ScriptedOllama) -> None:
    """An error of `raise_on=` waits neither for the rest of the answer nor for other tools, which are cancelled."""
    cancelled = threading.Event()
    message = said("", call_of("endless"), call_of("weather"))
    server.enqueue(Reply.records([{"message": message, "done": False}, {"done": True}]).stalled(1))

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    heard = Heard(ollama.converse("m", "Go", tools=[endless, weather], raise_on=ToolArgumentsError))
    assert isinstance(heard.failure, ToolArgumentsError)
    assert cancelled.wait(PATIENCE)
    server.requests[0].wait_left()


def test_slow_thread(ollama: Ollama, server: ScriptedOllama) -> None:
    """A function that is too slow runs to its end on its thread, and its result is dropped."""
    server.enqueue(calls(("stuck", {})), Reply.answer("Sorry."))
    release, ended = threading.Event(), threading.Event()

    def stuck() -> str:
        release.wait(PATIENCE)
        ended.set()
        return "late"

    try:
        heard = Heard(ollama.converse("m", "Go", tools=[stuck], tool_timeout=0.05)).wait()
        assert results_of(heard.items) == ["Error: the tool 'stuck' gave no result in 0.05 s"]
        assert not ended.is_set()
    finally:
        release.set()
    assert ended.wait(PATIENCE)


def test_cause(ollama: Ollama, server: ScriptedOllama) -> None:
    """The tool's own exception is the cause of the error."""
    server.enqueue(calls(("weather", {"city": "Oslo"})))
    failure = Heard(ollama.converse("m", "Go", tools=[weather], raise_on=ToolError)).failure

    assert isinstance(failure.__cause__, LookupError)
    assert "Oslo" not in str(failure)


def test_without_tools(ollama: Ollama, server: ScriptedOllama) -> None:
    """The model is told if no tool was offered at all."""
    server.enqueue(calls(("launch", {})), Reply.answer("Sorry."))

    assert failures_of(Heard(ollama.converse("m", "Go")).wait().items) == [
        "Error: there is no tool 'launch'; those offered are: none"
    ]


ENDS = [
    SystemExit("mine"),
    KeyboardInterrupt("mine"),
    GeneratorExit("mine"),
    BaseExceptionGroup("mine", [KeyboardInterrupt()]),
    Unsayable("mine"),
]


@pytest.mark.parametrize("where", ["thread", "loop"])
@pytest.mark.parametrize("ends", ENDS, ids=repr)
def test_what_would_end_the_program(ends: BaseException, where: str, ollama: Ollama, server: ScriptedOllama) -> None:
    """An exception that would end a program is a failure like any other, in a thread and on the background loop."""
    server.enqueue(calls(("leave", {})), Reply.answer("Sorry."))

    def leave() -> None:
        raise ends

    async def leave_loop() -> None:
        raise ends

    tool = Tool(leave if where == "thread" else leave_loop, name="leave")
    heard = Heard(ollama.converse("m", "Go", tools=[tool])).wait()

    assert heard.error is None
    words = "" if isinstance(ends, Unsayable) else f": {ends}"
    assert failures_of(heard.items) == [f"Error: the tool 'leave' raised {type(ends).__name__}{words}"]


@pytest.mark.parametrize("where", ["thread", "loop"])
@pytest.mark.parametrize("ends", ENDS, ids=repr)
def test_ends_as_causes(ends: BaseException, where: str, ollama: Ollama, server: ScriptedOllama) -> None:
    """With `raise_on=` such an exception is the cause of the error, and the error has the partial response."""
    server.enqueue(calls(("leave", {}), content="Let me see."))

    def leave() -> None:
        raise ends

    async def leave_loop() -> None:
        raise ends

    tool = Tool(leave if where == "thread" else leave_loop, name="leave")
    failure = Heard(ollama.converse("m", "Go", tools=[tool], raise_on=ToolFailedError)).failure

    assert isinstance(failure, ToolFailedError)
    assert failure.__cause__ is ends
    assert failure.partial is not None
    assert failure.partial.message.content == "Let me see."
    assert (failure.model, failure.host, failure.endpoint) == ("m", server.url, "POST /api/chat")


@pytest.mark.parametrize("kind", ["KeyboardInterrupt()", "BaseExceptionGroup('several', [KeyboardInterrupt()])"])
@pytest.mark.parametrize("how", ["raised", "told"])
def test_interrupt(kind: str, how: str, server: ScriptedOllama) -> None:
    """Ctrl-C on the main thread's own loop stops the program, also while an async tool or its exception runs there."""
    code = f"""if True:
        import asyncio, sys
        from rxollama import Ollama

        interrupt = {kind}

        class Slow(Exception):
            def __str__(self):
                raise interrupt

        async def f():
            raise interrupt if {how!r} == "raised" else Slow

        async def main():
            await Ollama(sys.argv[1]).converse("m", "Go", tools=[f])
            print("went on")

        asyncio.run(main())
    """
    server.always(lambda seen: Reply.answer("Done.") if len(seen.json["messages"]) > 1 else calls(("f", {})))
    done = subprocess.run(
        [sys.executable, "-c", code, server.url], capture_output=True, text=True, check=False, timeout=PATIENCE * 3
    )

    assert "went on" not in done.stdout
    assert done.returncode != 0
    assert "KeyboardInterrupt" in done.stderr
    assert len(server.requests) == 1


class Bare:
    """A result that has no attributes at all."""

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)

    def __str__(self) -> str:
        return "bare"


def test_bare(ollama: Ollama, server: ScriptedOllama) -> None:
    """A result without attributes is a result like any other."""
    server.enqueue(calls(("f", {})), Reply.answer("Done."))

    assert results_of(Heard(ollama.converse("m", "Go", tools=[Tool(Bare, name="f")])).wait().items) == ["bare"]


def test_nested_too_deeply(ollama: Ollama, server: ScriptedOllama) -> None:
    """Arguments that are nested too deeply to be copied are refused; other calls are made."""

    def f(value: list[Any]) -> int:
        return len(value)

    call = '{"function": {"name": "f", "arguments": {"value": %s}}}'
    several = f"{call % ('[' * 800 + ']' * 800)}, {call % '[]'}"
    record = f'{{"message": {{"role": "assistant", "content": "", "tool_calls": [{several}]}}}}\n'
    server.enqueue(Reply.records([record.encode(), {"done": True}]), Reply.answer("Done."))
    heard = Heard(ollama.converse("m", "Go", tools=[f], raise_on=ToolFailedError)).wait()

    assert results_of(heard.items) == ["Error: the arguments of 'f' are nested too deeply", "0"]


def test_what_cannot_be_sent_back(ollama: Ollama, server: ScriptedOllama) -> None:
    """A call that can be read but not be sent back ends the stream with what was said."""

    def nest(source: Observable[ChatChunk]) -> Observable[ChatChunk]:
        call = ToolCall(Function("f", {"value": {1, 2}, "other": object()}))
        return source.pipe(rx.map(lambda _: ChatChunk(message=Message.assistant("So.", tool_calls=[call]))))

    server.enqueue(Reply.answer("Hello"))
    failure = Heard(ollama.converse("m", "Go", tools=[done()], through=nest)).failure

    assert type(failure) is StreamError
    assert "the messages of the model cannot be sent back to it: messages: " in str(failure)
    assert failure.partial is not None
    assert failure.partial.messages[0].content.startswith("So.")


def test_what_cannot_be_sent(ollama: Ollama, server: ScriptedOllama) -> None:
    """A message of the caller that cannot be sent raises an `InvalidValueError`."""
    failure = Heard(ollama.converse("m", "caf\udce9")).failure

    assert isinstance(failure, InvalidValueError)
    assert failure.field == "messages"
    assert server.requests == ()


def test_thousands(ollama: Ollama, server: ScriptedOllama) -> None:
    """Thousands of calls at once, all with the same id, are answered in order."""
    given = [{"id": "same", "name": "f", "arguments": {"place": place}} for place in range(2_000)]
    server.enqueue(Reply.answer("", tool_calls=given), Reply.answer("Done."))

    async def f(place: int) -> int:
        return place

    heard = Heard(ollama.converse("m", "Go", tools=[f])).wait()
    assert results_of(heard.items) == [str(place) for place in range(2_000)]
    assert [message["content"] for message in server.requests[1].json["messages"][2:]] == results_of(heard.items)


def test_nested_tool_exit(ollama: Ollama, server: ScriptedOllama) -> None:
    """A tool may run another tool that exits, and may raise a `ToolExitError` itself."""
    server.enqueue(calls(("outer", {}), ("own", {})), Reply.answer("Sorry."))

    async def outer() -> list[Any]:
        return [item async for item in Tool(leave_thread).items({})]

    async def own() -> None:
        raise ToolExitError("mine")

    heard = Heard(ollama.converse("m", "Go", tools=[outer, own])).wait()
    assert failures_of(heard.items) == [
        "Error: the tool 'outer' raised SystemExit: leaving",
        "Error: the tool 'own' raised ToolExitError: mine",
    ]


@pytest.mark.parametrize("ends", [SystemExit("mine"), KeyboardInterrupt("mine")], ids=repr)
def test_subscriber_that_ends_the_program(ends: BaseException, ollama: Ollama, server: ScriptedOllama) -> None:
    """A callback that raises such an exception on a tool's progress ends the stream; the tool did not fail."""
    server.enqueue(calls(("f", {})))

    async def f() -> AsyncGenerator[ToolProgress, None]:
        yield ToolProgress("a half")

    def each(chunk: Any) -> None:
        if chunk.tool_progress:
            raise ends

    failure = Heard(ollama.converse("m", "Go", tools=[f]), each).failure
    assert isinstance(failure, RuntimeError)
    assert failure.__cause__ is ends
    assert len(server.requests) == 1


def test_progress_that_nobody_can_take(ollama: Ollama, server: ScriptedOllama) -> None:
    """A subscriber that raises on a tool's progress gets its own error; the tool did not fail."""
    server.enqueue(calls(("f", {})))
    left = threading.Event()

    async def f() -> AsyncGenerator[ToolProgress, None]:
        try:
            yield ToolProgress("a half")
            await asyncio.Event().wait()
        finally:
            left.set()

    def fail_on(wanted: Callable[[Any], bool]) -> Callable[[Any], None]:
        def each(chunk: Any) -> None:
            if wanted(chunk):
                raise LookupError("mine")

        return each

    heard = Heard(ollama.converse("m", "Go", tools=[f]), fail_on(lambda chunk: chunk.tool_progress))
    assert isinstance(heard.failure, LookupError)
    assert left.wait(PATIENCE)
    assert len(server.requests) == 1
