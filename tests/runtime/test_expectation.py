"""The way of an estimate from a request to whoever waits: by the context, and to nobody else."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import copy_context

from rxollama._runtime import WaitListener, listening, take_listener


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
    found: list[WaitListener | None] = []
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
