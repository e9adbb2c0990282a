"""The rounds of a conversation: their order, and what runs at the same time."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import reactivex
from faults_cases import held_background
from heard import PATIENCE, Heard
from reactivex import Observable
from reactivex import operators as rx
from reactivex.subject import ReplaySubject, Subject
from talks import call_of, calls, done, from_a_thread, results_of, said

from rxollama import ChatChunk, Message, Ollama, StreamError, run
from rxollama import operators as op
from rxollama.errors import BusyError, ContextTruncatedError, TooManyRoundsError
from rxollama.messages import ToolProgressed, ToolReturned
from rxollama.testing import Reply, ScriptedOllama
from rxollama.tools import ToolProgress


def test_without_a_call(ollama: Ollama, server: ScriptedOllama) -> None:
    """A conversation without calls is a chat."""
    server.enqueue(Reply.answer("Hello", thinking="Hm"), Reply.answer("Hello", thinking="Hm"))
    talked = run(ollama.converse("m", "Hello", options={"seed": 1}).pipe(op.collect()))
    chatted = run(ollama.chat("m", "Hello", options={"seed": 1}).pipe(op.collect()))

    assert talked.messages == chatted.messages
    assert server.requests[0].json == server.requests[1].json


def test_at_the_same_time(ollama: Ollama, server: ScriptedOllama) -> None:
    """Results are emitted and sent in the order of the calls, also if the second call ends first."""
    server.enqueue(calls(("first", {}), ("second", {})), Reply.answer("Both."))
    second_ended = threading.Event()
    ended: list[str] = []

    def first() -> str:
        # It cannot end before the second has: they run at the same time.
        assert second_ended.wait(PATIENCE)
        ended.append("first")
        return "1"

    async def second() -> str:
        ended.append("second")
        second_ended.set()
        return "2"

    heard = Heard(ollama.converse("m", "Go", tools=[first, second])).wait()
    assert heard.error is None
    assert ended == ["second", "first"]
    assert results_of(heard.items) == ["1", "2"]
    assert [said["content"] for said in server.requests[1].json["messages"][-2:]] == ["1", "2"]


def test_before_the_answer_is_over(ollama: Ollama, server: ScriptedOllama) -> None:
    """A tool starts when its call is complete, and its result waits until the assistant has finished."""
    server.enqueue(calls(("start", {})), Reply.answer("Done."))
    rest: Subject[ChatChunk] = ReplaySubject()
    rounds = itertools.count()

    def through(source: Observable[ChatChunk]) -> Observable[ChatChunk]:
        return source if next(rounds) else reactivex.concat(source.pipe(rx.filter(goes_on)), rest)

    def goes_on(chunk: ChatChunk) -> bool:
        return not chunk.done

    def start() -> str:
        # The answer goes on only once this runs.
        rest.on_next(ChatChunk(message=Message("assistant", "Then more.")))
        rest.on_next(ChatChunk(done=True))
        rest.on_completed()
        return "started"

    heard = Heard(ollama.converse("m", "Go", tools=[start], through=through)).wait()
    assert heard.error is None
    assert [chunk.message.role for chunk in heard.items if chunk.visible] == [
        "assistant",
        "assistant",
        "tool",
        "assistant",
    ]


def test_concurrency(ollama: Ollama, server: ScriptedOllama) -> None:
    """At most `concurrency=` tools run at once, and all of them run."""
    server.enqueue(calls(*[("work", {"place": place}) for place in range(6)]), Reply.answer("Done."))
    working, most = 0, 0
    # Tools begin as their calls arrive, and the first call may arrive long before the second.
    second_began = asyncio.Event()

    async def work(place: int) -> int:
        nonlocal working, most
        working += 1
        most = max(most, working)
        if place == 1:
            second_began.set()
        await second_began.wait()
        for _ in range(3):
            await asyncio.sleep(0)
        working -= 1
        return place

    heard = Heard(ollama.converse("m", "Go", tools=[work], concurrency=2)).wait()
    assert most == 2
    assert results_of(heard.items) == ["0", "1", "2", "3", "4", "5"]


def test_progress(ollama: Ollama, server: ScriptedOllama) -> None:
    """Progress of all tools is emitted at once, and the model is told only the results."""
    server.enqueue(calls(("slow", {}), ("quick", {})), Reply.answer("Done."))
    quick_began = asyncio.Event()

    async def slow() -> AsyncGenerator[str | ToolProgress, None]:
        await quick_began.wait()
        yield ToolProgress("a half")
        yield "one, "
        yield "two"

    async def quick() -> AsyncGenerator[str | ToolProgress, None]:
        yield ToolProgress("begun")
        quick_began.set()
        yield "three"

    heard = Heard(ollama.converse("m", "Go", tools=[slow, quick]).pipe(op.events())).wait()
    told = [event for event in heard.items if isinstance(event, (ToolProgressed, ToolReturned))]
    assert told == [
        ToolProgressed("quick", "begun", "call_1"),
        ToolProgressed("slow", "a half", "call_0"),
        ToolReturned("slow", "one, two", "call_0"),
        ToolReturned("quick", "three", "call_1"),
    ]
    assert "half" not in str(server.requests[1].json["messages"])


def test_progress_that_says_nothing(ollama: Ollama, server: ScriptedOllama) -> None:
    """Progress without text is not emitted."""
    silent = ToolProgress("")
    server.enqueue(
        Reply.records([{"message": said("", call_of("f"))}, {"message": said("More.")}, {"done": True}]),
        Reply.answer("Done."),
    )

    async def f() -> AsyncGenerator[str | ToolProgress, None]:
        yield silent
        yield "result"

    heard = Heard(ollama.converse("m", "Go", tools=[f])).wait()
    assert results_of(heard.items) == ["result"]
    assert [message["role"] for message in server.requests[1].json["messages"]] == ["user", "assistant", "tool"]


def test_observable_tool(ollama: Ollama, server: ScriptedOllama) -> None:
    """A tool may return an observable, whose items are the result."""
    server.enqueue(calls(("count", {"to": 3})), Reply.answer("Done."))

    def count(to: int) -> reactivex.Observable[str]:
        return reactivex.range(to).pipe(rx.map(str))

    assert results_of(Heard(ollama.converse("m", "Go", tools=[count])).wait().items) == ["012"]


def test_operators(ollama: Ollama, server: ScriptedOllama) -> None:
    """The operators work as on a chat, with the messages, calls and metrics of all rounds."""
    server.always(lambda seen: calls(("f", {})) if len(seen.json["messages"]) < 5 else Reply.answer("Done."))
    talk = ollama.converse("m", "Go", tools=[done()])
    response = run(talk.pipe(op.collect()))
    snapshot = run(talk.pipe(op.accumulate()))
    gathered = Heard(talk.pipe(op.gather_tool_calls())).wait().items

    assert [message.role for message in response.messages] == ["assistant", "tool", "assistant", "tool", "assistant"]
    assert snapshot.messages == response.messages
    assert [len(found) for found in gathered] == [1, 1, 0]
    assert len(response.metrics.rounds) == 3
    assert response.metrics.eval_count == sum(metrics.eval_count for metrics in response.metrics.rounds)
    assert (response.metrics.tool_result_count, response.metrics.tool_failure_count) == (2, 0)
    assert Heard(talk.pipe(op.content())).wait().items == ["Done."]


def test_too_many_rounds(ollama: Ollama, server: ScriptedOllama) -> None:
    """A call in the last round is not run, and ends the stream with all messages so far."""
    server.always(calls(("f", {}), content="Again."))
    ran: list[int] = []

    def f() -> str:
        ran.append(1)
        return "done"

    heard = Heard(ollama.converse("m", "Go", tools=[f], max_rounds=3))
    failure = heard.failure
    assert isinstance(failure, TooManyRoundsError)
    assert "max_rounds=3" in str(failure)
    assert (failure.model, failure.host, failure.endpoint) == ("m", server.url, "POST /api/chat")
    assert len(server.requests) == 3
    assert len(ran) == 2
    partial = failure.partial
    assert partial is not None
    assert not partial.done
    assert [message.role for message in partial.messages] == ["assistant", "tool", "assistant", "tool", "assistant"]
    assert results_of(heard.items) == ["done", "done"]


def test_through(ollama: Ollama, server: ScriptedOllama) -> None:
    """The request of each round passes through the operator, so `retry` repeats only one that fails."""
    server.enqueue(calls(("f", {})), Reply.error(503, "busy").with_headers({"retry-after": "0"}), Reply.answer("Done."))
    retry = op.retry(3, backoff=0.001)
    response = run(ollama.converse("m", "Go", tools=[done()], through=retry).pipe(op.collect()))

    assert response.message.content == "Done."
    assert [len(request.json["messages"]) for request in server.requests] == [1, 3, 3]


def test_through_another_thread(ollama: Ollama, server: ScriptedOllama) -> None:
    """Chunks that the operator emits on another thread arrive on the stream's loop, in order."""
    server.enqueue(calls(("f", {}), content="Let me see."), Reply.answer("Done."))
    heard = Heard(ollama.converse("m", "Go", tools=[done()], through=from_a_thread)).wait()

    assert heard.error is None
    assert heard.threads == {"rxollama"}
    assert "".join(chunk.message.content for chunk in heard.items) == "Let me see.doneDone."


