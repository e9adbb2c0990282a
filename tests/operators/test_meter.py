"""A meter emits readings of a chat: at once, at each change, once per interval, and at the end."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import reactivex
from guards import CALL, DONE, EMPTY, HEL, HM, LO, RESULT, Stage, scripts
from heard import PATIENCE, Heard
from hypothesis import given
from hypothesis import strategies as st
from manual import Manual
from marbles import play
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler import EventLoopScheduler, VirtualTimeScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, Recorded, TestScheduler
from reactivex.testing.subscription import Subscription

from rxollama import Stream
from rxollama.errors import InvalidValueError
from rxollama.messages import ChatChunk, MeterReading
from rxollama.operators import meter, share

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

SECOND = 1_000_000_000
LOST = ConnectionError("lost")
MINE = KeyError("mine")


def phases(played: list[Recorded[Any]]) -> list[tuple[float, object]]:
    """Return what came and when: the phase of a reading, an error, or `end`."""
    return [(float(record.time) - 200, _heard(record.value)) for record in played]


def _heard(notification: Any) -> object:
    if notification.kind == "N":
        return notification.value.phase
    return "end" if notification.kind == "C" else notification.exception


def readings(played: list[Recorded[Any]]) -> list[MeterReading]:
    """Return the readings of a transcript."""
    found: list[Any] = [record.value for record in played]
    return [notification.value for notification in found if notification.kind == "N"]


# Transcripts.


def test_completes() -> None:
    """A reading comes at once, at each change, each interval after the latest, and says `done` at the end."""
    played = play(
        meter(10),
        *[on_next(25, EMPTY), on_next(27, HM), on_next(30, HEL), on_next(45, LO), on_next(50, DONE), on_completed(90)],
    )

    assert phases(played.messages) == [
        *[(0, "waiting"), (10, "waiting"), (20, "waiting"), (27, "thinking"), (30, "answering"), (40, "answering")],
        *[(50, "done"), (90, "end")],
    ]
    assert played.subscriptions == [Subscription(200, 290)]


def test_what_it_tells() -> None:
    """A reading holds what came until then."""
    played = play(meter(4), on_next(2, HEL), on_next(3, LO), on_next(8, DONE), on_completed(9))
    first, began, _, last = readings(played.messages)

    assert first == MeterReading(phase="waiting")
    assert began == MeterReading(
        phase="answering",
        wall_duration=2 * SECOND,
        time_to_first_token=2 * SECOND,
        gap_duration=0,
        longest_gap_duration=0,
        chunk_count=1,
        content_length=3,
        round_count=1,
    )
    assert (last.chunk_count, last.content_length, last.longest_gap_duration) == (3, 5, 5 * SECOND)
    assert last.metrics is not None


def test_errors() -> None:
    """An error comes after a reading that says so."""
    played = play(meter(10), on_next(5, HEL), on_error(7, LOST))

    assert phases(played.messages) == [(0, "waiting"), (5, "answering"), (7, "failed"), (7, LOST)]
    assert played.subscriptions == [Subscription(200, 207)]


def test_never() -> None:
    """While the server is silent, readings show the time."""
    played = play(meter(300))

    assert phases(played.messages) == [(0, "waiting"), (300, "waiting"), (600, "waiting")]
    assert [reading.wall_duration for reading in readings(played.messages)] == [0, 300 * SECOND, 600 * SECOND]
    assert played.subscriptions == [Subscription(200, 1000)]


def test_disposed() -> None:
    """Nothing comes after dispose, and the source is disposed."""
    played = play(meter(10), on_next(5, HEL), on_next(20, DONE), disposed=217)

    assert phases(played.messages) == [(0, "waiting"), (5, "answering"), (15, "answering")]
    assert played.subscriptions == [Subscription(200, 217)]


def test_completes_without_done() -> None:
    """A stream that completes is done, with or without an item."""
    assert phases(play(meter(10), on_completed(5)).messages) == [(0, "waiting"), (5, "done"), (5, "end")]


def test_tools() -> None:
    """A conversation with tools has its phases."""
    called = ChatChunk(message=CALL.message, done=True)
    returned = ChatChunk(message=RESULT.message, done=True)
    sent = [on_next(1, HM), on_next(2, called), on_next(5, returned), on_next(7, HEL), on_next(8, DONE)]

    assert phases(play(meter(10), *sent, on_completed(9)).messages) == [
        *[(0, "waiting"), (1, "thinking"), (2, "calling_tools"), (5, "waiting"), (7, "answering"), (8, "done")],
        (9, "end"),
    ]


def test_between_answers() -> None:
    """Between two answers of one stream nothing is emitted, and then readings go on."""
    played = play(meter(10), on_next(5, HEL), on_next(6, DONE), on_next(100, HEL), on_completed(115))

    assert phases(played.messages) == [
        *[(0, "waiting"), (5, "answering"), (6, "done"), (100, "answering"), (110, "answering")],
        *[(115, "done"), (115, "end")],
    ]


def test_whole_answers() -> None:
    """An answer of one chunk has a reading, also right after another."""
    whole = ChatChunk(message=HEL.message, done=True)
    played = play(meter(10), on_next(5, whole), on_next(6, whole), on_completed(9))
    *_, first, second = readings(played.messages)

    assert phases(played.messages) == [(0, "waiting"), (5, "done"), (6, "done"), (9, "end")]
    assert (first.round_count, second.round_count) == (1, 2)
    assert (second.content_length, second.phase_duration) == (6, 0)


def test_a_source_that_is_there_at_once() -> None:
    """The first reading counts what comes while subscribing."""
    heard = Heard(reactivex.of(HEL, DONE).pipe(meter(60))).wait()

    assert [reading.phase for reading in heard.items] == ["answering", "done"]
    assert heard.completed


# Laws.


@given(
    scripts(lambda time: st.sampled_from([on_completed(time), on_error(time, LOST)])),
    st.floats(0.5, 20),
)
def test_last_reading(sent: list[Recorded[Any]], seconds: float) -> None:
    """Whatever the interval, the last reading is there before the end, and is the same."""
    played, often = play(meter(seconds), *sent).messages, play(meter(0.25), *sent).messages
    *_, last = readings(played)

    assert played[-1].time == 200 + sent[-1].time
    assert last.phase == ("failed" if phases(played)[-1][1] is LOST else "done")
    assert last == readings(often)[-1]


@given(scripts(lambda time: st.sampled_from([on_completed(time), on_error(time, LOST)])), st.floats(0.5, 20))
def test_when(sent: list[Recorded[Any]], seconds: float) -> None:
    """Readings of one phase are an interval apart, and none are further apart unless an answer is done."""
    told = [(time, phase) for time, phase in phases(play(meter(seconds), *sent).messages) if isinstance(phase, str)]

    for (earlier, before), (time, phase) in itertools.pairwise(told):
        if phase == before != "done":
            assert time - earlier == pytest.approx(seconds)
        elif before != "done" and phase != "end":
            assert time - earlier <= seconds + 1e-6


@given(
    scripts(lambda time: st.sampled_from([on_completed(time), on_error(time, LOST), on_next(time, HEL)])),
    st.sampled_from([1000.0, 200.0, 215.0]),
)
def test_one_timer(sent: list[Recorded[Any]], disposed: float) -> None:
    """There is never more than one timer, and none after the end or after dispose."""
    stage = Stage()
    metered: Observable[Any] = stage.source(*sent).pipe(meter(5.5, scheduler=stage.clock))
    stage.play(metered, disposed=disposed)

    assert stage.clock.most <= 1
    assert stage.clock.outstanding == 0


@pytest.mark.parametrize("sent", [[], [HM], [HEL], [CALL], [DONE]])
@pytest.mark.parametrize("disposed", [204, 230])
def test_dispose_in_each_phase(sent: list[ChatChunk], disposed: int) -> None:
    """No timer is left after dispose, in any phase."""
    stage = Stage()
    source = stage.source(*[on_next(3, chunk) for chunk in sent])
    metered: Observable[Any] = source.pipe(meter(7, scheduler=stage.clock))
    stage.play(metered, disposed=disposed)

    assert stage.clock.outstanding == 0
    assert stage.subscriptions == [[Subscription(200, disposed)]]


def test_items_set_no_timer() -> None:
    """Timers are set as time passes, not as chunks come."""
    stage = Stage()
    sent = [on_next(1 + place // 100, HEL) for place in range(1000)]
    metered: Observable[Any] = stage.source(*sent, on_completed(15)).pipe(meter(5, scheduler=stage.clock))
    played = stage.play(metered)

    assert readings(played)[-1].chunk_count == 1000
    assert stage.clock.made <= 8


# Clocks and threads.


def test_a_reading_within_a_reading() -> None:
    """What happens within an emission is emitted after it, also if a timer fires there."""
    clock, told = Manual(), list[str]()
    source: Subject[ChatChunk] = Subject()

    def take(reading: MeterReading) -> None:
        told.append("<")
        if reading.phase == "waiting":
            source.on_next(HM)
            clock.seconds += 100
            clock.run()
            source.on_next(HEL)
        told.append(f"{reading.phase}>")

    source.pipe(meter(10, scheduler=clock)).subscribe(take)
    clock.run()

    assert told == ["<", "waiting>", "<", "thinking>", "<", "answering>"]


def test_slow_subscriber() -> None:
    """A subscriber that is slower than the interval does not hold the loop: the next reading has a turn of its own."""
    clock, told = Manual(), list[float]()

    def take(reading: MeterReading) -> None:
        told.append(reading.wall_duration / SECOND)
        clock.seconds += 100

    reactivex.never().pipe(meter(10, scheduler=clock)).subscribe(take)
    clock.run()
    assert told == [0]

    clock.run()
    assert told == [0, 100]
    assert [seconds for seconds, _ in clock.actions] == [0]


def test_a_clock_that_is_put_back() -> None:
    """A clock that is put back delays nothing by more than another interval."""
    clock, told = Manual(), list[float]()
    reactivex.never().pipe(meter(10, scheduler=clock)).subscribe(lambda reading: told.append(reading.wall_duration))
    clock.run()
    clock.seconds -= 3600
    clock.run()
    assert [seconds for seconds, _ in clock.actions] == [10]

    for _ in range(2):
        clock.seconds += 10
        clock.run()
    assert told == [0, 0, 10 * SECOND]


def test_a_clock_that_wakes_early() -> None:
    """A timer that fires a moment early, as those of loops do, is not set again for the rest."""
    clock, told = Manual(), list[MeterReading]()
    reactivex.never().pipe(meter(10, scheduler=clock)).subscribe(told.append)
    clock.run()
    clock.seconds += 9.9998
    clock.run()

    assert len(told) == 2


def test_after_the_end() -> None:
    """Items, ends and timers after the end change nothing."""
    clock, told, guarded = Manual(), list[object](), list[Any]()

    def subscribe(observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        guarded.append(observer)
        return Disposable()

    metered = Stream(subscribe, items=ChatChunk).pipe(meter(10, scheduler=clock))
    metered.subscribe(lambda reading: told.append(reading.phase), told.append, lambda: told.append("completed"))
    # Past the guard that reactivex puts before every observer.
    (source,) = guarded
    source._on_completed()
    source._on_next(HEL)
    source._on_error(LOST)
    source._on_completed()
    for action in (*clock.every, *clock.every):
        action()

    assert told == ["done", "completed"]


def test_scheduler_is_passed_on() -> None:
    """The source is subscribed with the subscriber's scheduler, not with the operator's."""
    seen: list[abc.SchedulerBase | None] = []

    def subscribe(_: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        seen.append(scheduler)
        return Disposable()

    stage, subscribers = Stage(), VirtualTimeScheduler()
    Observable(subscribe).pipe(meter(1, scheduler=stage.clock)).subscribe(scheduler=subscribers).dispose()

    assert seen == [subscribers]
    assert stage.clock.outstanding == 0


def test_background_loop() -> None:
    """Subscribed from outside of any loop, readings come on the background loop."""
    heard: Heard[MeterReading] = Heard(reactivex.never().pipe(meter(0.01))).wait_items(3)
    heard.dispose()

    assert heard.threads == {"rxollama"}


async def test_running_loop() -> None:
    """Subscribed from a coroutine, readings come on its loop."""
    told: asyncio.Queue[str] = asyncio.Queue()
    metered = reactivex.never().pipe(meter(0.01))
    subscription = metered.subscribe(lambda _: told.put_nowait(threading.current_thread().name))
    names = [await told.get() for _ in range(3)]
    subscription.dispose()

    assert set(names) == {threading.current_thread().name}


def test_desktop(desktop: EventLoopScheduler) -> None:
    """With a desktop's scheduler every reading, and the end, comes on its thread, in order."""
    source: Subject[ChatChunk] = Subject()
    heard = Heard(source.pipe(meter(0.02, scheduler=desktop)))
    heard.wait_items(3)
    for chunk in (HM, HEL, LO, DONE):
        source.on_next(chunk)
    source.on_completed()
    heard.wait()

    assert heard.threads == {"desktop"}
    assert list(dict.fromkeys(reading.phase for reading in heard.items)) == ["waiting", "thinking", "answering", "done"]
    assert heard.items[-1].chunk_count == 4


