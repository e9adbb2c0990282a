"""The wait in a meter's readings: the seconds that are still expected, as the request tells them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any

import reactivex
from guards import CALL, DONE, EMPTY, HEL, RESULT
from marbles import Quiet
from reactivex import Observable, abc
from reactivex import operators as rx
from reactivex.disposable import Disposable
from reactivex.testing import ReactiveTest, TestScheduler

from rxollama._runtime import Listener, take_listener
from rxollama.errors import BusyError
from rxollama.messages import ChatChunk, MeterReading
from rxollama.operators import log, meter, retry, share

on_next, on_completed = ReactiveTest.on_next, ReactiveTest.on_completed


def on_each(_: ChatChunk) -> None:
    """Do nothing with a chunk."""


def any_chunk(_: ChatChunk) -> bool:
    """Return True."""
    return True


def same(chunk: ChatChunk) -> ChatChunk:
    """Return a chunk as it is."""
    return chunk


class Asked:
    """
    A source in virtual time that tells estimates, as the client's does.

    Args:
        scheduler: The virtual time.
        tells: When it tells what, after each subscription.
        sends: What it sends, after each subscription; an exception ends it.
    """

    def __init__(
        self,
        scheduler: TestScheduler,
        tells: Mapping[float, float | None],
        sends: Mapping[float, ChatChunk | Exception],
    ) -> None:
        self._scheduler = scheduler
        self._tells = tells
        self._sends = sends
        self.listeners: list[Listener | None] = []
        self.source: Observable[ChatChunk] = reactivex.create(self._subscribe)

    def _subscribe(
        self, observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        # The client's source takes it in a task of its own, whose context is a copy.
        listener = copy_context().run(take_listener)
        self.listeners.append(listener)
        for moment, seconds in self._tells.items():
            if listener is not None:
                self._at(moment, partial(listener.tell, seconds))
        for moment, sent in self._sends.items():
            if isinstance(sent, Exception):
                self._at(moment, partial(observer.on_error, sent))
            else:
                self._at(moment, partial(observer.on_next, sent))
        return Disposable()

    def _at(self, moment: float, action: Callable[[], object]) -> None:
        # A thread's scheduler loses the context, and this one keeps it, as a loop does.
        context = copy_context()
        if moment:

            def act(_: abc.SchedulerBase, __: object = None) -> None:
                context.run(action)

            self._scheduler.schedule_relative(moment, act)
        else:
            action()


def heard(
    seconds: float,
    tells: Mapping[float, float | None],
    sends: Mapping[float, ChatChunk | Exception],
    through: Callable[[Observable[ChatChunk]], Observable[ChatChunk]] = lambda source: source,
    until: float = 1000.0,
) -> list[tuple[float, str, float | None]]:
    """Return when a meter emitted which phase and which expectation."""
    scheduler = TestScheduler()
    asked = Asked(scheduler, tells, sends)
    observer = scheduler.start(lambda: through(asked.source).pipe(meter(seconds)), disposed=until)
    found: list[Any] = [(float(record.time) - 200, record.value) for record in observer.messages]
    return [(time, item.value.phase, item.value.expected) for time, item in found if item.kind == "N"]


def test_counts_down() -> None:
    """The expectation counts down between readings, and stays at 0 once it has passed."""
    assert heard(4, {0: 10.0}, {15: HEL, 17: DONE}, until=220) == [
        *[(0, "waiting", 10.0), (4, "waiting", 6.0), (8, "waiting", 2.0), (12, "waiting", 0.0)],
        *[(15, "answering", None), (17, "done", None)],
    ]


def test_unknown() -> None:
    """Without an estimate it is None."""
    assert heard(10, {}, {12: HEL}, until=215) == [
        *[(0, "waiting", None), (10, "waiting", None), (12, "answering", None)],
    ]


def test_told_later() -> None:
    """A reading shows an estimate at once, and the next interval begins there."""
    assert heard(10, {3: 20.0, 5: 2.0}, {18: HEL}, until=219) == [
        *[(0, "waiting", None), (3, "waiting", 20.0), (5, "waiting", 2.0), (15, "waiting", 0.0)],
        (18, "answering", None),
    ]


def test_told_again() -> None:
    """An estimate that says nothing new emits nothing, and one that is withdrawn emits a reading."""
    assert heard(10, {1: None, 2: 8.0, 4: 6.0, 5: None}, {}, until=208) == [
        *[(0, "waiting", None), (2, "waiting", 8.0), (5, "waiting", None)],
    ]


def test_too_late() -> None:
    """An estimate that comes after the first token changes nothing, also for the next round."""
    called = ChatChunk(message=CALL.message, done=True)
    returned = ChatChunk(message=RESULT.message, done=True)
    told: dict[float, float | None] = {2: 7.0, 4: 7.0, 8: 3.0}

    assert heard(10, told, {1: called, 6: returned, 9: HEL}, until=212) == [
        *[(0, "waiting", None), (1, "calling_tools", None), (6, "waiting", None), (8, "waiting", 3.0)],
        (9, "answering", None),
    ]


def test_not_visible() -> None:
    """A chunk with nothing to see changes nothing."""
    assert heard(4, {0: 10.0}, {2: EMPTY, 6: HEL}, until=207) == [
        *[(0, "waiting", 10.0), (4, "waiting", 6.0), (6, "answering", None)]
    ]


def test_behind_operators() -> None:
    """An estimate passes operators of this library and of reactivex."""

    def through(source: Observable[ChatChunk]) -> Observable[ChatChunk]:
        own = source.pipe(log(Quiet()), share(), retry(2))
        return own.pipe(rx.filter(any_chunk), rx.share(), rx.do_action(on_each), rx.map(same))

    assert heard(4, {0: 5.0}, {6: HEL}, through, until=207) == [
        *[(0, "waiting", 5.0), (4, "waiting", 1.0), (6, "answering", None)]
    ]


def test_attempts() -> None:
    """Each attempt tells its own estimate."""
    scheduler = TestScheduler()
    asked = Asked(scheduler, {0: 10.0, 3: None}, {3: BusyError("busy", status=503)})
    chain = asked.source.pipe(retry(2, backoff=5, jitter=0, scheduler=scheduler), meter(100))
    observer = scheduler.start(lambda: chain, disposed=210)
    emitted: list[Any] = [(record.time - 200, record.value) for record in observer.messages]
    readings = [(time, item.value.expected) for time, item in emitted]

    # The scheduler of this test runs timers without a context, as a thread's does: the second attempt has none.
    assert readings == [(0, 10.0), (3, None)]
    assert [listener is None for listener in asked.listeners] == [False, True]


def test_two_meters() -> None:
    """Each of two meters hears of its own request."""
    scheduler = TestScheduler()
    first, second = Asked(scheduler, {0: 10.0, 2: 20.0}, {}), Asked(scheduler, {0: 1.0}, {})
    readings: list[list[MeterReading]] = [[], []]
    first.source.pipe(meter(100, scheduler=scheduler)).subscribe(readings[0].append)
    second.source.pipe(meter(100, scheduler=scheduler)).subscribe(readings[1].append)
    scheduler.advance_to(50)

    assert [[reading.expected for reading in each] for each in readings] == [[10.0, 20.0], [1.0]]


def test_after_the_end() -> None:
    """After a meter's end nothing is told to it, and the context that it leaves behind does not hold it."""
    scheduler = TestScheduler()
    asked = Asked(scheduler, {}, {})
    readings: list[MeterReading] = []

    class Observer:
        """A subscriber."""

        def on_next(self, reading: MeterReading) -> None:
            """Record a reading."""
            readings.append(reading)

    observer = Observer()
    gone = weakref.ref(observer)
    subscription = asked.source.pipe(meter(100, scheduler=scheduler)).subscribe(observer.on_next)
    [listener] = asked.listeners
    assert listener is not None
    scheduler.advance_to(1)
    subscription.dispose()
    del subscription, observer
    gc.collect()

    assert not listener.is_open
    listener.tell(5.0)
    scheduler.advance_to(200)
    assert [reading.expected for reading in readings] == [None]
    assert gone() is None