def test_failing_round(ollama: Ollama, server: ScriptedOllama) -> None:
    """A request that fails ends the stream, with the messages of all rounds."""
    server.enqueue(calls(("f", {}), content="Let me see."), Reply.error(503, "busy"))
    heard = Heard(ollama.converse("m", "Go", tools=[done()]))

    assert isinstance(heard.failure, BusyError)
    assert heard.failure.partial is not None
    assert heard.failure.partial.messages[1] == Message("tool", "done", tool_name="f", tool_call_id="call_0")
    assert heard.failure.partial.message.content == "Let me see."


@pytest.mark.parametrize("last", [True, False])
def test_cut_prompt(ollama: Ollama, server: ScriptedOllama, last: bool) -> None:
    """With `on_truncated="raise"`, the error after the last round holds a whole response, and no other one does."""
    cut: dict[str, Any] = {"prompt_eval_count": 2050}
    first = Reply.answer(tool_calls=[{"name": "now"}], **({} if last else cut))
    server.enqueue(first, Reply.answer("Noon.", **cut))
    chat = ollama.converse("m", "word " * 3000, tools=[done("now")], options={"num_ctx": 4096}, on_truncated="raise")
    error = Heard(chat).failure

    assert isinstance(error, ContextTruncatedError)
    assert error.partial is not None
    assert (error.partial.done, error.partial.done_reason) == ((True, "stop") if last else (False, ""))
    assert len(server.requests) == (2 if last else 1)


