"""Callbacks that raise, which ends their own subscription only."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from faults_cases import WORDS, Client, no_tasks_left, owned
from heard import PATIENCE, Heard, settle, text_of
from programs import Program
from reactivex import operators as rx

from rxollama import Ollama, aiterate, iterate, run
from rxollama import operators as op
from rxollama.errors import NotFoundError
from rxollama.messages import ChatChunk
from rxollama.testing import Reply, ScriptedOllama

STALLED = Reply.answer(WORDS).stalled(2)


class Bug(Exception):  # noqa: N818 - It is what a callback may raise, and none of ours.
    """The exception that a callback of the application raises."""


def fail(_: object = None) -> NoReturn:
    """Raise."""
    raise Bug("in a callback")


Reported = Callable[[], list[str]]


@pytest.fixture
def reported(caplog: pytest.LogCaptureFixture) -> Reported:
    """Return a function that returns the exceptions that the loop's exception handler logged."""
    caplog.set_level(logging.ERROR, "asyncio")

    def told() -> list[str]:
        settle()
        return [type(record.exc_info[1]).__name__ for record in caplog.records if record.exc_info]

    return told


class TestOnNext:
    """A callback for items that raises."""

    def test_told(self, ollama: Ollama, server: ScriptedOllama, reported: Reported) -> None:
        """Its own `on_error` receives the exception once, its request is closed, and nothing is reported."""
        server.enqueue(STALLED)
        heard = Heard(ollama.chat("m", "Count."), fail)
        assert type(heard.failure) is Bug
        assert text_of(heard.items) == "One"
        server.requests[0].wait_left()
        assert reported() == []

    def test_without_handler(self, ollama: Ollama, server: ScriptedOllama, reported: Reported) -> None:
        """Without an `on_error` the exception is reported to the loop, and the request is closed."""
        server.enqueue(STALLED)
        ollama.chat("m", "Count.").subscribe(fail)
        server.wait_for(1)[0].wait_left()
        ollama.close()
        assert reported() == ["Bug"]

    def test_siblings(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Other streams of the same client, on the same loop, go on."""
        server.always(STALLED)
        siblings = [Heard(ollama.chat("m", "Count.")).wait_items(2) for _ in range(3)]
        assert type(Heard(ollama.chat("m", "Count."), fail).failure) is Bug
        server.requests[3].wait_left()
        server.enqueue(Reply.answer("Still here."))
        assert text_of(Heard(ollama.chat("m", "And you?")).wait().items) == "Still here."
        assert [heard.over.is_set() for heard in siblings] == [False] * 3
        assert [seen.left_at for seen in server.requests[:3]] == [None] * 3
        for heard in siblings:
            heard.dispose()

    def test_siblings_of_one_request(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Only the one that raises ends, of several subscribers to one request."""
        server.enqueue(STALLED)
        shared = ollama.chat("m", "Count.").pipe(op.share())
        sibling = Heard(shared).wait_items(2)
        assert type(Heard(shared, fail).failure) is Bug
        assert not sibling.over.is_set()
        assert server.requests[0].left_at is None
        sibling.dispose()
        server.requests[0].wait_left()

    @pytest.mark.parametrize("position", ["before", "behind"])
    def test_in_an_operator(self, ollama: Ollama, server: ScriptedOllama, position: str) -> None:
        """An exception of a function that an operator calls, before or behind one of ours, ends the stream."""
        server.enqueue(STALLED)
        ours = op.accumulate()
        theirs = rx.map(fail)
        chat = ollama.chat("m", "Count.")
        heard: Heard[Any] = Heard(chat.pipe(theirs, ours) if position == "before" else chat.pipe(ours, theirs))
        assert type(heard.failure) is Bug
        server.requests[0].wait_left()


class TestOnError:
    """A callback for the error that raises."""

    @pytest.mark.parametrize("reply", [Reply.error(404, {"error": "no"}), Reply.answer(WORDS).reset(200)])
    def test_reported(self, ollama: Ollama, server: ScriptedOllama, reported: Reported, reply: Reply) -> None:
        """The exception is reported to the loop, and the client goes on."""
        server.enqueue(reply, Reply.answer(WORDS))
        over = Heard[ChatChunk]()

        def fail_then(error: Exception) -> None:
            over.on_error(error)
            fail()

        ollama.chat("m", "Count.").subscribe(on_error=fail_then)
        over.wait()
        assert reported() == ["Bug"]
        assert Heard(ollama.chat("m", "Count.")).wait().completed

    def test_missing(self, ollama: Ollama, server: ScriptedOllama, reported: Reported) -> None:
        """An error without an `on_error` is reported to the loop."""
        server.enqueue(Reply.error(404, {"error": "no"}))
        over = threading.Event()
        ollama.chat("m", "Count.").pipe(rx.finally_action(over.set)).subscribe()
        assert over.wait(PATIENCE)
        assert reported() == ["NotFoundError"]


class TestOnCompleted:
    """A callback for the completion that raises."""

    def test_reported(self, ollama: Ollama, server: ScriptedOllama, reported: Reported) -> None:
        """The exception is reported to the loop, not to `on_error`, and the connection serves the next request."""
        server.always(Reply.answer(WORDS))
        heard = Heard[ChatChunk]()

        def fail_then() -> None:
            heard.on_completed()
            fail()

        ollama.chat("m", "Count.").subscribe(heard.on_next, heard.on_error, fail_then)
        assert heard.wait().completed
        assert reported() == ["Bug"]
        assert Heard(ollama.chat("m", "Count.")).wait().completed
        assert len({seen.peer_port for seen in server.requests}) == 1


class TestConsumers:
    """Consumers outside of Rx that raise."""

    def test_for(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An exception in the body of a `for` closes the request."""
        server.enqueue(STALLED)

        def consume() -> None:
            for chunk in iterate(ollama.chat("m", "Count.")):
                fail(chunk)

        with pytest.raises(Bug):
            consume()
        server.requests[0].wait_left()

    def test_run(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An exception in an operator's function is raised by `run`, and closes the request."""
        server.enqueue(STALLED)
        with pytest.raises(Bug):
            run(ollama.chat("m", "Count.").pipe(rx.do_action(fail), op.collect()))
        server.requests[0].wait_left()

    async def test_async_for(self, server: ScriptedOllama, http_client: Client) -> None:
        """An exception in the body of an `async for` closes the request and leaves no task."""
        server.enqueue(STALLED)
        async with owned(server.url, http_client) as ollama:

            async def consume() -> None:
                async for chunk in aiterate(ollama.chat("m", "Count.")):
                    fail(chunk)

            with pytest.raises(Bug):
                await consume()
            await no_tasks_left()
            await asyncio.to_thread(server.requests[0].wait_left)

    async def test_on_a_loop_of_the_caller(self, server: ScriptedOllama, http_client: Client) -> None:
        """On the caller's own loop, its exception handler receives an error without an `on_error`."""
        server.enqueue(STALLED, Reply.error(404, {"error": "no"}))
        told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.put_nowait(context))
        async with owned(server.url, http_client) as ollama:
            for kind in (Bug, NotFoundError):
                ollama.chat("m", "Count.").subscribe(fail)
                context = await asyncio.wait_for(told.get(), PATIENCE)
                assert type(context["exception"]) is kind
                assert "unhandled error in the stream of /api/chat with model 'm'" in context["message"]
            await no_tasks_left()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_exit_after_dispose(start: Callable[..., Program], server: ScriptedOllama, loop: str) -> None:
    """A callback that disposes and then calls `sys.exit` ends its program, whichever read it is called for."""
    server.always(Reply.answer(WORDS, gap=0.02).stalled(2))
    program = start(
        """
        import asyncio
        import uvloop
        from rxollama import Ollama

        async def main(last):
            def leave(chunk):
                if chunk.message.content == last:
                    subscription.dispose()
                    sys.exit(3)

            async with Ollama(sys.argv[1]) as ollama:
                subscription = ollama.chat("m", "Hello").subscribe(leave)
                await asyncio.sleep(60)

        kind = {"asyncio": asyncio, "uvloop": uvloop}[sys.argv[2]]
        for last in ("One", " two"):
            try:
                with asyncio.Runner(loop_factory=kind.new_event_loop) as runner:
                    runner.run(main(last))
            except SystemExit as error:
                print(error.code)
        """,
        server.url,
        loop,
    )
    assert program.end() == "3\n3"