def test_told_while_it_ends() -> None:
    """An estimate that comes between the end and the dispose of a meter changes nothing."""
    scheduler = TestScheduler()
    listeners: list[Listener] = []

    def subscribe(observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        listener = take_listener()
        assert listener is not None
        listeners.append(listener)
        observer.on_completed()
        # The end waits for the scheduler's turn.
        listener.tell(5.0)
        return Disposable()

    found: list[MeterReading] = []
    reactivex.create(subscribe).pipe(meter(1, scheduler=scheduler)).subscribe(found.append)
    scheduler.advance_to(10)

    assert [(reading.phase, reading.expected) for reading in found] == [("done", None)]
    assert not listeners[0].is_open


def test_shared() -> None:
    """Every meter over one shared request is told, whichever subscribed first."""
    scheduler = TestScheduler()
    asked = Asked(scheduler, {2: 20.0}, {})
    shared: Observable[ChatChunk] = asked.source.pipe(share())
    shared.subscribe(on_each)
    found: list[list[float | None]] = [[], []]
    for readings in found:
        shared.pipe(meter(100, scheduler=scheduler), rx.map(expected_of)).subscribe(readings.append)
    scheduler.advance_to(50)

    assert found == [[None, 20.0], [None, 20.0]]
    assert len(asked.listeners) == 1


def expected_of(reading: MeterReading) -> float | None:
    """Return what a reading expects."""
    return reading.expected
