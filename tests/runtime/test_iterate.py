"""Leaving Rx: blocking, iterating, awaiting, and consumers as slow as they like."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from faults_cases import closed_at_once, closed_at_once_here
from heard import PATIENCE, Heard, settle, text_of
from programs import Program
from reactivex import Observable, abc
from reactivex import operators as rx
from reactivex.disposable import Disposable
from reactivex.subject import Subject

from rxollama import Ollama, Stream, aiterate, iterate
from rxollama import operators as op
from rxollama._runtime import AsyncIteration, Iteration
from rxollama.errors import (
    ClientClosedError,
    InvalidValueError,
    NotFoundError,
    ReportedError,
    RunningLoopError,
)
from rxollama.messages import ChatChunk
from rxollama.testing import Reply, ScriptedOllama

WORDS = ["One", " two", " three"]


def chat(ollama: Ollama) -> Stream[ChatChunk]:
    """Ask something."""
    return ollama.chat("m", "Count.")


def texts(ollama: Ollama) -> Stream[str]:
    """Ask something, for the content alone."""
    return chat(ollama).pipe(op.content())


class Item:
    """Something that a weak reference can refer to."""


class TestIterate:
    """Iterating in a plain `for`."""

    def test_items(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """It brings the items as they come, and ends with the observable."""
        server.enqueue(Reply.answer(WORDS, gap=0.01))
        assert "".join(iterate(texts(ollama))) == "One two three"
        assert server.requests[0].left_at is None

    def test_lazy(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """It asks at the first step, and not before."""
        iterate(texts(ollama))
        settle()
        assert server.requests == ()

    def test_synchronous(self) -> None:
        """A source that emits while it is subscribed is iterated too; texts of a foreign observable stay apart."""
        assert list(iterate(reactivex.of(1, 2, 3))) == [1, 2, 3]
        assert list(iterate(reactivex.of("a", "b"))) == ["a", "b"]
        assert list(iterate(reactivex.of("a", "b"), overflow="sum")) == ["ab"]
        assert list(iterate(reactivex.empty())) == []

    def test_break(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Leaving the loop closes the request at once."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        for _ in iterate(chat(ollama)):
            break
        closed_at_once(server.requests[0])

    def test_exception(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An exception in the body of the loop closes the request, even while it is being handled."""
        server.enqueue(Reply.answer(WORDS).stalled(1))

        def fail() -> None:
            for _ in iterate(chat(ollama)):
                raise LookupError

        with pytest.raises(LookupError):
            fail()
        server.requests[0].wait_left()

    def test_close(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """`close` closes the request, and nothing more is handed out."""
        server.enqueue(Reply.answer(WORDS).stalled(3))
        chunks = iterate(chat(ollama), overflow="keep")
        assert next(chunks).message.content == "One"
        chunks.close()
        server.requests[0].wait_left()
        assert list(chunks) == []

    def test_with(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Leaving a `with` closes the request."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        with iterate(chat(ollama)) as chunks:
            next(chunks)
            assert server.requests[0].left_at is None
        server.requests[0].wait_left()

    def test_close_by_another(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Closing wakes a thread that waits for the next item."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        chunks = iterate(chat(ollama))
        got: list[str] = []
        came = threading.Event()

        def consume() -> None:
            for chunk in chunks:
                got.append(chunk.message.content)
                came.set()

        consumer = threading.Thread(target=consume)
        consumer.start()
        came.wait()
        chunks.close()
        consumer.join(PATIENCE)
        assert not consumer.is_alive()
        assert got == ["One"]

    def test_closed_while_it_subscribes(self) -> None:
        """Closed while it subscribes, it disposes what it has subscribed to."""
        disposed: list[bool] = []

        def subscribe(_: abc.ObserverBase[int], __: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            items.close()
            return Disposable(lambda: disposed.append(True))

        items = iterate(Observable(subscribe))
        assert list(items) == []
        assert disposed == [True]

    def test_error(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The error comes after the items, once."""
        server.enqueue(Reply.answer(WORDS).with_error("It broke", after=2))
        chunks = iterate(chat(ollama))
        got = [next(chunks).message.content]
        with pytest.raises(ReportedError):
            got.extend(chunk.message.content for chunk in chunks)
        assert "".join(got) == "One two" or got == ["One"]
        assert list(chunks) == []

    def test_client_closed(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Closing the client ends it with that error."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        chunks = iterate(chat(ollama))
        next(chunks)
        ollama.close()
        with pytest.raises(ClientClosedError):
            next(chunks)

    async def test_in_a_loop(self) -> None:
        """Inside a loop it refuses, at the call and at the first step, and names the other way."""
        with pytest.raises(RunningLoopError, match=r"use `async for item in aiterate\(stream\)`"):
            iterate(reactivex.of(1))
        items = await asyncio.to_thread(iterate, reactivex.of(1))
        with pytest.raises(RunningLoopError, match="iterate"):
            next(items)
        assert await asyncio.to_thread(list[int], items) == [1]

    @pytest.mark.parametrize("make", [iterate, aiterate])
    def test_overflow_of_another_kind(self, make: Callable[..., object]) -> None:
        """An overflow that there is not is refused."""
        with pytest.raises(InvalidValueError, match="'sum', 'keep' or 'latest'"):
            make(reactivex.of(1), overflow="drop")

    def test_source_that_goes_on(self) -> None:
        """A source that ignores its disposal does not fill the memory of an iteration that was closed."""
        observers: list[abc.ObserverBase[Item]] = []

        def subscribe(observer: abc.ObserverBase[Item], _: object = None) -> abc.DisposableBase:
            observers.append(observer)
            observer.on_next(Item())
            return Disposable()

        items = iterate(Observable(subscribe))
        assert isinstance(next(items), Item)
        items.close()
        late = [Item() for _ in range(9)]
        alive = [weakref.ref(item) for item in late]
        while late:
            observers[0].on_next(late.pop())
        gc.collect()
        assert sum(ref() is not None for ref in alive) <= 1
        assert list(items) == []


class TestSlowConsumer:
    """A consumer that does not come to it while the server floods."""

    RECORDS = 4000
    TEXT = "word " * 1000

    def flood(self) -> Reply:
        """Send 20 MB, as fast as it goes."""
        return Reply.answer([self.TEXT] * self.RECORDS)

    def test_sum(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The server sends everything while nothing is read, nothing is lost, and memory stays near the text's size."""
        server.enqueue(self.flood())
        size = self.RECORDS * len(self.TEXT)
        with iterate(texts(ollama)) as got:
            parts = [next(got)]
            before, peak = self.measured(server)
            parts += got
        assert "".join(parts) == self.TEXT * self.RECORDS
        assert len(parts) < self.RECORDS / 10
        assert peak - before < 4 * size

    def measured(self, server: ScriptedOllama) -> tuple[int, int]:
        """Return the memory before the server has sent everything, and its peak, without reading meanwhile."""
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        seen = server.requests[0]
        seen.wait_finished(30)
        settle()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return before, peak

    @pytest.mark.parametrize("overflow", ["keep", "latest", "sum"])
    def test_overflow(self, ollama: Ollama, server: ScriptedOllama, overflow: Any) -> None:
        """The items that waited are found one by one, as the latest alone, or as a sum."""
        server.enqueue(Reply.answer(WORDS * 100))
        over = threading.Event()
        with iterate(chat(ollama).pipe(rx.finally_action(over.set)), overflow=overflow) as got:
            chunks = [next(got)]
            assert over.wait(PATIENCE)
            chunks += got
        if overflow == "latest":
            assert len(chunks) <= 2
            assert chunks[-1].done
        else:
            assert text_of(chunks) == "".join(WORDS * 100)
            assert (len(chunks) == 301) == (overflow == "keep")

    async def test_async(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An asynchronous consumer that is busy elsewhere does not stall the server either."""
        server.enqueue(self.flood())
        parts: list[str] = []
        async with aiterate(texts(ollama)) as got:
            async for part in got:
                if not parts:
                    await asyncio.to_thread(server.requests[0].wait_finished, 30)
                parts.append(part)
        assert "".join(parts) == self.TEXT * self.RECORDS
        assert len(parts) < self.RECORDS / 10


class TestAiterate:
    """Iterating in an `async for`."""

    async def test_items(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """It brings the items as they come, and ends with the observable."""
        server.enqueue(Reply.answer(WORDS, gap=0.01))
        assert "".join([text async for text in aiterate(texts(ollama))]) == "One two three"
        assert server.requests[0].left_at is None

    async def test_synchronous(self) -> None:
        """An observable that is there at once is as good."""
        assert [item async for item in aiterate(reactivex.of(1, 2, 3))] == [1, 2, 3]
        assert [item async for item in aiterate(reactivex.empty())] == []

    async def test_break(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Leaving the loop closes the request at once."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        async for _ in aiterate(chat(ollama)):
            break
        await closed_at_once_here(server.requests[0])

    async def test_cancel(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Cancelling the task closes the request."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        came = asyncio.Event()

        async def consume() -> None:
            async for _ in aiterate(chat(ollama)):
                came.set()

        task = asyncio.create_task(consume())
        await came.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.requests[0].wait_left)

    async def test_aclose(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """`aclose` closes the request, wakes the waiting task, and ends the iteration."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        chunks = aiterate(chat(ollama))
        assert (await anext(chunks)).message.content == "One"
        waiting = asyncio.create_task(self.rest(chunks))
        await asyncio.sleep(0)
        await chunks.aclose()
        assert await waiting == []
        await asyncio.to_thread(server.requests[0].wait_left)

    async def rest(self, chunks: AsyncIteration[ChatChunk]) -> list[ChatChunk]:
        """Collect what still comes."""
        return [chunk async for chunk in chunks]

    async def test_error(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The error comes after the items, once."""
        server.enqueue(Reply.error(404, {"error": "model 'm' not found"}))
        chunks = aiterate(chat(ollama))
        with pytest.raises(NotFoundError):
            await anext(chunks)
        assert await self.rest(chunks) == []

    async def test_from_another_thread(self) -> None:
        """Items from another thread wake it, once for many, and none is lost."""
        subject = Subject[str]()
        got = aiterate(subject, overflow="sum")
        first = asyncio.create_task(anext(got))
        await asyncio.sleep(0)

        def speak() -> None:
            for number in range(1000):
                subject.on_next(f"{number} ")
            subject.on_completed()

        speaking = asyncio.create_task(asyncio.to_thread(speak))
        parts = [await first] + [part async for part in got]
        await speaking
        assert "".join(parts) == "".join(f"{number} " for number in range(1000))
        assert len(parts) < 900

    def test_loop_gone(self) -> None:
        """Items for a closed loop are dropped, and are not an error of the source."""
        subject = Subject[int]()
        got = aiterate(subject)

        async def step() -> int:
            waiting = asyncio.ensure_future(anext(got))
            await asyncio.sleep(0)
            subject.on_next(1)
            return await waiting

        assert asyncio.run(step()) == 1
        subject.on_next(2)

    async def test_dropped(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An iterator that is dropped in the middle closes its request."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        chunks = aiterate(chat(ollama))
        await anext(chunks)
        del chunks
        await asyncio.to_thread(server.requests[0].wait_left)


def test_as_they_come(ollama: Ollama, server: ScriptedOllama) -> None:
    """Iterators have the types that annotations name."""
    server.enqueue(Reply.answer(WORDS))
    chunks = iterate(chat(ollama))
    assert isinstance(chunks, Iteration)
    assert isinstance(aiterate(chat(ollama)), AsyncIteration)
    assert text_of(list(chunks)) == "One two three"
    assert text_of(Heard(reactivex.empty()).wait().items) == ""


def test_collected_within_a_lock(start: Callable[..., Program], server: ScriptedOllama) -> None:
    """The garbage collector may find a dropped iterator while its stream is within any lock."""
    # However late the program drops it, the stream still runs.
    server.enqueue(Reply.answer(["word "] * 100_000, gap=0.001))
    server.always(Reply.answer(WORDS))
    program = start(
        """
        import gc
        import threading

        from rxollama import Ollama, run
        from rxollama import operators as op

        dropped = threading.Event()
        collected = threading.Event()

        def collect(frame, event, argument):
            # An event that is set holds its lock there.
            if dropped.is_set() and frame.f_code.co_name == "notify" and not collected.is_set():
                collected.set()
                gc.collect()

        threading.setprofile(collect)
        with Ollama(sys.argv[1]) as ollama:
            gc.disable()
            iterator = iter(ollama.chat("m", "Count.").pipe(op.content()))
            next(iterator)
            cycle = [iterator]
            cycle.append(cycle)
            del iterator, cycle
            dropped.set()
            assert collected.wait(10)
            print(run(ollama.chat("m", "Count.")).message.content)
        """,
        server.url,
    )
    assert program.end() == "One two three"
