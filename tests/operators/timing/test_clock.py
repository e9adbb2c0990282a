"""The clocks of timed operators: their time, where they act, and that they can be cancelled."""

from __future__ import annotations

import asyncio
import threading
import weakref
from datetime import UTC, datetime, timedelta

import pytest
from reactivex import abc
from reactivex.internal.exceptions import DisposedException
from reactivex.scheduler import (
    CurrentThreadScheduler,
    EventLoopScheduler,
    HistoricalScheduler,
    ImmediateScheduler,
    TrampolineScheduler,
)
from reactivex.scheduler.eventloop import AsyncIOScheduler, AsyncIOThreadSafeScheduler
from reactivex.testing import TestScheduler

from rxollama._runtime import background
from rxollama.operators._timing.clock import ASAP, Clock, clock_of, given_clock

PATIENCE = 10.0


def turn_background() -> None:
    """Block until the background loop has done its work."""
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), background()).result(PATIENCE)


def loop_of(clock: Clock | None) -> asyncio.AbstractEventLoop:
    """Return the loop that a clock acts on, by acting there."""
    assert clock is not None
    acted: list[asyncio.AbstractEventLoop] = []
    done = threading.Event()

    def act() -> None:
        acted.append(asyncio.get_running_loop())
        done.set()

    clock.at(ASAP, act)
    assert done.wait(PATIENCE)
    return acted[0]


def test_argument_comes_first() -> None:
    """The operator's own scheduler is the clock, whatever the subscriber passes."""
    mine, theirs = TestScheduler(100.0), TestScheduler(7.0)
    clock = given_clock(mine, theirs)

    assert clock is not None
    assert clock.now() == 100.0


def test_subscribers_comes_second() -> None:
    """Without an argument the subscriber's scheduler is the clock."""
    clock = given_clock(None, TestScheduler(7.0))

    assert clock is not None
    assert clock.now() == 7.0


@pytest.mark.parametrize(
    "scheduler", [None, ImmediateScheduler(), CurrentThreadScheduler.singleton(), TrampolineScheduler()]
)
def test_blocking_subscribers_are_ignored(scheduler: abc.SchedulerBase | None) -> None:
    """A subscriber's scheduler that waits by blocking is ignored."""
    assert given_clock(None, scheduler) is None


def test_blocking_argument_is_taken() -> None:
    """As an argument it is used."""
    acted: list[str] = []
    clock = given_clock(ImmediateScheduler(), None)

    assert clock is not None
    clock.at(ASAP, lambda: acted.append("now"))
    assert acted == ["now"]


def test_background_loop() -> None:
    """Without a running loop it is the background loop's clock, and the caller must hop."""
    clock = clock_of(None)

    assert loop_of(clock) is background()
    assert not clock.is_here()
    assert abs(clock.now() - background().time()) < PATIENCE


async def test_running_loop() -> None:
    """On a loop it is this loop's clock, and the caller may emit."""
    clock, loop = clock_of(None), asyncio.get_running_loop()

    assert clock.is_here()
    assert await asyncio.to_thread(clock.is_here) is False
    assert await asyncio.to_thread(loop_of, clock) is loop


@pytest.mark.parametrize("kind", [AsyncIOScheduler, AsyncIOThreadSafeScheduler])
async def test_asyncio_scheduler(kind: type[AsyncIOScheduler]) -> None:
    """A scheduler of asyncio is its loop, which may then be reached from any thread."""
    loop = asyncio.get_running_loop()
    clock = clock_of(kind(loop))

    assert clock.is_here()
    assert await asyncio.to_thread(loop_of, clock) is loop


async def test_loop_acts_later() -> None:
    """An action set on the loop is done there, after its time."""
    clock, rang = clock_of(None), asyncio.Event()
    began = clock.now()
    clock.at(began + 0.01, rang.set)
    await rang.wait()

    assert clock.now() - began >= 0.009


