"""Another source answers if the one before fails with nothing visible."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex
from guards import CALL, DONE, EMPTY, HEL, HM, LO, Stage, chunks_of, error_of, scripts, transcript
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, Recorded
from reactivex.testing.subscription import Subscription

from rxollama.errors import (
    BadRequestError,
    ClientClosedError,
    ConnectionFailedError,
    InvalidValueError,
    NotFoundError,
    ReportedError,
    StreamError,
    StreamTimeoutError,
    UnauthorizedError,
)
from rxollama.messages import ChatChunk
from rxollama.operators import content, fallback, retry

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

GONE = NotFoundError("no such model", status=404)
MINE = KeyError("mine")
ANSWER = [on_next(10, HEL), on_next(20, LO), on_next(30, DONE), on_completed(40)]


def always(_: Exception) -> bool:
    """Return True for every error."""
    return True


def never(_: Exception) -> bool:
    """Return False for every error."""
    return False


# Transcripts.


def test_no_failure() -> None:
    """A source that does not fail is passed on unchanged, and no other is subscribed."""
    stage = Stage()
    source, other = stage.source(on_next(5, EMPTY), *ANSWER), stage.source()
    played = stage.play(source.pipe(fallback(other)))

    assert played == [
        *[on_next(210, EMPTY), on_next(210, HEL), on_next(220, LO), on_next(230, DONE), on_completed(240)]
    ]
    assert stage.subscriptions == [[Subscription(200, 240)], []]


def test_others_in_turn() -> None:
    """Each source is subscribed when the one before failed, and only the last one's chunks are emitted."""
    stage = Stage()
    source = stage.source(on_next(5, EMPTY), on_error(10, GONE))
    second = stage.source(on_next(5, EMPTY), on_error(20, ConnectionFailedError("refused")))
    third, fourth = stage.source(on_next(1, EMPTY), *ANSWER), stage.source()
    played = stage.play(source.pipe(fallback(second, third, fourth)))

    assert played == [
        *[on_next(240, EMPTY), on_next(240, HEL), on_next(250, LO), on_next(260, DONE), on_completed(270)]
    ]
    assert stage.subscriptions == [
        *[[Subscription(200, 210)], [Subscription(210, 230)], [Subscription(230, 270)], []],
    ]


@pytest.mark.parametrize("chunk", [HM, HEL, CALL, DONE])
def test_not_once_there_was_something_to_see(chunk: ChatChunk) -> None:
    """An error after thinking, content, a tool call or the end of a message is passed on."""
    stage = Stage()
    source, other = stage.source(on_next(10, chunk), on_error(20, GONE)), stage.source(*ANSWER)

    assert stage.play(source.pipe(fallback(other))) == [on_next(210, chunk), on_error(220, GONE)]
    assert stage.subscriptions == [[Subscription(200, 220)], []]


def test_all_fail() -> None:
    """The last source's error follows the chunks that it sent before, and has notes of the errors before."""
    stage = Stage()
    last = ReportedError("reported")
    source = stage.source(on_next(5, EMPTY), on_error(10, NotFoundError("no such model", status=404)))
    other = stage.source(on_next(5, EMPTY), on_next(6, EMPTY), on_error(10, last))
    played = stage.play(source.pipe(fallback(other)))

    assert played == [on_next(220, EMPTY), on_next(220, EMPTY), on_error(220, last)]
    assert error_of(played) is last
    assert last.__notes__ == ["choice 1 failed: NotFoundError: no such model"]


def test_never() -> None:
    """A source that never sends stays subscribed."""
    stage = Stage()

    assert stage.play(stage.source().pipe(fallback(stage.source()))) == []
    assert stage.subscriptions == [[Subscription(200, 1000)], []]


