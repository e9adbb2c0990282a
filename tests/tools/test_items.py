"""The execution of tools: where they run, which items they give, and how they end."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import aclosing
from contextvars import ContextVar
from inspect import CORO_CLOSED, getcoroutinestate
from typing import Any, cast

import pytest
import reactivex
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.subject import Subject
from tool_cases import join_tools

from rxollama._runtime import aiterate
from rxollama.tools import Tool, ToolExitError, ToolProgress

PATIENCE = 10.0
NAME: ContextVar[str] = ContextVar("NAME", default="nobody")


async def items_of(function: Callable[..., Any], **arguments: Any) -> list[Any]:
    """Run a tool to its end."""
    return [item async for item in Tool(function, name="tool").items(arguments)]


def here() -> str:
    """Name the thread."""
    return threading.current_thread().name


async def coroutine() -> str:
    """Give one item on the loop."""
    await asyncio.sleep(0)
    return here()


def generator() -> Generator[Any, None, str]:
    """Give several items on a thread."""
    yield ToolProgress("half")
    yield here()
    return "not told"


def iterator() -> Iterator[str]:
    """Give several items from an iterator without `close`."""
    return map(str, (1, 2))


async def async_generator() -> AsyncGenerator[Any, None]:
    """Give several items on the loop."""
    yield ToolProgress("half")
    await asyncio.sleep(0)
    yield here()


def observable() -> Observable[int]:
    """Give several items from an observable."""
    return reactivex.of(1, 2, 3)


def empty() -> Observable[int]:
    """Give no item from an observable."""
    return reactivex.empty()


async def async_observable() -> Observable[int]:
    """Return an observable from a coroutine."""
    return observable()


def awaitable() -> Awaitable[str]:
    """Return an awaitable."""
    return coroutine()


def of_the_bridge() -> AsyncIterator[int]:
    """Return an async iterator that is not a generator."""
    return aiterate(observable(), overflow="keep")


class Plain:
    """An async iterator without `aclose`."""

    def __init__(self) -> None:
        self._left = [1, 2]

    def __aiter__(self) -> Plain:
        return self

    async def __anext__(self) -> int:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


def nothing() -> None:
    """Return None, as declared."""


async def async_nothing() -> None:
    """Return None, as declared."""


def liar() -> None:
    """Return a value, against the declaration."""
    return cast("None", "told")


def liar_of_many() -> None:
    """Return an iterator, against the declaration."""
    return cast("None", iter([None, "told"]))


def untold():  # type: ignore[no-untyped-def]  # noqa: ANN201 - What says nothing of its result is the case.
    """Return None without a declaration."""


class Runner:
    """An object with an async `__call__`."""

    async def __call__(self) -> str:
        """Name the thread."""
        return here()


@pytest.mark.parametrize(
    ("function", "items"),
    [
        (here, ["tool tool"]),
        (coroutine, ["MainThread"]),
        (generator, [ToolProgress("half"), "tool tool"]),
        (iterator, ["1", "2"]),
        (async_generator, [ToolProgress("half"), "MainThread"]),
        (observable, [1, 2, 3]),
        (async_observable, [1, 2, 3]),
        (awaitable, ["MainThread"]),
        (of_the_bridge, [1, 2, 3]),
        (Plain, [2, 1]),
        (empty, []),
        (nothing, []),
        (async_nothing, []),
        (untold, [None]),
        (Runner(), ["MainThread"]),
        (lambda: [1, 2], [[1, 2]]),
        (liar, ["told"]),
        (liar_of_many, ["told"]),
    ],
)
async def test_items(function: Callable[..., Any], items: list[Any]) -> None:
    """A plain function runs on a thread of its own, and an async one on the loop."""
    assert items == await items_of(function)


async def test_context() -> None:
    """A function on a thread has a copy of its caller's context."""

    def rename() -> Generator[str]:
        yield NAME.get()
        NAME.set("somebody")
        yield NAME.get()

    NAME.set("caller")

    assert ["caller", "somebody"] == await items_of(rename)
    assert "caller" == NAME.get()