def test_closed_loop() -> None:
    """A meter whose loop was closed ends with an error, on the thread that finds out."""
    loop = asyncio.new_event_loop()
    source: Subject[ChatChunk] = Subject()
    loop.close()
    heard = Heard(source.pipe(meter(5, scheduler=AsyncIOScheduler(loop))))

    assert str(heard.failure) == "Event loop is closed"
    assert not source.observers


def test_clock_that_cannot_wait() -> None:
    """A scheduler that cannot wait is an error for the subscriber."""
    scheduler = EventLoopScheduler()
    scheduler.dispose()
    errors: list[Exception] = []
    reactivex.never().pipe(meter(1, scheduler=scheduler)).subscribe(on_error=errors.append)

    assert len(errors) == 1


# Subscribers that raise.


@pytest.mark.parametrize("on", ["waiting", "answering", "done"])
async def test_failing_subscriber(on: str) -> None:
    """A subscriber that raises receives its error; the source is disposed, and the producer goes on."""
    source: Subject[ChatChunk] = Subject()
    told: list[object] = []

    def take(reading: MeterReading) -> None:
        if reading.phase == on:
            raise MINE

    source.pipe(meter(60)).subscribe(take, told.append, lambda: told.append("completed"))
    source.on_next(HEL)
    source.on_completed()

    assert told == [MINE]
    assert not source.observers