def test_disposed() -> None:
    """Dispose disposes the current source."""
    stage = Stage()
    source, other = stage.source(on_error(10, GONE)), stage.source(*ANSWER)
    played = stage.play(source.pipe(fallback(other)), disposed=225)

    assert played == [on_next(220, HEL)]
    assert stage.subscriptions == [[Subscription(200, 210)], [Subscription(210, 225)]]


# Which errors.


@pytest.mark.parametrize(
    "error",
    [
        GONE,
        BadRequestError("does not support thinking", status=400),
        ConnectionFailedError("refused"),
        ReportedError("reported", detail="error parsing tool call"),
        StreamTimeoutError("late", phase="first_chunk"),
        UnauthorizedError("who?", status=401),
    ],
)
def test_where_it_can_help(error: Exception) -> None:
    """By default another source is subscribed after every `StreamError`."""
    stage = Stage()

    assert chunks_of(stage.play(stage.source(on_error(1, error)).pipe(fallback(stage.source(*ANSWER))))) == [
        HEL,
        LO,
        DONE,
    ]


@pytest.mark.parametrize("error", [ClientClosedError("closed"), MINE])
def test_where_it_cannot_help(error: Exception) -> None:
    """By default no other source is subscribed after the client was closed, or after a foreign exception."""
    stage = Stage()

    assert stage.play(stage.source(on_error(1, error)).pipe(fallback(stage.source(*ANSWER)))) == [on_error(201, error)]


def test_when() -> None:
    """`when` decides whether another source is subscribed."""
    stage = Stage()
    kept, other = stage.source(on_error(1, GONE)), stage.source(*ANSWER)
    assert stage.play(kept.pipe(fallback(other, when=never))) == [on_error(201, GONE)]

    stage = Stage()
    mine, other = stage.source(on_error(1, MINE)), stage.source(*ANSWER)
    assert chunks_of(stage.play(mine.pipe(fallback(other, when=always)))) == [HEL, LO, DONE]


def test_a_function_that_fails() -> None:
    """An exception of `when` ends the stream, and the error before it is in its notes."""
    mine = KeyError("mine")

    def when(_: Exception) -> bool:
        raise mine

    stage = Stage()
    played = stage.play(stage.source(on_error(1, GONE)).pipe(fallback(stage.source(*ANSWER), when=when)))

    assert error_of(played) is mine
    assert mine.__notes__ == ["choice 1 failed: NotFoundError: no such model"]


def test_with_retry() -> None:
    """`retry` before `fallback` tries each source several times."""
    stage = Stage()
    refused = ConnectionFailedError("refused")
    source, other = stage.source(on_error(1, refused)), stage.source(*ANSWER)
    again = retry(2, backoff=4, jitter=0)
    played = stage.play(source.pipe(again, fallback(other.pipe(again))))

    assert transcript(played)[0] == (216, HEL)
    assert [len(subscribed) for subscribed in stage.subscriptions] == [2, 1]


# Laws.


def ends(time: int) -> SearchStrategy[Recorded[Any]]:
    """Draw a completion, an error that another source may help, or one that it may not."""
    return st.sampled_from([on_completed(time), on_error(time, GONE), on_error(time, MINE)])


@given(st.lists(scripts(ends), min_size=2, max_size=4))
def test_one_source_comes_out(sent: list[list[Recorded[Any]]]) -> None:
    """One source is emitted as a whole: the first that answers, completes or may not be replaced, else the last."""
    stage = Stage()
    source, *others = [stage.source(*script) for script in sent]
    played = stage.play(source.pipe(fallback(*others)))

    chosen = next(filter(is_final, sent), sent[-1])
    assert chunks_of(played) == chunks_of(chosen)
    assert played[-1].value == chosen[-1].value


def is_final(script: list[Recorded[Any]]) -> bool:
    """Return whether no other source is subscribed after this one."""
    return any(chunk.visible or chunk.done for chunk in chunks_of(script)) or transcript(script)[-1][1] is not GONE


# Subscriptions and schedulers.