async def test_at_once() -> None:
    """Several calls of one tool run at the same time, each on a thread."""
    barrier = threading.Barrier(4)

    found = await asyncio.gather(*(items_of(barrier.wait) for _ in range(4)))

    assert [0, 1, 2, 3] == sorted(place for (place,) in found)


async def test_steps() -> None:
    """An item of a generator arrives while the generator goes on."""
    go_on = threading.Event()

    def steps() -> Generator[int]:
        yield 1
        assert go_on.wait(PATIENCE)
        yield 2

    async with aclosing(Tool(steps).items({})) as items:
        assert 1 == await anext(items)
        go_on.set()
        assert [2] == [item async for item in items]


class Failure(Exception):  # noqa: N818 - It is no error of ours.
    """An exception of a tool."""


async def raise_async(error: Any) -> None:
    """Raise on the loop."""
    raise error


def raise_in_thread(error: Any) -> None:
    """Raise on a thread."""
    raise error


def raise_after_item(error: Any) -> Generator[int]:
    """Raise on a thread, after an item."""
    yield 1
    raise error


def raise_observable(error: Any) -> Observable[int]:
    """Raise in an observable."""
    return reactivex.throw(error)


@pytest.mark.parametrize("function", [raise_async, raise_in_thread, raise_after_item, raise_observable])
async def test_errors(function: Callable[..., Any]) -> None:
    """An exception of a tool is raised unchanged, with its traceback."""
    error = Failure("it went wrong")

    with pytest.raises(Failure) as caught:
        await items_of(function, error=error)

    assert error is caught.value
    assert function is raise_observable or "raise error" in str(caught.traceback[-1].statement)


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        StopIteration(),
        StopAsyncIteration(),
    ],
    ids=repr,
)
async def test_ends_of_threads(error: BaseException) -> None:
    """An exception that would end a program, a task or a loop ends only the thread, and becomes a `ToolExitError`."""
    with pytest.raises(ToolExitError, match=f"tool tool raised {type(error).__name__}") as caught:
        await items_of(raise_in_thread, error=error)

    assert error is caught.value.__cause__


def raise_awaited(error: Any) -> Awaitable[None]:
    """Return an awaitable that raises."""
    return raise_async(error)


@pytest.mark.parametrize("function", [raise_async, raise_awaited])
async def test_exits(function: Callable[..., Any]) -> None:
    """An async function that calls `sys.exit` does not end the program either."""
    error = SystemExit(3)

    with pytest.raises(RuntimeError, match="tool tool raised SystemExit") as caught:
        await items_of(function, error=error)

    assert error is caught.value.__cause__


async def test_not_begun() -> None:
    """Nothing runs before the first step."""
    begun: list[int] = []

    items = Tool(begun.append, name="tool").items({"object": 1})
    await items.aclose()

    assert [] == begun


