"""A stream that takes too long to begin, to continue or to end fails."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import reactivex
from guards import CALL, DONE, EMPTY, HEL, HM, LO, RESULT, Stage, chunks_of, error_of, scripts, transcript
from heard import Heard
from hypothesis import given
from hypothesis import strategies as st
from manual import Manual
from marbles import play
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler import EventLoopScheduler, VirtualTimeScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, Recorded
from reactivex.testing.subscription import Subscription

from rxollama import Stream
from rxollama.errors import InvalidValueError, StreamTimeoutError
from rxollama.messages import ChatChunk, ChatResponse, Message
from rxollama.operators import timeouts

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

LOST = ConnectionError("lost")
MINE = KeyError("mine")


def late(phase: str) -> Callable[[Exception], bool]:
    """Return a check of whether an error is about a phase."""
    return lambda error: isinstance(error, StreamTimeoutError) and error.phase == phase


# Transcripts.


def test_kept() -> None:
    """A stream within its limits is passed on as it is."""
    played = play(
        timeouts(first_chunk=15, gap=15, total=45),
        *[on_next(10, HM), on_next(20, EMPTY), on_next(30, HEL), on_next(35, DONE), on_completed(40)],
    )

    assert played.messages == [
        *[on_next(210, HM), on_next(220, EMPTY), on_next(230, HEL), on_next(235, DONE), on_completed(240)]
    ]
    assert played.subscriptions == [Subscription(200, 240)]


def test_first_chunk() -> None:
    """If nothing comes, the source is disposed, and the error says that nothing began."""
    played = play(timeouts(first_chunk=15, gap=1), on_next(20, HEL), on_completed(30))

    assert transcript(played.messages) == [(215, "first_chunk")]
    assert played.subscriptions == [Subscription(200, 215)]


def test_empty_chunks_are_no_beginning() -> None:
    """Chunks with nothing to see are passed on, and do not count as a beginning."""
    played = play(timeouts(first_chunk=15), on_next(5, EMPTY), on_next(14, EMPTY), on_next(16, HEL))

    assert transcript(played.messages) == [(205, EMPTY), (214, EMPTY), (215, "first_chunk")]
    assert played.subscriptions == [Subscription(200, 215)]


@pytest.mark.parametrize("chunk", [HM, HEL, CALL, DONE])
def test_beginnings(chunk: ChatChunk) -> None:
    """Thinking, content, a tool call and the end of a message are beginnings."""
    played = play(timeouts(first_chunk=15), on_next(10, chunk))

    assert played.messages == [on_next(210, chunk)]


def test_gap() -> None:
    """Too long a silence within an answer is an error, though the first chunk had more time."""
    played = play(timeouts(first_chunk=50, gap=5), on_next(40, HEL), on_next(44, LO), on_next(50, DONE))

    assert transcript(played.messages) == [(240, HEL), (244, LO), (249, "gap")]
    assert played.subscriptions == [Subscription(200, 249)]


def test_empty_chunks_are_no_silence() -> None:
    """Within an answer a chunk with nothing to see shows that the server is there."""
    played = play(timeouts(gap=5), *[on_next(time, EMPTY if time > 1 else HEL) for time in (1, 5, 9)])

    assert transcript(played.messages) == [(201, HEL), (205, EMPTY), (209, EMPTY), (214, "gap")]


def test_no_gap_before_the_answer() -> None:
    """No gap counts before there is something to see."""
    played = play(timeouts(gap=5), on_next(5, EMPTY), on_next(100, HEL), on_completed(104))

    assert played.messages == [on_next(205, EMPTY), on_next(300, HEL), on_completed(304)]


def test_no_gap_between_messages() -> None:
    """No gap counts after the end of a message or a tool's result, until the next message begins."""
    sent = [on_next(1, CALL), on_next(2, DONE), on_next(50, RESULT), on_next(99, HEL)]
    played = play(timeouts(gap=5), *sent)

    assert chunks_of(played.messages) == [CALL, DONE, RESULT, HEL]
    assert transcript(played.messages)[-1] == (304, "gap")


def test_total() -> None:
    """A stream that does not end is ended by its total time."""
    played = play(timeouts(first_chunk=5, gap=5, total=10), *[on_next(time, HEL) for time in (3, 6, 9, 12)])

    assert chunks_of(played.messages) == [HEL, HEL, HEL]
    assert transcript(played.messages)[-1] == (210, "total")
    assert played.subscriptions == [Subscription(200, 210)]


def test_total_alone() -> None:
    """The total time counts although nothing comes."""
    assert transcript(play(timeouts(total=10)).messages) == [(210, "total")]


