"""The loops that streams live on, and how they end."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from heard import Heard, settle, text_of
from programs import Program

from rxollama import Ollama
from rxollama._runtime import _loop
from rxollama.messages import ChatChunk
from rxollama.testing import Reply, ScriptedOllama

Start = Callable[..., Program]


class TestHome:
    """Where a stream lives."""

    def test_background(self) -> None:
        """Outside of any loop home is the background loop, always the same, on its own daemon thread."""
        loop = _loop.stream_loop()

        async def thread() -> threading.Thread:
            return threading.current_thread()

        found = asyncio.run_coroutine_threadsafe(thread(), loop).result()
        assert loop is _loop.stream_loop()
        assert (found.name, found.daemon) == ("rxollama", True)

    def test_no_thread_left(self, start: Start) -> None:
        """A stream for whose loop no thread could be started ends with that error, and the next one tries again."""
        program = start(
            """
            import threading
            from rxollama import Ollama

            over = threading.Semaphore(0)
            errors = []
            # No thread can have a stack of this size.
            for size in (1 << 46, 1 << 46, 0):
                threading.stack_size(size)
                stream = Ollama("127.0.0.1:1").chat("m", "Hello")
                stream.subscribe(print, lambda error: (errors.append(type(error).__name__), over.release()))
                over.acquire()
            print(*errors)
            """
        )
        assert program.end() == "RuntimeError RuntimeError ConnectionFailedError"

    async def test_running(self) -> None:
        """Within a coroutine home is the running loop."""
        assert _loop.stream_loop() is asyncio.get_running_loop()

    async def test_thread_beside_a_loop(self) -> None:
        """On a thread beside a running loop home is the background loop."""
        assert await asyncio.to_thread(_loop.stream_loop) is _loop.background()


class TestTell:
    """Calls and jobs on loops, from any thread."""

    async def test_here(self) -> None:
        """On the running loop a callback is called at once."""
        called: list[bool] = []
        _loop.call_on(asyncio.get_running_loop(), lambda: called.append(True))
        assert called

    def test_closed(self) -> None:
        """A call on a closed loop does nothing, and raises nothing."""
        loop = asyncio.new_event_loop()
        loop.close()
        _loop.call_on(loop, pytest.fail)

    def test_work_for_a_loop_at_rest(self) -> None:
        """Work for a loop that does not run is left out."""
        loop = asyncio.new_event_loop()
        _loop.run_jobs_blocking([(loop, pytest.fail)])
        loop.close()

    def test_work_for_a_loop_that_just_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Work for a loop that closes at this moment is dropped."""
        loop = asyncio.new_event_loop()
        loop.close()
        monkeypatch.setattr(loop, "is_running", lambda: True)

        async def work() -> None:
            pytest.fail("it was done")

        _loop.run_jobs_blocking([(loop, work)])

    async def test_no_work(self) -> None:
        """Nothing to do is done at once."""
        await _loop.run_jobs([])


class TestReport:
    """Errors that have no subscriber."""

    async def test_on_a_loop(self) -> None:
        """On a loop its exception handler gets the error."""
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        error = ValueError("no")
        _loop.report_error("It happened", error)
        assert told == [{"message": "It happened", "exception": error}]

    def test_elsewhere(self, caplog: pytest.LogCaptureFixture) -> None:
        """Elsewhere it is logged."""
        error = ValueError("no")
        _loop.report_error("It happened", error)
        assert [(record.message, record.exc_info[1]) for record in caplog.records if record.exc_info] == [
            ("It happened", error)
        ]


def test_exit_from_a_callback(ollama: Ollama, server: ScriptedOllama, caplog: pytest.LogCaptureFixture) -> None:
    """A callback that calls `sys.exit` ends its own stream, and no other."""
    server.enqueue(Reply.answer("I stay.").stalled(2), Reply.answer("I go.").stalled(1))
    staying = Heard(ollama.chat("m", "Stay")).wait_items(2)

    def leave(_: ChatChunk) -> None:
        sys.exit(1)

    leaving = Heard(ollama.chat("m", "Go"), leave).wait_items(1)
    server.wait_for(2)[1].wait_left()
    settle()
    server.enqueue(Reply.answer("Still here."))
    assert text_of(Heard(ollama.chat("m", "Who is there?")).wait().items) == "Still here."
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [SystemExit]
    assert not staying.over.is_set()
    assert "was ended by SystemExit" in str(leaving.failure)
    assert isinstance(leaving.failure.__cause__, SystemExit)
    staying.dispose()


class _Leaving(asyncio.SelectorEventLoop):
    """A loop in which a callback calls `sys.exit` once."""

    runs = 0

    def run_forever(self) -> None:
        """Run."""
        self.runs += 1
        if self.runs == 1:
            sys.exit(1)


def test_exit_from_any_callback(caplog: pytest.LogCaptureFixture) -> None:
    """The background loop continues after an exception that would end the program, and reports it."""
    loop = _Leaving()
    _loop._run_forever(loop)
    loop.close()
    assert loop.runs == 2
    assert ["raised SystemExit on the thread" in record.message for record in caplog.records] == [True]