class TestLeaving:
    """Leaving a tool early."""

    async def test_coroutine(self) -> None:
        """A coroutine is cancelled with the task."""
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        task = asyncio.create_task(items_of(wait))
        await begun.wait()
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled.is_set()

    async def test_async_generator(self) -> None:
        """An async generator is closed."""
        closed: list[bool] = []

        async def steps() -> AsyncGenerator[int, None]:
            try:
                yield 1
                yield 2
            finally:
                closed.append(True)

        async with aclosing(Tool(steps).items({})) as items:
            assert 1 == await anext(items)

        assert [True] == closed

    @pytest.mark.parametrize("way", ["close", "cancel"])
    async def test_observable(self, way: str) -> None:
        """An observable is disposed."""
        disposed = asyncio.Event()

        def subscribe(observer: abc.ObserverBase[int], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            observer.on_next(1)
            return Disposable(disposed.set)

        tool = Tool(lambda: Observable(subscribe), name="tool")
        if way == "close":
            async with aclosing(tool.items({})) as items:
                assert 1 == await anext(items)
        else:
            got = asyncio.Event()

            async def listen() -> None:
                async for _ in tool.items({}):
                    got.set()

            task = asyncio.create_task(listen())
            await got.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        assert disposed.is_set()

    async def test_generator(self) -> None:
        """A generator on a thread is closed there after its current step."""
        closed: list[str] = []
        over = threading.Event()
        thread: list[threading.Thread] = []
        go_on = threading.Event()

        def steps() -> Generator[int]:
            thread.append(threading.current_thread())
            try:
                yield 1
                go_on.wait(PATIENCE)
                yield 2
                yield 3
            finally:
                closed.append(here())
                over.set()

        async with aclosing(Tool(steps).items({})) as items:
            assert 1 == await anext(items)
            assert [] == closed
        go_on.set()

        assert await asyncio.to_thread(over.wait, PATIENCE)
        assert ["tool steps"] == closed
        await asyncio.to_thread(thread[0].join, PATIENCE)

    @pytest.mark.parametrize("end", ["result", "error", "exit"])
    async def test_function(self, end: str) -> None:
        """A function on a thread goes on, and its result is dropped."""
        begun, go_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()
        thread: list[threading.Thread] = []

        def work() -> str:
            thread.append(threading.current_thread())
            loop.call_soon_threadsafe(begun.set)
            go_on.wait(PATIENCE)
            if end == "error":
                raise Failure
            if end == "exit":
                raise SystemExit
            return "late"

        task = asyncio.create_task(items_of(work))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert thread[0].is_alive()

        go_on.set()
        await asyncio.to_thread(thread[0].join, PATIENCE)
        assert not thread[0].is_alive()

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_unawaited(self, when: str) -> None:
        """A coroutine that will not be awaited is closed, whether it or the cancellation comes first."""
        begun, go_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()
        thread: list[threading.Thread] = []
        made: list[Coroutine[Any, Any, str]] = []

        def work() -> Awaitable[str]:
            thread.append(threading.current_thread())
            loop.call_soon_threadsafe(begun.set)
            go_on.wait(PATIENCE)
            made.append(coroutine())
            return made[0]

        task = asyncio.create_task(items_of(work))
        await begun.wait()
        if when == "before":
            # The loop is held until the coroutine has come, so that the task is cancelled with it in hand.
            go_on.set()
            thread[0].join(PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        thread[0].join(PATIENCE)

        assert CORO_CLOSED == getcoroutinestate(made[0])

    async def test_dropped(self) -> None:
        """A generator that is garbage is closed as well."""
        closed = threading.Event()
        thread: list[threading.Thread] = []

        def steps() -> Generator[int]:
            thread.append(threading.current_thread())
            try:
                while True:
                    yield 1
            finally:
                closed.set()

        items = Tool(steps).items({})
        assert 1 == await anext(items)
        del items
        gc.collect()
        await asyncio.to_thread(thread[0].join, PATIENCE)

        assert closed.is_set()


def endless() -> Generator[str]:
    """Yield without an end, on a thread."""
    while True:
        yield "x"


async def async_endless() -> AsyncGenerator[str, None]:
    """Yield without an end on the loop, and never wait there."""
    while True:
        yield "x"


class TestEndless:
    """A tool that does not end lets the loop run, and its queue is bounded."""

    @pytest.mark.parametrize("function", [endless, async_endless])
    async def test_the_loop_goes_on(self, function: Callable[..., Any]) -> None:
        """Other tasks run, and the task that iterates can be cancelled."""
        begun = asyncio.Event()

        async def listen() -> None:
            async for _ in Tool(function).items({}):
                begun.set()

        task = asyncio.create_task(listen())
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
            for _ in range(100):
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        join_tools()

    @pytest.mark.parametrize("function", [endless, async_endless])
    async def test_time_limit(self, function: Callable[..., Any]) -> None:
        """A time limit ends it."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await items_of(function)
        join_tools()

    async def test_the_thread_waits(self) -> None:
        """The thread is not far ahead of a slow consumer, and ends when the consumer leaves."""
        given: list[int] = []
        closed = threading.Event()

        def count() -> Generator[int]:
            try:
                for number in range(1_000_000):
                    given.append(number)
                    yield number
            finally:
                closed.set()

        async with aclosing(Tool(count).items({})) as items:
            assert 0 == await anext(items)
            for number in range(1, 1_000):
                assert number == await anext(items)
                assert len(given) < number + 300
        join_tools()

        assert closed.is_set()
        assert len(given) < 2_000

    async def test_all_of_many(self) -> None:
        """The queue keeps every item, in order."""

        def count() -> Iterator[int]:
            return iter(range(20_000))

        assert list(range(20_000)) == await items_of(count)

    def test_abandoned(self) -> None:
        """The thread ends if its loop is closed while the generator is open."""

        def count() -> Iterator[int]:
            return iter(range(1_000_000))

        items = Tool(count).items({})
        loop = asyncio.new_event_loop()
        assert 0 == loop.run_until_complete(anext(items))
        loop.close()

        join_tools()

    async def test_deaf(self) -> None:
        """An async generator that catches its cancellation is closed at its next item."""
        waits = asyncio.Event()
        caught: list[bool] = []

        async def deaf() -> AsyncGenerator[int, None]:
            while True:
                try:
                    waits.set()
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    caught.append(True)
                yield len(caught)

        task = asyncio.create_task(items_of(deaf))
        await waits.wait()
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), PATIENCE)
        assert [True] == caught


def test_closed_loop() -> None:
    """A function may end after its loop is closed."""
    begun, go_on = threading.Event(), threading.Event()
    thread: list[threading.Thread] = []

    def work() -> str:
        thread.append(threading.current_thread())
        begun.set()
        go_on.wait(PATIENCE)
        return "late"

    async def leave() -> None:
        working = asyncio.create_task(items_of(work))
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        working.cancel()
        await working

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(leave())
    go_on.set()
    thread[0].join(PATIENCE)

    assert not thread[0].is_alive()


def test_hanging() -> None:
    """A tool that hangs does not keep the interpreter from exiting."""
    code = """if True:
        import asyncio, threading
        from rxollama.tools import Tool

        async def main():
            begun = threading.Event()
            items = Tool(lambda: (begun.set(), threading.Event().wait()), name="hang").items({})
            task = asyncio.ensure_future(anext(items))
            await asyncio.to_thread(begun.wait)
            task.cancel()

        asyncio.run(main())
        print("left")
    """

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE * 3
    )

    assert ("left\n", "", 0) == (done.stdout, done.stderr, done.returncode)


class TestObservables:
    """Observables are subscribed on the loop, and may emit from any thread."""

    async def test_subscribed_here(self) -> None:
        """The subscription is made on the loop that runs."""
        found: list[str] = []

        def subscribe(observer: abc.ObserverBase[int], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            found.append(here())
            observer.on_completed()
            return Disposable()

        assert [] == await items_of(lambda: Observable(subscribe))
        assert ["MainThread"] == found

    async def test_from_a_thread(self) -> None:
        """Items from another thread arrive in order and complete."""
        subject: Subject[int] = Subject()

        def emit() -> None:
            for number in range(5_000):
                subject.on_next(number)
            subject.on_completed()

        thread = threading.Thread(target=emit)

        assert list(range(5_000)) == await items_of(lambda: _started(subject, thread))
        thread.join()

    async def test_error_after_items(self) -> None:
        """Items come before the error."""
        found: list[int] = []
        source = reactivex.concat(reactivex.of(1, 2), reactivex.throw(Failure("late")))

        async def listen() -> None:
            async for item in Tool(lambda: source, name="tool").items({}):
                found.append(item)  # noqa: PERF401 - The loop raises, and what came before is what is looked at.

        with pytest.raises(Failure, match="late"):
            await listen()
        assert [1, 2] == found


def _started(source: Observable[int], thread: threading.Thread) -> Observable[int]:
    """Start a thread once the source is subscribed."""

    def subscribe(observer: abc.ObserverBase[int], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        subscription = source.subscribe(observer, scheduler=scheduler)
        thread.start()
        return subscription

    return Observable(subscribe)