async def test_awaited(server: ScriptedOllama) -> None:
    """In a coroutine, the stream and its async tools live on that loop."""
    server.enqueue(calls(("here", {})), Reply.answer("Done."))
    loops: list[asyncio.AbstractEventLoop] = []

    async def here() -> str:
        loops.append(asyncio.get_running_loop())
        return "here"

    async with Ollama(server.url) as client:
        response = await client.converse("m", "Go", tools=[here]).pipe(op.collect())
    assert response.message.content == "Done."
    assert loops == [asyncio.get_running_loop()]


def test_cold(ollama: Ollama, server: ScriptedOllama) -> None:
    """Each subscription is a conversation of its own."""
    server.always(Reply.answer("Done."))
    talk = ollama.converse("m", "Go")
    assert len(server.requests) == 0
    for count in (1, 2):
        run(talk)
        assert len(server.requests) == count


def test_whole(ollama: Ollama, server: ScriptedOllama) -> None:
    """With `stream=False` there is one chunk for each message."""
    server.enqueue(
        Reply.json({"message": said("", call_of("f")), "done": True}),
        Reply.json({"message": said("Done."), "done": True}),
    )
    chunks = Heard(ollama.converse("m", "Go", tools=[done()], stream=False)).wait().items

    assert [chunk.message.role for chunk in chunks] == ["assistant", "tool", "assistant"]
    assert all(chunk.done for chunk in chunks)
    assert [request.json["stream"] for request in server.requests] == [False, False]


def test_log(ollama: Ollama, server: ScriptedOllama) -> None:
    """The log of a conversation is that of one chat with tools."""
    server.enqueue(calls(("f", {}), ("unknown", {})), Reply.answer("Done."))
    lines: list[tuple[str, dict[str, Any]]] = []

    class Lines:
        def info(self, event: str, **fields: Any) -> None:
            lines.append((event, fields))

        warning = error = info

    run(ollama.converse("m", "Go", tools=[done()]).pipe(op.log(Lines())))
    assert [event for event, _ in lines] == [
        "chat_started",
        "chat_first_token",
        "chat_tool_call",
        "chat_tool_call",
        "chat_tool_result",
        "chat_tool_failed",
        "chat_finished",
    ]
    end = lines[-1][1]
    assert (end["tool_call_count"], end["tool_result_count"], end["tool_failure_count"], end["round_count"]) == (
        2,
        2,
        1,
        2,
    )


def test_meter(ollama: Ollama, server: ScriptedOllama) -> None:
    """The phases of a conversation repeat for each round."""
    server.enqueue(calls(("f", {}), content="Let me see."), Reply.answer("Done."))
    # The first reading comes before the answer, however late this thread is.
    with held_background():
        heard = Heard(ollama.converse("m", "Go", tools=[done()]).pipe(op.meter(60)))
    readings = heard.wait().items

    phases = [phase for phase, _ in itertools.groupby(reading.phase for reading in readings)]
    answered = ["waiting", "answering", "calling_tools"]
    assert phases[: len(answered)] == answered
    assert phases[-2:] == ["answering", "done"]
    assert "waiting" in phases[len(answered) :]
    assert (readings[-1].round_count, readings[-1].tool_call_count) == (2, 1)


@pytest.mark.parametrize("error", [StreamError("mine"), KeyError("mine")])
def test_through_that_fails(error: Exception, ollama: Ollama, server: ScriptedOllama) -> None:
    """An error of the operator itself is passed on."""
    server.always(Reply.answer("Hello"))
    heard = Heard(ollama.converse("m", "Go", through=lambda _: reactivex.throw(error)))

    assert heard.failure is error