def failing(seen: list[abc.SchedulerBase | None]) -> Observable[ChatChunk]:
    """Return a source that records its scheduler and fails at once."""

    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        seen.append(scheduler)
        observer.on_error(GONE)
        return Disposable()

    return Observable(subscribe)


def test_scheduler_is_passed_on() -> None:
    """Every source is subscribed with the subscriber's scheduler."""
    seen: list[abc.SchedulerBase | None] = []
    errors: list[Exception] = []
    scheduler = VirtualTimeScheduler()
    pipeline = failing(seen).pipe(fallback(failing(seen), failing(seen)))
    pipeline.subscribe(on_error=errors.append, scheduler=scheduler)

    assert errors == [GONE]
    assert seen == [scheduler] * 3


def test_each_subscription_has_its_own_others() -> None:
    """A pipeline that is subscribed twice subscribes the other sources each time."""
    pipeline = reactivex.throw(GONE).pipe(fallback(reactivex.of(HEL, DONE)))
    taken: list[ChatChunk] = []
    pipeline.subscribe(taken.append)
    pipeline.subscribe(taken.append)

    assert taken == [HEL, DONE] * 2


def test_sources_that_end_while_they_are_subscribed() -> None:
    """Sources that fail or answer during `subscribe` are subscribed and disposed in their order."""
    seen: list[abc.SchedulerBase | None] = []
    taken: list[ChatChunk] = []
    failing(seen).pipe(fallback(failing(seen), reactivex.of(HEL, DONE))).subscribe(taken.append)

    assert len(seen) == 2
    assert taken == [HEL, DONE]


def test_disposed_while_it_is_decided() -> None:
    """No other source is subscribed if `when` disposes the subscription."""
    source: Subject[ChatChunk] = Subject()
    seen: list[abc.SchedulerBase | None] = []

    def when(_: Exception) -> bool:
        subscription.dispose()
        return True

    subscription = source.pipe(fallback(failing(seen), when=when)).subscribe()
    source.on_error(GONE)

    assert seen == []


# Subscribers that fail.


def test_failing_subscriber() -> None:
    """An exception of a subscriber reaches the producer unchanged, and no other source is subscribed."""
    source: Subject[ChatChunk] = Subject()
    taken: list[ChatChunk] = []
    errors: list[Exception] = []

    def take(chunk: ChatChunk) -> None:
        taken.append(chunk)
        raise MINE

    source.pipe(fallback(reactivex.of(DONE), when=always)).subscribe(take, errors.append)
    source.on_next(EMPTY)
    with pytest.raises(KeyError, match="mine"):
        source.on_next(HEL)
    source.on_error(MINE)

    assert taken == [EMPTY]
    assert errors == [MINE]


def test_nobody_handles_the_error() -> None:
    """An error without a handler reaches the last source's producer."""
    source: Subject[ChatChunk] = Subject()
    other: Subject[ChatChunk] = Subject()
    source.pipe(fallback(other)).subscribe()
    source.on_error(GONE)

    with pytest.raises(StreamError, match="no such model"):
        other.on_error(GONE)


# Refusals.


@pytest.mark.parametrize(
    ("others", "when", "message"),
    [
        ((), None, "others: .*at least one"),
        (("qwen3",), None, "others: expected a stream of ChatChunk"),
        ((reactivex.never(), None), None, "others: expected a stream of ChatChunk"),
        ((reactivex.never().pipe(content()),), None, "others: .* got a stream of str"),
        ((reactivex.never(),), GONE, "when: .*function"),
    ],
)
def test_refused(others: Any, when: Any, message: str) -> None:
    """A wrong argument is refused at the call."""
    with pytest.raises(InvalidValueError, match=message):
        fallback(*others, when=when)


def test_refused_text_is_not_shown() -> None:
    """A text that is given instead of a source may be private, and is not shown."""
    words: Any = "Tell nobody."
    with pytest.raises(InvalidValueError) as refused:
        fallback(words)

    assert "nobody" not in str(refused.value)