def test_loop_acts_later_for_others() -> None:
    """An action set from another thread is done on the loop, after its time."""
    clock, rang = clock_of(None), threading.Event()
    began = clock.now()
    clock.at(began + 0.01, rang.set)

    assert rang.wait(PATIENCE)
    assert clock.now() - began >= 0.009


@pytest.mark.parametrize("seconds", [0, 0.005])
async def test_loop_cancels(seconds: float) -> None:
    """An action that is cancelled on the loop is not done."""
    clock, rang = clock_of(None), asyncio.Event()
    clock.at(clock.now() + seconds, rang.set)()
    await asyncio.sleep(2 * seconds)

    assert not rang.is_set()


class Action:
    """An action whose release a test can see."""

    def __init__(self) -> None:
        self.rang = threading.Event()

    def __call__(self) -> None:
        """Record the call."""
        self.rang.set()


@pytest.mark.parametrize("seconds", [0, 60])
def test_loop_cancels_for_others_before_it_has_heard(seconds: float) -> None:
    """A timer that is set and cancelled while the loop is busy never fires."""
    clock, gate, action = clock_of(None), threading.Event(), Action()
    background().call_soon_threadsafe(gate.wait, PATIENCE)
    kept, rang = weakref.ref(action), action.rang
    cancel = clock.at(clock.now() + seconds, action)
    cancel()
    gate.set()
    turn_background()
    del cancel, action

    assert not rang.is_set()
    assert kept() is None


def test_loop_cancels_for_others() -> None:
    """A timer of the loop that is cancelled from another thread releases its action."""
    clock, action = clock_of(None), Action()
    kept = weakref.ref(action)
    cancel = clock.at(clock.now() + 60, action)
    turn_background()
    del action
    assert kept() is not None
    cancel()
    turn_background()
    del cancel

    assert kept() is None


def test_closed_loop() -> None:
    """A closed loop refuses a timer with an error; cancelling one is not an error."""
    loop = asyncio.new_event_loop()
    clock = clock_of(AsyncIOScheduler(loop))
    cancel = clock.at(clock.now() + 60, threading.Event().set)
    loop.close()

    cancel()
    for due in (ASAP, clock.now() + 60):
        with pytest.raises(RuntimeError, match="closed"):
            clock.at(due, threading.Event().set)


def test_scheduler_acts() -> None:
    """A scheduler acts at its own time, and the caller must hop."""
    scheduler = TestScheduler()
    clock = clock_of(scheduler)
    acted: list[float] = []
    clock.at(ASAP, lambda: acted.append(clock.now()))
    clock.at(2.5, lambda: acted.append(clock.now()))
    clock.at(1, lambda: acted.append(clock.now()))()
    scheduler.start()

    assert acted == [0, 2.5]
    assert not clock.is_here()


def test_scheduler_on_its_thread(desktop: EventLoopScheduler) -> None:
    """A scheduler with a thread of its own acts there."""
    names: list[str] = []
    done = threading.Event()

    def act() -> None:
        names.append(threading.current_thread().name)
        done.set()

    clock = clock_of(desktop)
    clock.at(clock.now() + 0.001, act)

    assert done.wait(PATIENCE)
    assert names == ["desktop"]


def test_scheduler_disposed(desktop: EventLoopScheduler) -> None:
    """A disposed scheduler refuses a timer with an error."""
    desktop.dispose()
    clock = clock_of(desktop)
    with pytest.raises(DisposedException):
        clock.at(clock.now() + 1, Action())


@pytest.mark.parametrize("start", [datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)])  # noqa: DTZ001 - This is the point.
def test_scheduler_without_a_time_zone(start: datetime) -> None:
    """A scheduler's time may lack a time zone."""
    scheduler = HistoricalScheduler(start)
    clock = clock_of(scheduler)
    began = clock.now()
    scheduler.advance_by(timedelta(seconds=2.5))

    assert clock.now() - began == 2.5
