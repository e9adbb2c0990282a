"""A second source starts if the first is silent, and the one that answers first wins."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import reactivex
from guards import CALL, DONE, EMPTY, HEL, HM, LO, Stage, chunks_of, error_of, scripts, transcript
from heard import Heard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler import EventLoopScheduler, VirtualTimeScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, Recorded
from reactivex.testing.subscription import Subscription

from rxollama import Stream
from rxollama.errors import ConnectionFailedError, ConnectionLostError, InvalidValueError, NotFoundError
from rxollama.messages import ChatChunk
from rxollama.operators import content, hedge

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

LOST = ConnectionLostError("lost")
MINE = KeyError("mine")
ANSWER = [on_next(10, HEL), on_next(20, LO), on_next(30, DONE), on_completed(40)]


# Transcripts.


def test_the_first_is_in_time() -> None:
    """The second source is never subscribed if the first answers in time."""
    stage = Stage()
    source, other = stage.source(on_next(5, EMPTY), *ANSWER), stage.source(*ANSWER)
    played = stage.play(source.pipe(hedge(other, after=15, scheduler=stage.clock)))

    assert played == [
        *[on_next(210, EMPTY), on_next(210, HEL), on_next(220, LO), on_next(230, DONE), on_completed(240)]
    ]
    assert stage.subscriptions == [[Subscription(200, 240)], []]
    assert stage.clock.outstanding == 0


@pytest.mark.parametrize("chunk", [HM, HEL, CALL, DONE])
def test_the_second_wins(chunk: ChatChunk) -> None:
    """If the second answers first, the first is disposed at once, and nothing of it is emitted."""
    stage = Stage()
    source = stage.source(on_next(5, EMPTY), on_next(50, LO))
    other = stage.source(on_next(5, EMPTY), on_next(10, chunk), on_next(20, LO), on_completed(40))
    played = stage.play(source.pipe(hedge(other, after=15)))

    assert played == [on_next(225, EMPTY), on_next(225, chunk), on_next(235, LO), on_completed(255)]
    assert stage.subscriptions == [[Subscription(200, 225)], [Subscription(215, 255)]]


def test_the_first_wins_late() -> None:
    """If the first answers while the second is silent, the second is disposed, and nothing of it is emitted."""
    stage = Stage()
    source = stage.source(on_next(5, EMPTY), on_next(20, HEL), on_error(30, LOST))
    other = stage.source(on_next(1, EMPTY), *ANSWER)
    played = stage.play(source.pipe(hedge(other, after=15)))

    assert played == [on_next(220, EMPTY), on_next(220, HEL), on_error(230, LOST)]
    assert stage.subscriptions == [[Subscription(200, 230)], [Subscription(215, 220)]]


def test_the_first_fails() -> None:
    """If the first fails early, the second is started at once."""
    stage = Stage()
    source, other = stage.source(on_next(5, EMPTY), on_error(10, LOST)), stage.source(*ANSWER)
    played = stage.play(source.pipe(hedge(other, after=15, scheduler=stage.clock)))

    assert played == [on_next(220, HEL), on_next(230, LO), on_next(240, DONE), on_completed(250)]
    assert stage.subscriptions == [[Subscription(200, 210)], [Subscription(210, 250)]]
    assert stage.clock.outstanding == 0


def test_the_first_fails_late() -> None:
    """If the first fails while the second is silent, the second continues."""
    stage = Stage()
    source, other = stage.source(on_error(20, LOST)), stage.source(*ANSWER)
    played = stage.play(source.pipe(hedge(other, after=15)))

    assert played == [on_next(225, HEL), on_next(235, LO), on_next(245, DONE), on_completed(255)]
    assert stage.subscriptions == [[Subscription(200, 220)], [Subscription(215, 255)]]


def test_the_second_fails() -> None:
    """If the second fails, the first continues."""
    stage = Stage()
    source, other = stage.source(on_next(50, HEL), on_completed(60)), stage.source(on_next(1, EMPTY), on_error(2, LOST))
    played = stage.play(source.pipe(hedge(other, after=15)))

    assert played == [on_next(250, HEL), on_completed(260)]
    assert stage.subscriptions == [[Subscription(200, 260)], [Subscription(215, 217)]]


@pytest.mark.parametrize("first", [5, 20, 30])
def test_both_fail(first: int) -> None:
    """If both fail, the first one's error follows its chunks, and has a note of the other's."""
    stage = Stage()
    error = NotFoundError("no such model", status=404)
    source = stage.source(on_next(5, EMPTY), on_error(first, error))
    other = stage.source(on_next(1, EMPTY), on_next(2, EMPTY), on_error(10, ConnectionFailedError("refused")))
    played = stage.play(source.pipe(hedge(other, after=15)))

    at = 200 + max(first, min(first, 15) + 10)
    assert played == [on_next(at, EMPTY), on_error(at, error)]
    assert error_of(played) is error
    assert error.__notes__ == ["the hedge failed, too: ConnectionFailedError: refused"]


@pytest.mark.parametrize("winner", ["first", "second"])
def test_an_end_wins(winner: str) -> None:
    """A source that completes with nothing visible wins as well."""
    stage = Stage()
    empty = [on_next(1, EMPTY), on_completed(5)]
    source = stage.source(*(empty if winner == "first" else []))
    other = stage.source(*(empty if winner == "second" else []))
    played = stage.play(source.pipe(hedge(other, after=2)))

    at = 205 if winner == "first" else 207
    assert played == [on_next(at, EMPTY), on_completed(at)]
    assert stage.subscriptions == [[Subscription(200, at)], [Subscription(202, at)]]


def test_both_at_once() -> None:
    """With `after=0` both start together."""
    stage = Stage()
    source, other = stage.source(), stage.source(*ANSWER)

    assert chunks_of(stage.play(source.pipe(hedge(other, after=0)))) == [HEL, LO, DONE]
    assert stage.subscriptions == [[Subscription(200, 210)], [Subscription(200, 240)]]


def test_never() -> None:
    """Both sources stay subscribed if neither sends."""
    stage = Stage()

    assert stage.play(stage.source().pipe(hedge(stage.source(), after=15))) == []
    assert stage.subscriptions == [[Subscription(200, 1000)], [Subscription(215, 1000)]]


@pytest.mark.parametrize("disposed", [210, 220])
def test_disposed(disposed: int) -> None:
    """Dispose disposes both sources, and the second one is not started any more."""
    stage = Stage()
    source = stage.source(on_next(5, EMPTY), on_next(50, HEL))
    played = stage.play(source.pipe(hedge(stage.source(*ANSWER), after=15, scheduler=stage.clock)), disposed=disposed)

    assert played == []
    assert stage.subscriptions == [
        [Subscription(200, disposed)],
        [] if disposed == 210 else [Subscription(215, disposed)],
    ]
    assert stage.clock.outstanding == 0


# Laws.


def ends(time: int) -> SearchStrategy[Recorded[Any]]:
    """Draw a completion or an error."""
    return st.sampled_from([on_completed(time), on_error(time, LOST)])


@given(scripts(ends), scripts(ends), st.integers(0, 30))
def test_one_source_comes_out(first: list[Recorded[Any]], second: list[Recorded[Any]], after: int) -> None:
    """One source is emitted as a whole: the first to answer, or the first one if both fail."""
    stage = Stage()
    source, other = stage.source(*first), stage.source(*second)
    played = stage.play(source.pipe(hedge(other, after=after + 0.5)))

    begun, failed = beginning(first), first[-1].time
    start = min(after + 0.5, failed if begun == math.inf else math.inf)
    chosen = first if begun <= start + beginning(second) else second
    assert chunks_of(played) == chunks_of(chosen)
    assert played[-1].value == chosen[-1].value


def beginning(script: list[Recorded[Any]]) -> float:
    """Return when a source answers or completes; infinity if it fails before."""
    for time, heard in transcript(script):
        if heard == "end" or (isinstance(heard, ChatChunk) and (heard.visible or heard.done)):
            return time
    return math.inf


@given(scripts(ends), scripts(ends), st.sampled_from([1000.0, 215.0]))
def test_one_timer(first: list[Recorded[Any]], second: list[Recorded[Any]], disposed: float) -> None:
    """There is one timer, and none after the end or dispose."""
    stage = Stage()
    source, other = stage.source(*first), stage.source(*second)
    stage.play(source.pipe(hedge(other, after=10.5, scheduler=stage.clock)), disposed=disposed)

    assert stage.clock.made == 1
    assert stage.clock.outstanding == 0


# Clocks and threads.


def test_scheduler_is_passed_on() -> None:
    """Both sources are subscribed with the subscriber's scheduler."""
    seen: list[abc.SchedulerBase | None] = []

    def subscribe(_: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        seen.append(scheduler)
        return Disposable()

    source = Observable(subscribe)
    scheduler = VirtualTimeScheduler()
    source.pipe(hedge(source, after=5)).subscribe(scheduler=scheduler)
    scheduler.advance_by(6)

    assert seen == [scheduler] * 2


def test_time_as_timedelta() -> None:
    """The time until the second source may be a `timedelta`."""
    stage = Stage()
    other = stage.source(on_next(5, HEL), on_completed(6))
    played = stage.play(stage.source().pipe(hedge(other, after=timedelta(seconds=20))))

    assert played == [on_next(225, HEL), on_completed(226)]


def test_background_loop() -> None:
    """Without a running loop the second source is started on the background loop."""
    heard = Heard(reactivex.never().pipe(hedge(reactivex.of(HEL, DONE), after=0.01))).wait()

    assert heard.items == [HEL, DONE]
    assert heard.threads == {"rxollama"}


async def test_running_loop() -> None:
    """In a coroutine the second source is started on the running loop."""
    assert await reactivex.never().pipe(hedge(reactivex.of(HEL, DONE), after=0.01)) == HEL + DONE


def test_each_subscription_has_its_own_race() -> None:
    """Each subscription of a pipeline has its own winner."""
    stage = Stage()
    first = stage.in_turn([on_next(1, HEL), on_completed(2)], [])
    pipeline = first.pipe(hedge(stage.source(on_next(1, LO), on_completed(2)), after=5))

    assert chunks_of(stage.play(reactivex.merge(pipeline, pipeline))) == [HEL, LO]


def test_clock_that_cannot_wait() -> None:
    """The subscriber gets the error of a scheduler that cannot set timers."""
    scheduler = EventLoopScheduler()
    scheduler.dispose()
    errors: list[Exception] = []
    reactivex.never().pipe(hedge(reactivex.never(), after=1, scheduler=scheduler)).subscribe(on_error=errors.append)

    assert len(errors) == 1


def _unused(_: abc.ObserverBase[ChatChunk], __: abc.SchedulerBase | None = None) -> abc.DisposableBase:
    raise NotImplementedError


class SendsAfterDispose(Stream[ChatChunk]):
    """A source that sends after dispose, as one on another thread may do for a moment."""

    def __init__(self) -> None:
        super().__init__(_unused, items=ChatChunk, deltas=True)
        self.disposed = 0

    def subscribe(self, on_next: Any = None, *_: Any, **__: Any) -> abc.DisposableBase:
        """Keep a subscriber's functions without the checks that reactivex puts around them."""
        self.on_next, self.on_error, self.on_completed = on_next.on_next, on_next.on_error, on_next.on_completed

        def dispose() -> None:
            self.disposed += 1

        return Disposable(dispose)


def test_a_loser_that_sends_after_dispose() -> None:
    """Items that a loser sends after dispose are ignored."""
    source, other = SendsAfterDispose(), SendsAfterDispose()
    heard: list[object] = []
    pipeline = source.pipe(hedge(other, after=0, scheduler=(clock := VirtualTimeScheduler())))
    pipeline.subscribe(heard.append, heard.append, lambda: heard.append("end"))
    clock.advance_by(1)
    source.on_next(HEL)
    assert (source.disposed, other.disposed) == (0, 1)

    other.on_next(EMPTY)
    other.on_next(LO)
    other.on_error(LOST)
    other.on_completed()
    source.on_completed()
    assert heard == [HEL, "end"]


def test_a_race_of_threads() -> None:
    """With two threads, the chunks of one source are emitted, and calls never overlap."""
    for _ in range(50):
        source, other = Subject[ChatChunk](), Subject[ChatChunk]()
        clock, taken, busy = VirtualTimeScheduler(), list[ChatChunk](), threading.Lock()

        def take(chunk: ChatChunk, busy: threading.Lock = busy, taken: list[ChatChunk] = taken) -> None:
            assert busy.acquire(blocking=False)
            taken.append(chunk)
            busy.release()

        source.pipe(hedge(other, after=0, scheduler=clock)).subscribe(take)
        clock.advance_by(1)
        barrier = threading.Barrier(2)

        def send(subject: Subject[ChatChunk], chunk: ChatChunk, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            for _ in range(5):
                subject.on_next(chunk)

        threads = [threading.Thread(target=send, args=each) for each in ((source, HEL), (other, LO))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert taken in ([HEL] * 5, [LO] * 5)


# Subscribers that fail.


def test_failing_subscriber() -> None:
    """An exception of a subscriber reaches the winner's producer unchanged, and the loser stays disposed."""
    source: Subject[ChatChunk] = Subject()
    stage = Stage()
    errors: list[Exception] = []

    def take(_: ChatChunk) -> None:
        raise MINE

    source.pipe(hedge(stage.source(*ANSWER), after=5, scheduler=stage.clock)).subscribe(take, errors.append)
    source.on_next(EMPTY)
    with pytest.raises(KeyError, match="mine"):
        source.on_next(HEL)
    source.on_error(MINE)

    assert errors == [MINE]
    assert stage.subscriptions == [[]]


def test_nobody_handles_the_error(reported: Callable[[], list[BaseException]]) -> None:
    """An error without a handler that the second source raises when it is started is reported."""
    clock = VirtualTimeScheduler()
    source: Subject[ChatChunk] = Subject()

    def subscribe(observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        observer.on_next(HEL)
        observer.on_error(LOST)
        return Disposable()

    source.pipe(hedge(Observable(subscribe), after=5, scheduler=clock)).subscribe()
    clock.advance_by(6)

    assert reported() == [LOST]


# Refusals.


@pytest.mark.parametrize(
    ("other", "after", "message"),
    [
        ("qwen3", 5, "other: expected a stream of ChatChunk"),
        (reactivex.never().pipe(content()), 5, "other: .* got a stream of str"),
        (reactivex.never(), -1, "after: .*0 or more"),
        (reactivex.never(), math.inf, "after: .*0 or more"),
        (reactivex.never(), None, "after: .*0 or more"),
    ],
)
def test_refused(other: Any, after: Any, message: str) -> None:
    """A wrong argument is refused at the call."""
    with pytest.raises(InvalidValueError, match=message):
        hedge(other, after=after)
