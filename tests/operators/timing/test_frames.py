"""The timers of a loop: one for each frame, never early, and none that loses another."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import Program
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import Subject
from virtual_loop import VirtualLoop

from rxollama._runtime import background
from rxollama.operators import coalesce, debounce, throttle
from rxollama.operators._timing.clock import ASAP, clock_of

FRAME = 1 / 128
PATIENCE = 10.0
MINE = KeyError("mine")


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """Return a loop in virtual time."""
    virtual = VirtualLoop()
    yield virtual
    virtual.close()


def play(loop: asyncio.AbstractEventLoop, begin: Callable[[], object], seconds: float) -> None:
    """Begin something on a loop, and let time pass."""

    async def main() -> None:
        begin()
        await asyncio.sleep(seconds)

    loop.run_until_complete(main())


def test_one_timer_for_many(loop: VirtualLoop) -> None:
    """A hundred paced streams that are due in the same frame set one timer of the loop."""
    heard: list[list[Any]] = [[] for _ in range(102)]
    texts: list[Subject[Any]] = [Subject() for _ in heard]

    def begin() -> None:
        *coalesced, debounced, throttled = texts
        for items, source in zip(heard, coalesced, strict=False):
            source.pipe(coalesce(1)).subscribe(items.append)
        debounced.pipe(debounce(1)).subscribe(heard[-2].append)
        throttled.pipe(throttle(1)).subscribe(heard[-1].append)
        for letter in "abc":
            for source in (*coalesced, debounced):
                source.on_next(letter)
            throttled.on_next([letter])

    play(loop, begin, 2)

    assert heard == [["a", "bc"]] * 100 + [["abc"], [["a"], ["c"]]]
    # The other one is of `asyncio.sleep`.
    assert len(loop.timers) == 2


@given(waits=st.lists(st.floats(1e-6, 100), min_size=1, max_size=20), start=st.floats(0, 1))
def test_never_early(waits: list[float], start: float) -> None:
    """A call is never early, at most a frame late, and the calls of a frame keep their order."""
    loop = VirtualLoop()
    done: list[tuple[float, int]] = []

    def note(place: int, began: float) -> None:
        done.append((loop.time() - began, place))

    async def main() -> None:
        await asyncio.sleep(start)
        clock, began = clock_of(None), loop.time()
        for place, wait in enumerate(waits):
            clock.at(began + wait, partial(note, place, began))
        await asyncio.sleep(101)

    loop.run_until_complete(main())
    loop.close()

    assert sorted(place for _, place in done) == [*range(len(waits))]
    # Loops of asyncio fire a nanosecond early, and virtual time is a sum.
    assert all(-1e-8 < moment - waits[place] < FRAME + 1e-8 for moment, place in done)
    for (one, first), (other, second) in pairwise(done):
        assert one < other or first < second


def test_what_has_passed(loop: VirtualLoop) -> None:
    """A call for a moment that has passed is done in the next turn, and not within the call."""
    done: list[float] = []

    def begin() -> None:
        clock = clock_of(None)
        clock.at(loop.time() - 5, lambda: done.append(loop.time()))
        clock.at(ASAP, lambda: done.append(loop.time()))
        assert done == []

    play(loop, begin, 1)

    assert done == [0, 0]


def test_a_call_sets_another(loop: VirtualLoop) -> None:
    """A call that is set for now by another is done in a later turn."""
    done: list[str] = []

    def begin() -> None:
        clock = clock_of(None)

        def act() -> None:
            done.append("<")
            clock.at(loop.time(), lambda: done.append("again"))
            done.append(">")

        clock.at(0.5, act)
        clock.at(0.5, lambda: done.append("other"))

    play(loop, begin, 1)

    assert done == ["<", ">", "other", "again"]


class Action:
    """An action whose release a test can see."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        """Count the call."""
        self.calls += 1


def test_cancelled(loop: VirtualLoop) -> None:
    """A call that is cancelled is not done and is released at once, also by one of its frame."""
    other = Action()
    cancels: list[Callable[[], object]] = []

    def begin() -> None:
        one, clock = Action(), clock_of(None)
        kept = weakref.ref(one)
        clock.at(60, one)()
        del one
        assert kept() is None

        def cancel_other() -> None:
            cancels[0]()

        clock.at(61, cancel_other)
        cancels.append(clock.at(61, other))

    play(loop, begin, 62)

    assert other.calls == 0


def test_disposed(loop: VirtualLoop) -> None:
    """A paced stream that waits for a minute is released when it is disposed, and so is who it was for."""

    def begin() -> None:
        source: Subject[str] = Subject()
        heard = Action()
        kept = weakref.ref(heard)
        subscription = source.pipe(debounce(60)).subscribe(on_completed=heard)
        source.on_next("a")
        subscription.dispose()
        del heard, source, subscription
        gc.collect()
        assert kept() is None

    play(loop, begin, 1)


@pytest.mark.parametrize("kind", [KeyError, asyncio.CancelledError, KeyboardInterrupt, SystemExit])
def test_raising(loop: VirtualLoop, kind: type[BaseException], reported: Callable[[], list[BaseException]]) -> None:
    """A call that raises does not lose the others of its frame, even if it ends the program."""
    actions = [Action() for _ in range(4)]

    def fail() -> None:
        raise kind

    async def main() -> None:
        clock = clock_of(None)
        for place, action in enumerate(actions):
            clock.at(0.5, fail if place in {1, 2} else action)

    loop.run_until_complete(main())
    if issubclass(kind, (KeyboardInterrupt, SystemExit)):
        for _ in range(2):
            with pytest.raises(kind):
                play(loop, Action(), 1)
    play(loop, Action(), 1)

    assert [action.calls for action in actions] == [1, 0, 0, 1]
    ends_the_program = issubclass(kind, (KeyboardInterrupt, SystemExit))
    assert [type(error) for error in reported()] == ([] if ends_the_program else [kind] * 2)


def test_failing_subscriber(loop: VirtualLoop) -> None:
    """A subscriber that raises ends its own subscription, and not the others that are due in the same frame."""
    sources: list[Subject[str]] = [Subject() for _ in range(3)]
    heard: list[list[object]] = [[] for _ in sources]

    def begin() -> None:
        for source, items in zip(sources, heard, strict=True):

            def take(item: str, items: list[object] = items) -> None:
                if items is heard[1] and item == "b":
                    raise MINE
                items.append(item)

            source.pipe(coalesce(0.5)).subscribe(take, items.append)
        for letter in "ab":
            for source in sources:
                source.on_next(letter)

    play(loop, begin, 1)

    assert heard == [["a", "b"], ["a", MINE], ["a", "b"]]
    assert [len(source.observers) for source in sources] == [1, 0, 1]


def test_contexts(loop: VirtualLoop) -> None:
    """Each call has the context variables of whoever set it, and keeps its own changes to itself."""
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
    seen: list[str] = []

    def note() -> None:
        seen.append(name.get())
        name.set("changed")

    def subscribe(who: str) -> None:
        name.set(who)
        clock_of(None).at(0.5, note)

    async def main() -> None:
        for who in ("one", "other"):
            contextvars.copy_context().run(subscribe, who)
        clock_of(None).at(0.5, note)
        await asyncio.sleep(1)
        assert name.get() == "nobody"

    loop.run_until_complete(main())

    assert seen == ["one", "other", "nobody"]


def test_clock_of_a_loop(loop: VirtualLoop) -> None:
    """The operators of a loop share its clock, and another loop has another."""

    async def clock() -> object:
        return clock_of(None)

    first, second = loop.run_until_complete(clock()), loop.run_until_complete(clock())
    other = VirtualLoop()
    third = other.run_until_complete(clock())
    other.close()

    assert first is second
    assert first is not third


def test_loop_is_released() -> None:
    """A loop that was closed is released with what was still set on it."""
    kept: list[weakref.ref[Any]] = []

    async def main() -> None:
        action = Action()
        kept.extend((weakref.ref(action), weakref.ref(asyncio.get_running_loop())))
        clock_of(None).at(60, action)

    loop = VirtualLoop()
    loop.run_until_complete(main())
    loop.close()
    del loop
    gc.collect()

    assert [reference() for reference in kept] == [None, None]


def test_clock_of_another_loop(loop: VirtualLoop) -> None:
    """On one loop the clock of another loop hops there."""
    done, threads = threading.Event(), set[str]()

    def act() -> None:
        threads.add(threading.current_thread().name)
        done.set()

    def begin() -> None:
        clock = clock_of(AsyncIOScheduler(background()))
        assert not clock.is_here()
        clock.at(clock.now() + 0.01, act)
        assert done.wait(PATIENCE)

    play(loop, begin, 1)

    assert threads == {"rxollama"}


def on_asyncio(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on asyncio's own loop, in its debug mode."""
    asyncio.run(main, debug=True)