@pytest.mark.parametrize("total", [10, 4])
def test_the_phase_that_is_over_first(total: float) -> None:
    """The error names the earlier of two limits, and of two at once the more precise."""
    phase = "first_chunk" if total == 10 else "total"

    assert transcript(play(timeouts(first_chunk=10, total=total)).messages) == [(200 + total, phase)]


def test_gap_and_total_at_once() -> None:
    """The error names the gap if the gap and the total are exceeded at once."""
    assert transcript(play(timeouts(gap=5, total=6), on_next(1, HEL)).messages)[-1] == (206, "gap")


def test_total_before_the_gap() -> None:
    """The error names the total if that is exceeded before the gap."""
    assert transcript(play(timeouts(gap=5, total=4), on_next(1, HEL)).messages)[-1] == (204, "total")


def test_source_errors() -> None:
    """The source's error is passed on."""
    played = play(timeouts(first_chunk=50, gap=50), on_next(10, HEL), on_error(20, LOST))

    assert played.messages == [on_next(210, HEL), on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


def test_disposed() -> None:
    """Nothing comes after dispose, and the source is disposed."""
    played = play(timeouts(first_chunk=50, gap=50), on_next(10, HEL), on_next(20, LO), disposed=215)

    assert played.messages == [on_next(210, HEL)]
    assert played.subscriptions == [Subscription(200, 215)]


# What the error carries.


def test_partial() -> None:
    """The error carries what arrived and the model, and says what to do."""
    error = error_of(play(timeouts(gap=5), on_next(1, HM), on_next(2, HEL)).messages)

    assert isinstance(error, StreamTimeoutError)
    assert error.partial == ChatResponse(message=Message("assistant", "Hel", "Hm"), model="m")
    assert error.model == "m"
    assert str(error).startswith("nothing came for 5 s in mid-answer")
    assert "gap=" in str(error)


def test_partial_of_nothing() -> None:
    """If nothing arrived, the error says what to do about a model that is being loaded."""
    error = error_of(play(timeouts(first_chunk=0.5)).messages)

    assert isinstance(error, StreamTimeoutError)
    assert error.partial == ChatResponse()
    assert "within 0.5 s" in str(error)
    assert "load the model beforehand" in str(error)


def test_total_says_what_to_do() -> None:
    """The error of the total says how to get a shorter answer."""
    error = error_of(play(timeouts(total=5)).messages)

    assert "num_predict" in str(error)


# Laws.


@given(scripts(lambda time: st.sampled_from([on_completed(time), on_error(time, LOST)]), apart=5))
def test_in_time_nothing_changes(sent: list[Recorded[Any]]) -> None:
    """A stream within its limits comes out as it went in, at the same moments."""
    played = play(timeouts(first_chunk=25.5, gap=5.5, total=25.5), *sent)

    assert [(record.time - 200, record.value) for record in played.messages] == [
        (record.time, record.value) for record in sent
    ]


@given(scripts(lambda time: st.just(on_completed(time))), st.integers(0, 9), st.integers(0, 9), st.integers(0, 20))
def test_late_at_the_right_moment(sent: list[Recorded[Any]], first_chunk: int, gap: int, total: int) -> None:
    """The items before the first exceeded limit are passed on, and the error comes at that moment."""
    limits = (first_chunk + 0.5, gap + 0.5, total + 0.5)
    due, phase = limit_reached(sent, *limits)
    played = play(timeouts(first_chunk=limits[0], gap=limits[1], total=limits[2]), *sent)

    kept = [(record.time + 200, record.value) for record in sent if record.time < due]
    if phase:
        assert transcript(played.messages)[-1] == (200 + due, phase)
        played.messages.pop()
    assert [(record.time, record.value) for record in played.messages] == kept


def limit_reached(sent: list[Recorded[Any]], first_chunk: float, gap: float, total: float) -> tuple[float, str]:
    """Return when which limit of a script is reached; without a phase if none is."""
    due, phase = first_chunk, "first_chunk"
    begun = False
    for time, chunk in transcript(sent):
        at, over = min((due, phase), (total, "total"))
        if at < time:
            return at, over
        if isinstance(chunk, ChatChunk):
            begun = begun or chunk.visible or chunk.done
            if begun:
                due, phase = (math.inf if chunk.done else time + gap), "gap"
    return math.inf, ""


@given(
    scripts(lambda time: st.sampled_from([on_completed(time), on_error(time, LOST), on_next(time, HEL)])),
    st.sampled_from([1000.0, 215.0]),
)
def test_one_timer(sent: list[Recorded[Any]], disposed: float) -> None:
    """There is never more than one timer, and none after the end or after dispose."""
    stage = Stage()
    stage.play(
        stage.source(*sent).pipe(timeouts(first_chunk=15.5, gap=5.5, total=30.5, scheduler=stage.clock)),
        disposed=disposed,
    )

    assert stage.clock.most == 1
    assert stage.clock.outstanding == 0


def test_items_set_no_timer() -> None:
    """Timers are set as time passes, not as chunks come."""
    stage = Stage()
    sent = [on_next(1 + place // 100, HEL) for place in range(1000)]
    played = stage.play(stage.source(*sent, on_completed(15)).pipe(timeouts(gap=5, scheduler=stage.clock)))

    assert len(played) == 1001
    assert stage.clock.made <= 4


# Clocks and threads.


def test_scheduler_is_passed_on() -> None:
    """The source is subscribed with the subscriber's scheduler, not with the operator's."""
    seen: list[abc.SchedulerBase | None] = []

    def subscribe(_: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        seen.append(scheduler)
        return Disposable()

    stage, subscribers = Stage(), VirtualTimeScheduler()
    Observable(subscribe).pipe(timeouts(gap=1, scheduler=stage.clock)).subscribe(scheduler=subscribers).dispose()

    assert seen == [subscribers]


def test_background_loop() -> None:
    """Subscribed from outside of any loop, the error comes on the background loop."""
    heard = Heard(reactivex.never().pipe(timeouts(first_chunk=0.01)))

    assert late("first_chunk")(heard.failure)
    assert heard.threads == {"rxollama"}


async def test_running_loop() -> None:
    """Awaited, the error comes on the loop that awaits."""
    with pytest.raises(StreamTimeoutError, match=r"within 0\.01 s"):
        await reactivex.never().pipe(timeouts(first_chunk=0.01))


async def test_each_subscription_has_its_own_time() -> None:
    """The same pipeline subscribed twice is watched twice."""
    source: Subject[ChatChunk] = Subject()
    pipeline = source.pipe(timeouts(first_chunk=0.01))
    errors: asyncio.Queue[Exception] = asyncio.Queue()
    pipeline.subscribe(on_error=errors.put_nowait)
    pipeline.subscribe(on_error=errors.put_nowait)

    assert [late("first_chunk")(await errors.get()) for _ in range(2)] == [True, True]


def test_no_overlap() -> None:
    """An error that is due while a chunk is being handed on comes after it; the source is disposed at once."""
    clock, told, gone = VirtualTimeScheduler(), list[object](), list[float]()
    source: Subject[ChatChunk] = Subject()

    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        source.subscribe(observer, scheduler=scheduler)
        return Disposable(lambda: gone.append(clock.clock))

    def take(_: ChatChunk) -> None:
        clock.advance_by(10)
        told.extend((list(gone), "taken"))

    Observable(subscribe).pipe(timeouts(total=5, scheduler=clock)).subscribe(take, told.append)
    source.on_next(HEL)

    assert told[:2] == [[5.0], "taken"]
    assert isinstance(told[2], StreamTimeoutError)


def test_slow_callback() -> None:
    """The time that a callback takes does not count as silence of the server."""
    clock, told = VirtualTimeScheduler(), list[object]()
    source: Subject[ChatChunk] = Subject()

    def take(chunk: ChatChunk) -> None:
        clock.advance_by(10)
        told.append(chunk)

    source.pipe(timeouts(first_chunk=5, gap=5, scheduler=clock)).subscribe(take, told.append)
    source.on_next(HEL)
    source.on_next(LO)
    clock.advance_by(4)
    assert told == [HEL, LO]

    clock.advance_by(2)
    assert late("gap")(error_in(told))


def error_in(told: list[object]) -> Exception:
    """Return the last thing received, which is an error."""
    assert isinstance(told[-1], Exception)
    return told[-1]


def test_chunk_within_a_chunk() -> None:
    """A chunk that comes within a callback waits for its turn, and so does an error that is due."""
    clock, told = VirtualTimeScheduler(), list[object]()
    source: Subject[ChatChunk] = Subject()

    def take(chunk: ChatChunk) -> None:
        if chunk is HEL:
            source.on_next(LO)
        else:
            clock.advance_by(10)
        told.append(chunk)

    source.pipe(timeouts(total=5, scheduler=clock)).subscribe(take, told.append)
    source.on_next(HEL)

    assert told[:2] == [HEL, LO]
    assert late("total")(error_in(told))


def test_chunk_within_a_slow_callback() -> None:
    """No gap counts as long as a chunk waits for its turn."""
    clock, told = VirtualTimeScheduler(), list[object]()
    source: Subject[ChatChunk] = Subject()

    def take(chunk: ChatChunk) -> None:
        if chunk is HEL:
            source.on_next(LO)
        else:
            clock.advance_by(4)
            clock.advance_by(4)
        told.append(chunk)

    source.pipe(timeouts(gap=5, scheduler=clock)).subscribe(take, told.append)
    source.on_next(HEL)
    clock.advance_by(4)
    assert told == [HEL, LO]

    clock.advance_by(2)
    assert late("gap")(error_in(told))


def test_after_the_end() -> None:
    """Items, ends and timers after the end change nothing."""
    clock, told, guarded = Manual(), list[object](), list[Any]()

    def subscribe(observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        guarded.append(observer)
        return Disposable()

    watched = Stream(subscribe, items=ChatChunk).pipe(timeouts(total=5, scheduler=clock))
    watched.subscribe(told.append, told.append, lambda: told.append("completed"))
    # Past the guard that reactivex puts before every observer.
    (source,) = guarded
    source._on_completed()
    source._on_next(HEL)
    source._on_error(LOST)
    source._on_completed()
    for action in clock.every:
        action()

    assert told == ["completed"]


def test_an_end_just_as_a_limit_is_checked() -> None:
    """A stream that ends just as its limit is exceeded ends once."""
    clock, told = Manual(), list[object]()
    source: Subject[ChatChunk] = Subject()
    source.pipe(timeouts(total=5, scheduler=clock)).subscribe(
        told.append, told.append, lambda: told.append("completed")
    )
    clock.seconds += 5
    clock.meanwhile = source.on_completed
    clock.run()

    assert told == ["completed"]


@pytest.mark.parametrize(("sent", "phase", "seconds"), [([], "first_chunk", 5), ([HEL], "gap", 3)])
def test_a_clock_that_is_put_back(sent: list[ChatChunk], phase: str, seconds: float) -> None:
    """A clock that is put back lengthens no limit by more than its own length."""
    clock, told = Manual(), list[object]()
    source: Subject[ChatChunk] = Subject()
    source.pipe(timeouts(first_chunk=5, gap=3, total=60, scheduler=clock)).subscribe(told.append, told.append)
    for chunk in sent:
        source.on_next(chunk)
    clock.seconds -= 600
    clock.run()
    assert told == sent

    clock.seconds += seconds
    clock.run()
    assert late(phase)(error_in(told))


def test_a_clock_that_wakes_early() -> None:
    """A limit that is finer than the clock is exceeded when the clock fires for it."""
    assert transcript(play(timeouts(total=0.1234564)).messages)[0][1] == "total"


def test_clock_that_cannot_wait() -> None:
    """A scheduler that cannot wait is an error for the subscriber."""
    scheduler = EventLoopScheduler()
    scheduler.dispose()
    errors: list[Exception] = []
    reactivex.never().pipe(timeouts(total=1, scheduler=scheduler)).subscribe(on_error=errors.append)

    assert len(errors) == 1


# Subscribers that raise.


def test_failing_subscriber() -> None:
    """A subscriber that raises receives its own error; the source is disposed, and the producer goes on."""
    clock, errors = VirtualTimeScheduler(), list[Exception]()
    source: Subject[ChatChunk] = Subject()

    def take(_: ChatChunk) -> None:
        raise MINE

    source.pipe(timeouts(gap=5, scheduler=clock)).subscribe(take, errors.append)
    source.on_next(HEL)
    clock.advance_by(6)

    assert errors == [MINE]
    assert not source.observers


def test_nobody_handles_the_error(reported: Callable[[], list[BaseException]]) -> None:
    """A timeout without a handler is reported."""
    clock = VirtualTimeScheduler()
    reactivex.never().pipe(timeouts(total=5, scheduler=clock)).subscribe()
    clock.advance_by(6)

    assert [type(error) for error in reported()] == [StreamTimeoutError]


# Refusals.


@pytest.mark.parametrize("name", ["first_chunk", "gap", "total"])
@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan, True, "5"])
def test_refused_limit(name: str, seconds: Any) -> None:
    """A limit is a positive number of seconds."""
    with pytest.raises(InvalidValueError, match=f"{name}: .*positive number of seconds"):
        timeouts(**{name: seconds})


def test_refused_nothing() -> None:
    """At least one limit is needed."""
    with pytest.raises(InvalidValueError, match="at least one of"):
        timeouts()


@pytest.mark.parametrize("name", ["first_chunk", "gap", "total"])
def test_timedelta(name: str) -> None:
    """A limit may be a timedelta."""
    limit: dict[str, Any] = {name: timedelta(seconds=5)}
    played = play(timeouts(**limit), on_next(1, HEL))

    assert transcript(played.messages) == [
        (201, HEL),
        *([] if name == "first_chunk" else [(206 if name == "gap" else 205, name)]),
    ]