class TestExit:
    """The end of the interpreter, with a client that was not closed."""

    def test_unused(self, start: Start) -> None:
        """A client that was never used leaves nothing."""
        assert start("from rxollama import Ollama; ollama = Ollama()").end() == ""

    def test_idle(self, start: Start, server: ScriptedOllama) -> None:
        """Idle connections, on the background loop and on others, close without a warning."""
        server.always(Reply.answer("Good bye"))
        program = start(
            """
            import asyncio
            from rxollama import Ollama, run

            async def main():
                return await ollama.chat("m", "Hello")

            ollama = Ollama(sys.argv[1])
            print(run(ollama.chat("m", "Hello")).done, asyncio.run(main()).done, asyncio.run(main()).done)
            """,
            server.url,
        )
        assert program.end() == "True True True"
        server.wait_closed()

    def test_living(self, start: Start, server: ScriptedOllama) -> None:
        """A living stream on the background loop is closed without a word to anybody."""
        server.enqueue(Reply.answer("Good bye").stalled(1))
        program = start(
            """
            import threading
            from rxollama import Ollama

            came = threading.Event()
            ollama = Ollama(sys.argv[1])
            ollama.chat("m", "Hello").subscribe(lambda _: came.set(), print, lambda: print("completed"))
            came.wait()
            """,
            server.url,
        )
        assert program.end() == ""
        server.requests[0].wait_left()

    def test_living_on_another_loop(self, start: Start, server: ScriptedOllama) -> None:
        """An open stream of a loop that ends gets an error. Without a handler nothing is reported."""
        server.always(Reply.answer("Good bye").stalled(1))
        program = start(
            """
            import asyncio
            from rxollama import Ollama

            async def main():
                came = asyncio.Semaphore(0)
                ollama.chat("m", "Hello").subscribe(lambda _: came.release(), lambda error: print(type(error).__name__))
                ollama.chat("m", "Hello").subscribe(lambda _: came.release())
                await came.acquire()
                await came.acquire()

            ollama = Ollama(sys.argv[1])
            asyncio.run(main())
            """,
            server.url,
        )
        assert program.end() == "ClientClosedError"
        for seen in server.wait_for(2):
            seen.wait_left()

    def test_begun_at_the_last_moment(self, start: Start, server: ScriptedOllama) -> None:
        """A stream whose loop ends before it could begin gets an error."""
        program = start(
            """
            import asyncio
            from rxollama import Ollama

            async def main():
                ollama.chat("m", "Hello").subscribe(print, lambda error: print(type(error).__name__))

            ollama = Ollama(sys.argv[1])
            asyncio.run(main())
            """,
            server.url,
        )
        assert program.end() == "ClientClosedError"
        assert server.requests == ()

    def test_blocked(self, start: Start, server: ScriptedOllama) -> None:
        """A callback that blocks the background loop does not block the end of the interpreter."""
        server.enqueue(Reply.answer("Good bye"))
        program = start(
            """
            import threading
            from rxollama import Ollama
            from rxollama._runtime import _loop

            _loop._PATIENCE = 0.01
            came = threading.Event()
            def block(_):
                came.set()
                threading.Event().wait()
            Ollama(sys.argv[1]).chat("m", "Hello").subscribe(block)
            came.wait()
            """,
            server.url,
        )
        assert program.complaining()[0] == ""

    def test_without_uvloop(self, start: Start, server: ScriptedOllama) -> None:
        """Without uvloop the background loop is one of asyncio's."""
        server.enqueue(Reply.answer("Good bye"))
        program = start(
            """
            sys.modules["uvloop"] = None
            from rxollama import Ollama, run
            from rxollama._runtime import background

            print(run(Ollama(sys.argv[1]).chat("m", "Hello")).done, type(background()).__module__)
            """,
            server.url,
        )
        assert program.end() == "True asyncio.unix_events"


class TestFork:
    """A forked child, which has its parent's memory and none of its threads."""

    def test_while_the_loop_is_made(self, start: Start, server: ScriptedOllama) -> None:
        """A process that forks while another thread makes its first loop has a child that can ask."""
        server.always(Reply.answer("Yes"))
        program = start(
            """
            import asyncio, faulthandler, os, signal, threading, time, warnings
            sys.modules["uvloop"] = None  # uvloop's loops need no policy.
            from rxollama import Ollama, run

            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads.

            class Policy(asyncio.DefaultEventLoopPolicy):
                def __init__(self):
                    making.set()
                    forking.wait(10)
                    time.sleep(0.5)  # A fork that does not wait happens within it.
                    super().__init__()

            def ask():
                print(run(Ollama(sys.argv[1]).chat("m", "Hello")).message.content, flush=True)

            asyncio.DefaultEventLoopPolicy = Policy
            making, forking = threading.Event(), threading.Event()
            os.register_at_fork(before=forking.set)
            asker = threading.Thread(target=ask)
            asker.start()
            making.wait(10)
            if not (child := os.fork()):
                faulthandler.register(signal.SIGALRM, chain=True)
                signal.alarm(15)
                ask()
                sys.exit(3)
            asker.join()
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            """,
            server.url,
        )
        assert program.end().splitlines() == ["Yes", "Yes", "3"]

    @pytest.mark.parametrize("ending", ["sys.exit()", "os._exit(0)"])
    def test_both_go_on(self, start: Start, server: ScriptedOllama, ending: str) -> None:
        """The child uses the client that the parent used, closes it and leaves; the parent's stream goes on."""
        server.enqueue(Reply.answer("One two").stalled(1))
        server.always(Reply.answer("Yes"))
        program = start(
            f"""
            import os
            from rxollama import Ollama, iterate, run

            ollama = Ollama(sys.argv[1])
            chunks = iterate(ollama.chat("m", "Hello"))
            print(next(chunks).message.content, flush=True)
            if not (child := os.fork()):
                print(run(ollama.chat("m", "Are you there?")).done, flush=True)
                chunks.close()
                ollama.close()
                {ending}
            print(os.waitpid(child, 0)[1], run(ollama.chat("m", "And you?")).done)
            sys.stdout.flush()
            next(chunks, None)
            """,
            server.url,
        )
        lines = [program.line() for _ in range(3)]
        first = server.requests[0]
        assert lines == ["One", "True", "0 True"]
        assert first.left_at is None
        program.interrupt()