async def test_failing_beside_others() -> None:
    """A meter whose subscriber raises takes nothing from the subscribers beside it."""
    source: Subject[ChatChunk] = Subject()
    shared = source.pipe(share())
    told: list[object] = []

    def fail(_: MeterReading) -> None:
        raise MINE

    shared.pipe(meter(60)).subscribe(fail, lambda _: None)
    shared.subscribe(told.append)
    source.on_next(HEL)

    assert told == [HEL]


async def test_nobody_handles_the_error(reported: Callable[[], list[BaseException]]) -> None:
    """An error without a handler is reported."""
    source: Subject[ChatChunk] = Subject()
    source.pipe(meter(60)).subscribe()
    source.on_error(LOST)

    assert reported() == [LOST]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("on", ["waiting", "answering", "done"])
def test_ended_by_its_subscriber(on: str, kind: type[BaseException]) -> None:
    """A subscriber whose callback raises what ends a program receives a `RuntimeError`; the exception goes on."""
    clock, told = TestScheduler(), list[object]()
    source: Subject[ChatChunk] = Subject()

    def interrupt(reading: MeterReading) -> None:
        if reading.phase == on:
            raise kind

    source.pipe(meter(60, scheduler=clock)).subscribe(interrupt, told.append, lambda: told.append("completed"))

    def chat() -> None:
        for chunk in (HEL, DONE):
            clock.advance_by(1)
            source.on_next(chunk)
        clock.advance_by(1)

    with pytest.raises(kind) as raised:
        chat()
    source.on_next(HEL)
    clock.advance_by(100)

    (error,) = told
    assert isinstance(error, RuntimeError)
    assert str(error) == f"the stream was ended by {kind.__name__}"
    assert error.__cause__ is raised.value
    assert not source.observers


def test_dispose_within_a_reading() -> None:
    """A subscriber that leaves at a reading receives no other."""
    source: Subject[ChatChunk] = Subject()
    heard: Heard[MeterReading] = Heard()
    gone = threading.Event()

    def take(reading: MeterReading) -> None:
        heard.on_next(reading)
        if reading.phase == "answering":
            subscription.dispose()
            gone.set()

    subscription = source.pipe(meter(0.01)).subscribe(take)
    heard.wait_items(2)
    source.on_next(HEL)
    assert gone.wait(PATIENCE)
    source.on_next(DONE)

    assert heard.items[-1].phase == "answering"
    assert not source.observers


# Refusals.


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan, True, "5", None])
def test_refused(seconds: Any) -> None:
    """The interval is a positive number of seconds."""
    with pytest.raises(InvalidValueError, match=r"seconds: .*positive number of seconds"):
        meter(seconds)


def test_timedelta() -> None:
    """The interval may be a timedelta."""
    assert phases(play(meter(timedelta(seconds=300))).messages) == [(0, "waiting"), (300, "waiting"), (600, "waiting")]