def on_uvloop(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop."""
    pytest.importorskip("uvloop").run(main)


@pytest.mark.parametrize("run", [on_asyncio, on_uvloop])
def test_real_loops(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    """The loops that exist do what is set here and on other threads, in real time, and not what is cancelled."""
    done: list[float] = []

    async def main() -> None:
        clock, over, never = clock_of(None), asyncio.Event(), Action()
        released = threading.Event()
        weakref.finalize(never, released.set)
        began = clock.now()
        clock.at(began + 0.02, lambda: done.append(clock.now() - began))
        await asyncio.to_thread(clock.at, began + 0.04, lambda: done.append(clock.now() - began))
        await asyncio.to_thread(clock.at(began + 60, never))
        cancel = await asyncio.to_thread(clock.at, began + 60, never)
        await asyncio.to_thread(cancel)
        del cancel, never
        # A thread of the executor may still be about to drop what it was given.
        assert await asyncio.to_thread(released.wait, PATIENCE)
        clock.at(began + 0.06, over.set)
        await asyncio.wait_for(over.wait(), PATIENCE)

    run(main())

    assert len(done) == 2
    # Timers of uvloop are half a millisecond early at most.
    assert done[0] > 0.019
    assert done[1] > 0.039


def test_cancelled_by_another_thread_in_a_race() -> None:
    """Whichever comes first, the loop or the thread that cancels: a cancelled call keeps nothing."""
    actions = [Action() for _ in range(300)]
    kept = [weakref.ref(action) for action in actions]

    async def main() -> None:
        clock = clock_of(None)

        def race() -> None:
            while actions:
                clock.at(clock.now() + 60, actions.pop())()

        await asyncio.to_thread(race)

    asyncio.run(main())

    assert [reference() for reference in kept if reference() is not None] == []


def test_fork() -> None:
    """A forked child that goes on has timers of its own, on the background loop and on one that it makes."""
    program = Program(
        """
        import asyncio
        import os
        import threading
        import warnings

        from reactivex.subject import Subject

        from rxollama.operators import coalesce

        def pace(source):
            came = threading.Event()
            heard = []
            def take(text):
                heard.append(text)
                if "".join(heard) == "abc":
                    came.set()
            source.pipe(coalesce(0.02)).subscribe(take)
            for letter in "abc":
                source.on_next(letter)
            return came

        async def on_a_loop():
            came = pace(Subject())
            await asyncio.to_thread(came.wait, 10)
            assert came.is_set()

        assert pace(Subject()).wait(10)
        asyncio.run(on_a_loop())
        late = pace(Subject())
        warnings.simplefilter("ignore", DeprecationWarning)
        if not (child := os.fork()):
            assert pace(Subject()).wait(10)
            asyncio.run(on_a_loop())
            os._exit(0)
        assert late.wait(10)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    )

    assert program.end() == "0"
