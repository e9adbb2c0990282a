"""A request as a cold observable: where it runs, how it ends, what it leaves."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import socket
import threading
import time
import warnings
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from queue import SimpleQueue
from typing import Any, Literal

import pytest
from faults_cases import HEAD, chunked, closed_at_once, listening
from heard import PATIENCE, Heard, settle, text_of
from reactivex import Observable
from reactivex import operators as rx

from rxollama import Ollama
from rxollama import operators as op
from rxollama._runtime import background
from rxollama.errors import (
    ClientClosedError,
    ConnectionLostError,
    NotFoundError,
    ReportedError,
    SlowCallbackWarning,
    StatusError,
    StreamError,
    TruncatedError,
)
from rxollama.messages import ChatChunk
from rxollama.testing import Piece, Reply, ScriptedOllama
from rxollama.transport import Request, Response

WORDS = ["One", " two", " three"]

UNHANDLED = "unhandled error in the stream of /api/chat with model 'm': pass on_error= to subscribe()"


def chat(ollama: Ollama) -> Observable[ChatChunk]:
    """Ask something."""
    return ollama.chat("m", "Count.")


def goes_on(chunk: ChatChunk) -> bool:
    """Return whether a chunk is not the last one."""
    return not chunk.done


class TestWhere:
    """The loop a stream lives on."""

    def test_background(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Subscribed from outside of any loop, a stream lives on the background thread."""
        server.enqueue(Reply.answer(WORDS))
        heard = Heard(chat(ollama)).wait()
        assert text_of(heard.items) == "One two three"
        assert heard.threads == {"rxollama"}

    async def test_running_loop(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Subscribed from a coroutine, a stream lives on its loop."""
        server.enqueue(Reply.answer(WORDS))
        heard = Heard[ChatChunk]()
        over = asyncio.Event()
        chat(ollama).subscribe(heard.on_next, heard.on_error, over.set)
        await over.wait()
        assert text_of(heard.items) == "One two three"
        assert heard.threads == {threading.current_thread().name}

    def test_one_loop_after_another(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """One client serves several event loops one after another, and threads between them."""
        server.always(Reply.answer(WORDS))

        async def ask() -> bool:
            return (await chat(ollama)).done

        assert [asyncio.run(ask()), Heard(chat(ollama)).wait().completed, asyncio.run(ask())] == [True] * 3

    def test_many_threads(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """One client serves many threads at once, each with its own loop or none."""
        server.always(Reply.answer(WORDS))
        texts: list[str] = []
        start = threading.Barrier(16)

        async def ask() -> list[ChatChunk]:
            return await chat(ollama).pipe(rx.to_list())

        def work(number: int) -> None:
            start.wait()
            for _ in range(3):
                chunks = asyncio.run(ask()) if number % 2 else Heard(chat(ollama)).wait().items
                texts.append(text_of(chunks))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert texts == ["One two three"] * 48

    async def test_hundreds(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A hundred and fifty streams run at the same time on one loop."""
        server.always(Reply.answer(WORDS).stalled(1))
        first = [chat(ollama).pipe(rx.first()).pipe(rx.to_future()) for _ in range(150)]
        chunks = await asyncio.gather(*first)
        assert len(server.requests) == len(chunks) == 150

    def test_cold(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Each subscription sends the request once; without one nothing is sent."""
        server.always(Reply.answer(WORDS))
        asked = chat(ollama)
        assert server.requests == ()
        assert [text_of(Heard(asked).wait().items) for _ in range(2)] == ["One two three"] * 2
        assert len(server.requests) == 2


class TestDispose:
    """Leaving a stream, from another thread and at any moment."""

    @pytest.mark.parametrize("pieces", [0, 2], ids=["before the headers", "between chunks"])
    def test_silent(self, ollama: Ollama, server: ScriptedOllama, pieces: int) -> None:
        """The server sees it at once, and nothing is emitted afterwards."""
        server.enqueue(Reply.answer(WORDS).stalled(pieces))
        heard = Heard(chat(ollama)).wait_items(pieces)
        seen = server.wait_for(1)[0]
        heard.dispose()
        closed_at_once(seen)
        assert len(heard.items) == pieces
        assert not heard.over.is_set()

    def test_streaming(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """In the middle of a quick answer the server sees it at once, and nothing is emitted afterwards."""
        server.enqueue(Reply.answer(["word "] * 100_000, gap=0.0001))
        heard = Heard(chat(ollama)).wait_items(100)
        heard.dispose()
        settle()
        there = len(heard.items)
        closed_at_once(server.requests[0])
        assert len(heard.items) == there
        assert not heard.over.is_set()

    def test_in_a_callback(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Within a callback it ends the stream there, whatever came in the same read."""
        server.enqueue(
            Reply(pieces=(Piece(b"".join(line.data for line in Reply.answer(WORDS).pieces[:3])),)).stalled(1)
        )
        heard = Heard[ChatChunk]()
        ready, left = threading.Event(), threading.Event()

        def leave(chunk: ChatChunk) -> None:
            heard.on_next(chunk)
            ready.wait()
            subscription.dispose()
            left.set()

        subscription = chat(ollama).subscribe(leave, heard.on_error, heard.on_completed)
        ready.set()
        assert left.wait(PATIENCE)
        closed_at_once(server.requests[0])
        assert text_of(heard.items) == "One"
        assert not heard.over.is_set()

    def test_after_the_end(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """After the end it does nothing, and the connection serves the next request."""
        server.always(Reply.answer(WORDS))
        for _ in range(2):
            heard = Heard(chat(ollama)).wait()
            heard.dispose()
            heard.dispose()
        assert len({seen.peer_port for seen in server.requests}) == 1
        assert [seen.left_at for seen in server.requests] == [None, None]

    def test_in_the_last_callback(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """At the chunk that is done it drops the completion, and nothing else."""
        server.enqueue(Reply.answer(WORDS))
        heard = Heard(chat(ollama).pipe(rx.take_while(goes_on, inclusive=True))).wait()
        assert text_of(heard.items) == "One two three"
        assert heard.completed

    def test_twice(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Twice is once."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        heard = Heard(chat(ollama)).wait_items(1)
        heard.dispose()
        heard.dispose()
        server.requests[0].wait_left()

    def test_before_it_began(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Before its loop came to it nothing is sent, and nothing remembered."""
        held, release = threading.Event(), threading.Event()

        def hold() -> None:
            held.set()
            release.wait()

        background().call_soon_threadsafe(hold)
        held.wait()
        heard = Heard(chat(ollama))
        heard.dispose()
        release.set()
        settle()
        assert server.requests == ()
        assert not heard.over.is_set()
        forgotten = weakref.ref(heard)
        del heard
        gc.collect()
        assert forgotten() is None

    async def test_before_its_first_step(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """In the coroutine that subscribed nothing is sent, and nothing remembered."""
        heard = Heard(chat(ollama))
        heard.dispose()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert server.requests == ()
        forgotten = weakref.ref(heard)
        del heard
        gc.collect()
        assert forgotten() is None

    def test_when_its_loop_is_gone(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """After its loop was closed it does nothing."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        heard = Heard[ChatChunk]()

        async def begin() -> None:
            came = asyncio.Event()
            heard.subscription = chat(ollama).subscribe(lambda _: came.set(), heard.on_error)
            await came.wait()

        asyncio.run(begin())
        heard.dispose()
        assert isinstance(heard.failure, ClientClosedError)

    async def test_task_cancelled(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Cancelling the task that awaits an observable closes the request."""
        server.always(Reply.answer(WORDS).stalled(0))

        async def ask() -> ChatChunk:
            return await chat(ollama)

        task = asyncio.create_task(ask())
        seen = (await asyncio.to_thread(server.wait_for, 1))[0]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(seen.wait_left)

    @pytest.mark.parametrize("uncounted", [True, False])
    async def test_lost(self, *, uncounted: bool) -> None:
        """A cancel that is swallowed on the way, as anyio may do it while it connects, is repeated."""
        carrier = Swallowing(uncounted=uncounted)
        heard = Heard(chat(Ollama(transport=carrier)))
        assert await asyncio.to_thread(carrier.opened.wait, PATIENCE)
        heard.dispose()
        async with asyncio.timeout(PATIENCE):
            await carrier.left.wait()
        assert not heard.over.is_set()

    async def test_slow_closing(self) -> None:
        """A closing that takes its time is not interrupted."""
        carrier = Swallowing(uncounted=False)
        heard = Heard(chat(Ollama(transport=carrier)))
        assert await asyncio.to_thread(carrier.opened.wait, PATIENCE)
        heard.dispose()
        async with asyncio.timeout(PATIENCE):
            await carrier.swallowed.wait()
        # Timers of a loop fire in order: those of the repeated cancel, at 0.02, 0.06 and 0.14 s, before this one.
        await asyncio.sleep(0.16)
        assert not carrier.left.is_set()
        carrier.go_on.set()
        async with asyncio.timeout(PATIENCE):
            await carrier.left.wait()


class Swallowing:
    """A transport that swallows the first cancel and then ends slowly."""

    def __init__(self, *, uncounted: bool) -> None:
        self.opened, self.left = threading.Event(), asyncio.Event()
        self.swallowed, self.go_on = asyncio.Event(), asyncio.Event()
        self._uncounted = uncounted

    @asynccontextmanager
    async def open(self, _: Request) -> AsyncGenerator[Response, None]:
        """Never answer."""
        self.opened.set()
        try:
            yield await self._swallow()
        finally:
            self.left.set()

    async def _swallow(self) -> Response:
        task = asyncio.current_task()
        assert task is not None
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self._uncounted:
                task.uncancel()
            self.swallowed.set()
            await self.go_on.wait()
            raise
        raise AssertionError("cancelled by nobody")


class TestConnection:
    """The connection after an answer."""

    @pytest.mark.parametrize(
        "reply",
        [
            Reply.answer(WORDS),
            Reply.answer(WORDS).with_error("It broke", after=1),
            Reply.error(404, {"error": "model 'm' not found"}),
            Reply.json({"message": {"content": "Whole"}, "done": True}),
        ],
        ids=["done", "error record", "status", "whole"],
    )
    def test_reuse(self, ollama: Ollama, server: ScriptedOllama, reply: Reply) -> None:
        """After an answer that ended properly the next request goes over the same connection."""
        server.enqueue(reply, Reply.answer(WORDS))
        Heard(chat(ollama)).wait()
        assert Heard(chat(ollama)).wait().completed
        assert len({seen.peer_port for seen in server.requests}) == 1

    def test_never_ending(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A server that keeps an answer open after it is done delays its end by a second at most."""
        server.enqueue(Reply.answer(WORDS).stalled(4))
        heard = Heard(chat(ollama)).wait()
        assert heard.completed
        assert heard.items[-1].done
        server.requests[0].wait_left()

    def test_broken_after_done(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A connection that breaks after the answer is done changes nothing."""
        server.enqueue(Reply.answer(WORDS).reset(10_000))
        assert text_of(Heard(chat(ollama)).wait().items) == "One two three"

    def test_talking_on(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Bytes after the end of the answer are ignored."""
        pieces = Reply.answer(WORDS).pieces
        server.enqueue(Reply(pieces=(*pieces, *(Piece(piece.data, 0.005) for piece in pieces))))
        heard = Heard(chat(ollama)).wait()
        assert (text_of(heard.items), heard.completed) == ("One two three", True)

    def test_slow_refusal(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The body of a refusal that does not end is given up."""
        server.enqueue(Reply(status=500, pieces=(Piece(b"It "), Piece(b"broke"))).stalled(1))
        failure = Heard(chat(ollama)).failure
        assert isinstance(failure, StatusError)
        assert failure.detail == "It"

    def test_long_refusal(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Only a limited part of a refusal's body is read."""
        server.enqueue(Reply.error(500, "x" * 3_000_000))
        failure = Heard(chat(ollama)).failure
        assert isinstance(failure, StatusError)
        assert len(failure.detail) == 2000


class TestErrors:
    """The errors that a subscriber receives."""

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            (Reply.answer(WORDS).truncated(2), TruncatedError),
            (Reply.answer(WORDS).dropped(200), ConnectionLostError),
            (Reply.answer(WORDS).with_error("It broke", after=2), ReportedError),
            (Reply.error(404, {"error": "model 'm' not found"}), NotFoundError),
        ],
        ids=["truncated", "dropped", "reported", "refused"],
    )
    def test_what_they_carry(
        self, ollama: Ollama, server: ScriptedOllama, reply: Reply, kind: type[StreamError]
    ) -> None:
        """Every error carries the model, the host, the endpoint and what had arrived."""
        server.enqueue(reply)
        heard = Heard(chat(ollama))
        failure = heard.failure
        assert type(failure) is kind
        assert isinstance(failure, kind)
        assert (failure.model, failure.host, failure.endpoint) == ("m", server.url, "POST /api/chat")
        assert failure.partial is not None
        assert failure.partial.message.content == text_of(heard.items)
        assert not failure.partial.done
        assert failure.partial.metrics.chunk_count == len(heard.items)
        assert failure.partial.metrics.host == server.url
        assert str(failure).endswith(("(model 'm', POST /api/chat)", f"(model 'm', POST {server.url}/api/chat)"))
        assert str(failure).count(server.url) == 1

    def test_of_another_call(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The error of a call that brings no chat has nothing partial, and names what it has."""
        server.enqueue(Reply.error(500, "no"))
        failure = Heard(ollama.version()).failure
        assert isinstance(failure, StatusError)
        assert (failure.model, failure.host, failure.endpoint) == ("", server.url, "GET /api/version")
        assert failure.partial is None

    def test_in_a_callback(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A callback that raises ends its own subscription with that error, and no other."""
        server.always(Reply.answer(WORDS).stalled(2))

        def fail(_: ChatChunk) -> None:
            raise ValueError("a bug")

        sibling = Heard(chat(ollama)).wait_items(2)
        failed = Heard(chat(ollama), fail)
        assert repr(failed.failure) == "ValueError('a bug')"
        server.wait_for(2)[1].wait_left()
        settle()
        assert not sibling.over.is_set()
        sibling.dispose()

    @pytest.mark.parametrize("where", ["first", "later", "last"])
    @pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration, TimeoutError, ConnectionResetError])
    def test_any_in_a_callback(
        self, ollama: Ollama, server: ScriptedOllama, kind: type[Exception], where: Literal["first", "later", "last"]
    ) -> None:
        """Whatever a callback raises reaches its subscriber as it is, though a task or a network could raise it too."""
        last = Reply.answer(WORDS).pieces[-1].data.rstrip(b"\n")
        server.enqueue(Reply.raw(b"HTTP/1.1 200 OK\r\n\r\n" + last) if where == "last" else Reply.answer(WORDS))
        raised = kind("of the callback's own")

        def fail(_: ChatChunk) -> None:
            if where != "later" or len(heard.items) == 3:
                raise raised

        heard = Heard[ChatChunk](None, fail)
        chat(ollama).pipe(op.retry(backoff=0)).subscribe(heard.on_next, heard.on_error, heard.on_completed)
        assert heard.failure is raised
        assert len(server.requests) == 1

    @pytest.mark.parametrize("kind", [GeneratorExit, asyncio.CancelledError])
    def test_not_an_exception_in_a_callback(
        self, ollama: Ollama, server: ScriptedOllama, kind: type[BaseException]
    ) -> None:
        """What is not an `Exception` is the cause of one. Nothing of ours was cancelled."""
        server.enqueue(Reply.answer(WORDS))
        raised = kind("of the callback's own")

        def fail(_: ChatChunk) -> None:
            raise raised

        failure = Heard(chat(ollama), fail).failure
        assert type(failure) is RuntimeError
        assert str(failure) == f"the stream of /api/chat with model 'm' was ended by {kind.__name__}"
        assert failure.__cause__ is raised

    async def test_in_a_callback_without_handler(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A callback that raises, where nothing handles errors, is reported to the loop."""
        server.enqueue(Reply.answer(WORDS))
        told = reports()

        def fail(_: ChatChunk) -> None:
            raise ValueError("a bug")

        chat(ollama).subscribe(fail)
        context = await told.get()
        assert repr(context["exception"]) == "ValueError('a bug')"
        assert (
            context["message"]
            == "unhandled error in the stream of /api/chat with model 'm': pass on_error= to subscribe()"
        )

    async def test_in_a_callback_after_dispose(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A callback that disposes and then raises is reported to the loop."""
        server.enqueue(Reply.answer(WORDS))
        told = reports()

        def fail(_: ChatChunk) -> None:
            subscription.dispose()
            raise ValueError("a bug")

        subscription = chat(ollama).subscribe(fail)
        context = await told.get()
        assert repr(context["exception"]) == "ValueError('a bug')"
        assert "after it was disposed" in context["message"]

    async def test_without_handler(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An error that nothing handles is reported to the loop."""
        server.enqueue(Reply.error(500, "no"))
        told = reports()
        ollama.version().subscribe()
        context = await told.get()
        assert isinstance(context["exception"], StatusError)
        assert context["message"] == "unhandled error in the stream of /api/version: pass on_error= to subscribe()"

    async def test_in_the_handler(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A handler that raises is reported to the loop."""
        server.enqueue(Reply.answer(WORDS))
        told = reports()

        def fail() -> None:
            raise ValueError("a bug")

        chat(ollama).subscribe(on_completed=fail)
        assert repr((await told.get())["exception"]) == "ValueError('a bug')"


def reports() -> asyncio.Queue[dict[str, Any]]:
    """Return a queue of the reports to the running loop."""
    told = asyncio.Queue[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.put_nowait(context))
    return told


class TestTiming:
    """The timing that the client measures."""

    def test_last_chunk(self) -> None:
        """The last chunk, and only it, tells what the client saw, in the order in which it happened."""
        answer = Reply.answer(WORDS, thinking=["Hm"])
        turns: SimpleQueue[Heard[ChatChunk]] = SimpleQueue()

        def script(connection: socket.socket) -> None:
            heard = turns.get(timeout=PATIENCE)
            connection.sendall(HEAD)
            for place, piece in enumerate(answer.pieces):
                # Each chunk is sent after the one before has been seen, so that no two arrive at the same moment.
                heard.wait_items(place)
                time.sleep(0.01)
                connection.sendall(chunked(piece.data))
            connection.sendall(b"0\r\n\r\n")

        with listening(script) as url, Ollama(url) as ollama:
            heard = Heard(chat(ollama))
            turns.put(heard)
            *others, last = heard.wait().items
        seen = last.client
        assert [chunk.client for chunk in others] == [None] * 4
        assert seen is not None
        assert seen.chunk_count == 5
        assert seen.time_to_first_chunk == seen.time_to_first_token
        moments = (seen.time_to_first_chunk, seen.time_to_first_content, seen.wall_duration)
        known = [moment for moment in moments if moment is not None]
        assert len(known) == 3
        assert 9_000_000 < known[0] < known[1] < known[2] < 60_000_000_000
        assert known[2] - known[1] > 27_000_000
        assert last.metrics is not None
        assert last.metrics.wall_duration == seen.wall_duration

    def test_whole(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Without streaming there is one chunk, with all that the client saw."""
        server.enqueue(Reply.json({"message": {"role": "assistant", "content": "Yes."}, "done": True}))
        (chunk,) = Heard(ollama.chat("m", "Well?", stream=False)).wait().items
        assert chunk.client is not None
        assert chunk.client.chunk_count == 1
        assert chunk.client.time_to_first_content == chunk.client.time_to_first_chunk is not None

    def test_nothing_said(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An answer without a word has no first token."""
        server.enqueue(Reply.answer([]))
        (chunk,) = Heard(chat(ollama)).wait().items
        assert chunk.client is not None
        assert chunk.client.time_to_first_token is chunk.client.time_to_first_content is None


class TestSlowCallback:
    """Callbacks that hold the loop."""

    def test_told_once(self, ollama: Ollama, server: ScriptedOllama, caplog: pytest.LogCaptureFixture) -> None:
        """A callback that holds the loop is warned of once, by name, with the seconds and the way out."""
        server.enqueue(Reply.answer(WORDS).slow(0.01))
        caplog.set_level(logging.ERROR)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SlowCallbackWarning)
            heard = Heard(chat(ollama), lambda chunk: chunk.done or threading.Event().wait(0.26)).wait()
        assert heard.completed
        (warning,) = caught
        assert warning.category is SlowCallbackWarning
        told = re.fullmatch(
            r"the callbacks of the stream of /api/chat with model 'm' blocked its event loop for (\d+\.\d) s, and with "
            r"it every stream on that loop: for work that blocks use iterate\(\) or run\(\), or emit on a scheduler of "
            r"your own",
            str(warning.message),
        )
        assert told is not None
        # A busy machine wakes the callback late, and several chunks may come in one read.
        assert float(told[1]) >= 0.3

    @pytest.mark.filterwarnings("error")
    def test_as_an_error(self, ollama: Ollama, server: ScriptedOllama, caplog: pytest.LogCaptureFixture) -> None:
        """Where warnings are errors the stream goes on all the same, and the warning is reported."""
        server.enqueue(Reply.answer(WORDS).slow(0.01))
        heard = Heard(chat(ollama), lambda chunk: chunk.done or threading.Event().wait(0.26)).wait()
        assert heard.completed
        assert text_of(heard.items) == "".join(WORDS)
        assert ["blocked its event loop" in record.getMessage() for record in caplog.records] == [True]


class TestClose:
    """A client that is closed while its streams run."""

    def test_from_outside(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """When it returns, every stream has its error with the response so far, and every request is closed."""
        server.always(Reply.answer(WORDS).stalled(2))
        streams = [Heard(chat(ollama)).wait_items(2) for _ in range(3)]
        ollama.close()
        assert all(heard.over.is_set() for heard in streams)
        for heard in streams:
            assert isinstance(heard.failure, ClientClosedError)
            assert heard.failure.partial is not None
            assert heard.failure.partial.message.content == "One two"
        for seen in server.requests:
            seen.wait_left()
        server.wait_closed()

    def test_from_a_callback(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """In a callback it does not wait for itself."""
        server.always(Reply.answer(WORDS).stalled(2))
        heard = Heard(chat(ollama), lambda _: ollama.close())
        assert isinstance(heard.failure, ClientClosedError)
        assert len(heard.items) < 3

    async def test_in_a_coroutine(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """`aclose` waits for the streams of every loop."""
        server.always(Reply.answer(WORDS).stalled(2))
        here = Heard(chat(ollama))
        there = await asyncio.to_thread(Heard, chat(ollama))
        await asyncio.to_thread(here.wait_items, 2)
        await asyncio.to_thread(there.wait_items, 2)
        await ollama.aclose()
        assert isinstance(here.error, ClientClosedError)
        assert isinstance(there.error, ClientClosedError)
        await asyncio.to_thread(server.wait_closed)

    def test_before_it_began(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A stream that has not begun on its loop yet ends as well."""
        held, release = threading.Event(), threading.Event()

        def hold() -> None:
            held.set()
            release.wait()

        background().call_soon_threadsafe(hold)
        held.wait()
        heard, left = Heard(chat(ollama)), Heard(chat(ollama))
        left.dispose()
        closing = threading.Thread(target=ollama.close)
        closing.start()
        while not ollama._streams.closed:
            pass
        release.set()
        closing.join()
        assert isinstance(heard.failure, ClientClosedError)
        assert not left.over.is_set()
        assert server.requests == ()

    def test_without_handler(self, ollama: Ollama, server: ScriptedOllama, caplog: pytest.LogCaptureFixture) -> None:
        """A client that closes under a stream without a handler is reported like any other unhandled error."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        heard = Heard[ChatChunk]()
        chat(ollama).subscribe(heard.on_next)
        heard.wait_items(1)
        ollama.close()
        settle()
        (record,) = caplog.records
        assert UNHANDLED in record.getMessage()
        assert record.exc_info
        assert isinstance(record.exc_info[1], ClientClosedError)

    def test_handler_that_fails(self, ollama: Ollama, server: ScriptedOllama, caplog: pytest.LogCaptureFixture) -> None:
        """A handler that raises at that is reported."""
        server.enqueue(Reply.answer(WORDS).stalled(1))

        def fail(_: Exception) -> None:
            raise ValueError("a bug")

        heard = Heard[ChatChunk]()
        chat(ollama).subscribe(heard.on_next, fail)
        heard.wait_items(1)
        ollama.close()
        settle()
        assert ["a bug" in str(record.exc_info) for record in caplog.records] == [True]

    def test_twice_and_after(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Closing twice is closing once. A stream that is subscribed later fails, and sends nothing."""
        ollama.close()
        ollama.close()
        failure = Heard(chat(ollama)).failure
        assert str(failure) == f"the client was closed: make a new one (model 'm', POST {server.url}/api/chat)"
        assert server.requests == ()
