"""The way of an estimate from a request to whoever waits: by the context, and to nobody else."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import copy_context

from rxollama._runtime import Listener, WaitHub, WaitListener, current_listener, listening, take_listener


class Waiting:
    """Whoever waits."""

    def __init__(self) -> None:
        self.told: list[float | None] = []
        self.listener = WaitListener(self.told.append)


def test_without() -> None:
    """Without a listener there is none."""
    assert take_listener() is None


def test_within() -> None:
    """A listener is found within, and not after it."""
    waiting = Waiting()
    with listening(waiting.listener):
        found = take_listener()
        assert found is waiting.listener
    for seconds in (3.0, None):
        waiting.listener.tell(seconds)

    assert waiting.told == [3.0, None]
    assert take_listener() is None


def test_taken_once() -> None:
    """Whoever takes a listener removes it from its own context, and from no other."""
    waiting = Waiting()
    with listening(waiting.listener):
        inner = copy_context()
        assert inner.run(take_listener) is waiting.listener
        assert inner.run(take_listener) is None
        assert take_listener() is waiting.listener
        assert take_listener() is None


async def test_tasks_and_timers() -> None:
    """Tasks and timers that begin within find it when they run."""
    waiting = Waiting()
    found: list[Listener | None] = []
    timed = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0)
        found.append(take_listener())

    def ring() -> None:
        found.append(take_listener())
        timed.set()

    with listening(waiting.listener):
        task = asyncio.create_task(work())
        asyncio.get_running_loop().call_later(0.001, ring)
    await asyncio.gather(task, timed.wait())

    assert found == [waiting.listener] * 2
    assert take_listener() is None


def test_nested() -> None:
    """The inner of two listeners is found within it, and the outer after it."""
    outer, inner = Waiting(), Waiting()
    with listening(outer.listener):
        with listening(inner.listener):
            assert copy_context().run(take_listener) is inner.listener
        assert take_listener() is outer.listener


def test_closed() -> None:
    """A listener that was closed is not found, tells nobody, and holds nobody."""
    waiting = Waiting()
    told, listener = waiting.told, waiting.listener
    with listening(listener):
        context = copy_context()
    gone = weakref.ref(waiting)
    listener.close()
    listener.tell(1.0)
    del waiting, listener
    gc.collect()

    assert context.run(take_listener) is None
    assert gone() is None
    assert told == []


class TestHub:
    """A listener for several."""

    def test_tells_all(self) -> None:
        """Every listener is told, also one that comes later, and none that was closed."""
        hub, first, second, third = WaitHub(), Waiting(), Waiting(), Waiting()
        hub.add(first.listener)
        hub.tell(100.0)
        hub.add(second.listener)
        first.listener.close()
        hub.add(third.listener)
        hub.tell(None)
        [rest, end] = second.told
        assert first.told == [100.0]
        assert rest is not None
        assert 90 < rest <= 100
        assert end is None
        assert len(third.told) == 2

    def test_wanted(self) -> None:
        """A source begins with the first listener, and with each further one; nobody wants what is over."""
        hub, begun = WaitHub(), list[int]()
        hub.want(lambda: begun.append(1))
        assert begun == []
        hub.add(Waiting().listener)
        hub.add(Waiting().listener)
        assert begun == [1, 1]
        hub.want(lambda: begun.append(2))
        assert begun == [1, 1, 2, 2]
        hub.tell(None)
        hub.add(Waiting().listener)
        assert begun == [1, 1, 2, 2]

    def test_closed(self) -> None:
        """A listener that was closed wants nothing."""
        hub, waiting, begun = WaitHub(), Waiting(), list[int]()
        hub.add(waiting.listener)
        waiting.listener.close()
        hub.want(lambda: begun.append(1))
        assert begun == []

    def test_hub_of_a_hub(self) -> None:
        """A hub within another one begins only with a listener of its own."""
        outer, inner, waiting, begun = WaitHub(), WaitHub(), Waiting(), list[int]()
        outer.add(inner)
        outer.want(lambda: begun.append(1))
        assert begun == []
        inner.add(waiting.listener)
        assert begun == [1]
        outer.tell(5.0)
        assert waiting.told == [5.0]

    def test_current(self) -> None:
        """A hub is always a listener, and looking does not take it."""
        hub = WaitHub()
        with listening(hub):
            assert [current_listener(), current_listener(), take_listener(), current_listener()] == [hub] * 3 + [None]
