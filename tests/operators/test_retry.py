"""A failure is followed by another attempt, while nothing was visible and if that may help."""

from __future__ import annotations

import math
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

from rxollama.errors import (
    BadRequestError,
    BusyError,
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    InvalidValueError,
    NotFoundError,
    ProtocolError,
    ReportedError,
    ServerFailureError,
    StreamTimeoutError,
    TruncatedError,
)
from rxollama.messages import ChatChunk
from rxollama.operators import retry

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

LOST = ConnectionLostError("lost")
BUSY = BusyError("busy", status=503)
MINE = KeyError("mine")
ANSWER = [on_next(10, HEL), on_next(20, LO), on_next(30, DONE), on_completed(40)]
# Messages of servers whose parser does not understand the model.
PARSERS = [
    "error parsing tool call: raw='{\"city\": Oslo', err=invalid character 'O' looking for beginning of value",
    "failed to parse JSON: invalid character 'O' looking for beginning of value",
    "XML syntax error on line 7: expected element name after <",
    "failed to parse XML: XML syntax error on line 1: element <tool_call> closed by </arg_value>",
    "expected element type <function> but have <parameter>",
    "element <parameter> closed by </function>",
    "json: cannot unmarshal string into Go value",
    "unexpected end of JSON input",
    "Failed to parse input at pos 12: <tool_call>",
]


def always(_: Exception) -> bool:
    """Return True for every error."""
    return True


# Transcripts.


def test_no_failure() -> None:
    """A source that does not fail is passed on unchanged, and is subscribed once."""
    stage = Stage()
    played = stage.play(stage.source(on_next(5, EMPTY), *ANSWER).pipe(retry()))

    assert played == [
        *[on_next(210, EMPTY), on_next(210, HEL), on_next(220, LO), on_next(230, DONE), on_completed(240)]
    ]
    assert stage.subscriptions == [[Subscription(200, 240)]]


def test_asks_again() -> None:
    """After a failure with nothing visible the source is subscribed again, and no failed chunk is emitted."""
    stage = Stage()
    source = stage.in_turn([on_next(10, EMPTY), on_error(20, LOST)], [on_next(5, EMPTY), *ANSWER])
    played = stage.play(source.pipe(retry(backoff=80, max_backoff=80, jitter=0)))

    assert played == [
        *[on_next(310, EMPTY), on_next(310, HEL), on_next(320, LO), on_next(330, DONE), on_completed(340)]
    ]
    assert stage.subscriptions == [[Subscription(200, 220)], [Subscription(300, 340)]]


@pytest.mark.parametrize("chunk", [HM, HEL, CALL, DONE])
def test_not_once_there_was_something_to_see(chunk: ChatChunk) -> None:
    """An error after thinking, content, a tool call or the end of a message is passed on."""
    stage = Stage()
    played = stage.play(stage.source(on_next(5, EMPTY), on_next(10, chunk), on_error(20, LOST)).pipe(retry()))

    assert played == [on_next(210, EMPTY), on_next(210, chunk), on_error(220, LOST)]
    assert stage.subscriptions == [[Subscription(200, 220)]]


def test_held_back_until_the_error() -> None:
    """Chunks that the last attempt sent before an answer are emitted before its error."""
    stage = Stage()
    source = stage.in_turn(
        [on_next(1, EMPTY), on_next(2, EMPTY), on_error(9, LOST)], [on_next(5, EMPTY), on_error(9, LOST)]
    )
    played = stage.play(source.pipe(retry(2, backoff=1, jitter=0)))

    assert played == [on_next(219, EMPTY), on_error(219, LOST)]


def test_held_back_until_completion() -> None:
    """Chunks without an answer are emitted before the completion."""
    stage = Stage()

    assert stage.play(stage.source(on_next(5, EMPTY), on_completed(9)).pipe(retry())) == [
        *[on_next(209, EMPTY), on_completed(209)]
    ]


def test_never() -> None:
    """A source that never sends stays subscribed."""
    stage = Stage()

    assert stage.play(stage.source().pipe(retry())) == []
    assert stage.subscriptions == [[Subscription(200, 1000)]]


def test_disposed_within_an_attempt() -> None:
    """Dispose disposes the running attempt."""
    stage = Stage()
    source = stage.in_turn([on_error(10, LOST)], [on_next(10, EMPTY), on_next(50, HEL)])
    played = stage.play(source.pipe(retry(backoff=5, jitter=0, scheduler=stage.clock)), disposed=240)

    assert played == []
    assert stage.subscriptions == [[Subscription(200, 210)], [Subscription(215, 240)]]
    assert stage.clock.outstanding == 0


def test_disposed_within_a_wait() -> None:
    """Dispose cancels the wait, and there is no further attempt."""
    stage = Stage()
    source = stage.source(on_error(10, LOST)).pipe(retry(backoff=25, jitter=0, scheduler=stage.clock))
    outstanding: list[int] = []
    stage.at(220, lambda: outstanding.append(stage.clock.outstanding))
    stage.at(231, lambda: outstanding.append(stage.clock.outstanding))

    assert stage.play(source, disposed=230) == []
    assert stage.subscriptions == [[Subscription(200, 210)]]
    assert outstanding == [1, 0]


# Waits.


def begun(stage: Stage) -> list[float]:
    """Return when the only source of a stage was subscribed, relative to the first time."""
    return [subscription.subscribe - 200 for subscription in stage.subscriptions[0]]


def test_waits_grow() -> None:
    """Each wait is longer than the one before, up to `max_backoff`."""
    stage = Stage()
    stage.play(stage.source(on_error(1, LOST)).pipe(retry(6, backoff=2, factor=3, max_backoff=20, jitter=0)))

    assert begun(stage) == [0, 3, 10, 29, 50, 71]


def test_the_first_wait_is_bounded_too() -> None:
    """No wait is longer than `max_backoff`, the first one included."""
    stage = Stage()
    stage.play(stage.source(on_error(1, LOST)).pipe(retry(2, backoff=20, max_backoff=5, jitter=0)))

    assert begun(stage) == [0, 6]


def test_jitter_shortens() -> None:
    """`jitter` shortens each wait by a random part, which `random` gives."""
    stage, chances = Stage(), iter([0.0, 0.5, 1.0])
    operator = retry(4, backoff=8, factor=1, jitter=0.25, random=lambda: next(chances))
    stage.play(stage.source(on_error(1, LOST)).pipe(operator))

    assert begun(stage) == [0, 9, 17, 24]


@given(st.floats(0, 1), st.integers(1, 5))
def test_chance_by_itself(jitter: float, backoff: int) -> None:
    """With the default `random` a wait is between its shortest and its longest."""
    stage = Stage()
    stage.play(stage.source(on_error(1, LOST)).pipe(retry(2, backoff=backoff, jitter=jitter)))
    [_, second] = stage.subscriptions[0]

    assert 201 + backoff * (1 - jitter) - 1 <= second.subscribe <= 201 + backoff


@pytest.mark.parametrize(("asked", "waited"), [(None, 10), (0, 10), (5, 10), (50, 50)])
def test_the_server_says_when(asked: float | None, waited: float) -> None:
    """No wait is shorter than the server asks for, and none is shorter than `backoff` for that."""
    stage = Stage()
    busy = BusyError("busy", status=503, retry_after=asked)
    stage.play(stage.source(on_error(1, busy)).pipe(retry(2, backoff=10, max_backoff=10, jitter=0)))

    assert begun(stage) == [0, 1 + waited]


@pytest.mark.parametrize(("longest", "waited"), [({}, [0, 61]), ({"max_retry_after": 100}, [0, 61])])
def test_the_server_asks_for_what_is_allowed(longest: dict[str, Any], waited: list[float]) -> None:
    """The server may ask for a wait of up to a minute by default."""
    stage = Stage()
    busy = BusyError("busy", status=503, retry_after=60)
    stage.play(stage.source(on_error(1, busy)).pipe(retry(2, max_backoff=1, jitter=0, **longest)))

    assert begun(stage) == waited


@pytest.mark.parametrize("asked", [61, 999_999_999, 1e300, math.inf])
def test_the_server_asks_for_too_much(asked: float) -> None:
    """An error whose `Retry-After` is longer than `max_retry_after` is passed on at once, with a note that says so."""
    stage = Stage()
    busy = BusyError("busy", status=503, retry_after=asked)
    played = stage.play(stage.source(on_next(1, EMPTY), on_error(2, busy)).pipe(retry(max_backoff=1)))

    assert played == [on_next(202, EMPTY), on_error(202, busy)]
    assert len(stage.subscriptions[0]) == 1
    [note] = notes_of(busy)
    assert f"the server asks for a wait of {asked:g} s, longer than max_retry_after=60:" in note


def test_too_much_after_other_failures() -> None:
    """The notes have the attempts before that error as well."""
    stage = Stage()
    busy = BusyError("busy", status=503, retry_after=0.5)
    source = stage.in_turn([on_error(1, LOST)], [on_error(1, busy)])
    error = error_of(stage.play(source.pipe(retry(backoff=1, max_retry_after=0, jitter=0))))

    assert error is busy
    [asked, failed] = notes_of(busy)
    assert "0.5 s, longer than max_retry_after=0" in asked
    assert failed == "attempt 1 failed: ConnectionLostError: lost"


def test_waits_as_timedelta() -> None:
    """A wait may be a `timedelta`."""
    stage = Stage()
    busy = BusyError("busy", status=503, retry_after=9)
    operator = retry(
        4,
        backoff=timedelta(seconds=2),
        max_backoff=timedelta(seconds=3),
        max_retry_after=timedelta(seconds=9),
        jitter=0,
    )
    stage.play(stage.in_turn([on_error(1, LOST)], [on_error(1, LOST)], [on_error(1, busy)], []).pipe(operator))

    assert [subscriptions[0].subscribe - 200 for subscriptions in stage.subscriptions] == [0, 3, 7, 17]


def test_very_many_attempts() -> None:
    """Neither numbers nor the stack overflow with very many attempts, even without waits."""
    stage = Stage()
    stage.play(reactivex.throw(LOST).pipe(retry(3000, factor=1e300, backoff=0)))
    played = stage.play(reactivex.throw(LOST).pipe(retry(2000, factor=10, max_backoff=0.1)), disposed=1e6)

    assert error_of(played) is LOST


@given(st.lists(scripts(lambda time: st.just(on_error(time, LOST))), min_size=1, max_size=4), st.booleans())
def test_one_timer(sent: list[list[Recorded[Any]]], disposed: bool) -> None:
    """There is at most one timer, and none after the end or dispose."""
    stage = Stage()
    operator = retry(4, backoff=3, scheduler=stage.clock)
    stage.play(stage.in_turn(*sent).pipe(operator), disposed=215 if disposed else 1000)

    assert stage.clock.most <= 1
    assert stage.clock.outstanding == 0


# Which errors.


@pytest.mark.parametrize(
    "error",
    [
        BUSY,
        ConnectionFailedError("refused"),
        LOST,
        ServerFailureError("failed", status=500, detail="model runner has unexpectedly stopped"),
        ServerFailureError("failed", status=500, detail="llama-server process has terminated: exit status 2"),
        ServerFailureError("failed", status=500),
        StreamTimeoutError("late", phase="first_chunk"),
        TruncatedError("cut"),
    ],
)
def test_where_it_can_help(error: Exception) -> None:
    """By default there is another attempt if the network or the server failed."""
    stage = Stage()
    stage.play(stage.source(on_error(1, error)).pipe(retry(2)))

    assert len(stage.subscriptions[0]) == 2


@pytest.mark.parametrize(
    "error",
    [
        BadRequestError("no", status=400),
        ClientClosedError("closed"),
        NotFoundError("no such model", status=404),
        ProtocolError("not Ollama"),
        ReportedError("reported", detail="an error was encountered while running the model: unexpected EOF"),
        MINE,
        *[ServerFailureError("failed", status=500, detail=words) for words in PARSERS],
        *[ReportedError("reported", detail=words) for words in PARSERS],
    ],
    ids=repr,
)
def test_where_it_cannot_help(error: Exception) -> None:
    """By default an error is passed on if the request is at fault or the server's parser failed."""
    stage = Stage()

    assert stage.play(stage.source(on_error(1, error)).pipe(retry())) == [on_error(201, error)]
    assert stage.subscriptions == [[Subscription(200, 201)]]


def test_model_names_are_no_words_of_the_server() -> None:
    """A model whose name contains "parser" does not count as a parser's failure."""
    stage = Stage()
    error = ServerFailureError("failed", status=500, detail="out of memory", model="json-parser")
    stage.play(stage.source(on_error(1, error)).pipe(retry(2)))

    assert len(stage.subscriptions[0]) == 2


def test_when() -> None:
    """`when` decides whether there is another attempt, and is not called when none is left."""
    asked: list[Exception] = []

    def when(error: Exception) -> bool:
        asked.append(error)
        return error is MINE

    stage = Stage()
    source = stage.in_turn([on_error(1, MINE)], [on_error(1, LOST)])
    played = stage.play(source.pipe(retry(when=when)))
    assert error_of(played) is LOST
    assert asked == [MINE, LOST]

    stage = Stage()
    stage.play(stage.source(on_error(1, MINE)).pipe(retry(2, when=when)))
    assert asked == [MINE, LOST, MINE]


@pytest.mark.parametrize("argument", ["when", "random"])
def test_a_function_that_fails(argument: str) -> None:
    """An exception of `when` or `random` ends the stream, and the error before it is in its notes."""
    mine = KeyError("mine")

    def function(*_: object) -> Any:
        raise mine

    arguments: dict[str, Any] = {argument: function}
    stage = Stage()
    played = stage.play(stage.source(on_error(1, LOST)).pipe(retry(**arguments)))

    assert error_of(played) is mine
    assert notes_of(mine) == ["attempt 1 failed: ConnectionLostError: lost"]


# Notes.


def notes_of(error: Exception) -> list[str]:
    """Return the notes of an error."""
    return list(getattr(error, "__notes__", ()))


def test_every_error_is_kept() -> None:
    """The last error has the ones before in its notes."""
    stage = Stage()
    last = TruncatedError("cut", model="m")
    source = stage.in_turn(
        [on_error(1, ConnectionLostError("lost"))], [on_error(1, BusyError("b"))], [on_error(1, last)]
    )
    error = error_of(stage.play(source.pipe(retry())))

    assert error is last
    assert notes_of(error) == ["attempt 1 failed: ConnectionLostError: lost", "attempt 2 failed: BusyError: b"]


def test_kept_also_after_a_beginning() -> None:
    """An attempt that fails after it began to answer has notes of the ones before."""
    stage = Stage()
    last = ReportedError("reported")
    source = stage.in_turn([on_error(1, LOST)], [on_next(1, HEL), on_error(2, last)])
    error = error_of(stage.play(source.pipe(retry())))

    assert error is last
    assert notes_of(error) == ["attempt 1 failed: ConnectionLostError: lost"]


def test_the_same_error_every_time() -> None:
    """A source that raises the same error object every time does not repeat notes."""
    error = ConnectionLostError("lost")
    for _ in range(2):
        stage = Stage()
        stage.play(stage.source(on_error(1, error)).pipe(retry()))

    assert notes_of(error) == [f"attempt {number} failed: ConnectionLostError: lost" for number in (1, 2)]


def test_a_single_attempt() -> None:
    """With `attempts=1` there is no second attempt and no note."""
    stage = Stage()
    error = ConnectionLostError("lost")

    assert error_of(stage.play(stage.source(on_error(1, error)).pipe(retry(1)))) is error
    assert notes_of(error) == []


# Laws.


def ends(time: int) -> SearchStrategy[Recorded[Any]]:
    """Draw a completion, an error after which another attempt may help, or one after which it may not."""
    return st.sampled_from([on_completed(time), on_error(time, LOST), on_error(time, MINE)])


@given(st.lists(scripts(ends), min_size=1, max_size=4), st.integers(1, 4))
def test_one_attempt_comes_out(sent: list[list[Recorded[Any]]], attempts: int) -> None:
    """One attempt is emitted as a whole: the first that answers, completes or may not be repeated, else the last."""
    stage = Stage()
    played = stage.play(stage.in_turn(*sent).pipe(retry(attempts, backoff=1)))

    possible = [sent[min(number, len(sent) - 1)] for number in range(attempts)]
    chosen = next(filter(is_final, possible), possible[-1])
    assert chunks_of(played) == chunks_of(chosen)
    assert played[-1].value == chosen[-1].value


def is_final(script: list[Recorded[Any]]) -> bool:
    """Return whether no attempt follows this one."""
    return any(chunk.visible or chunk.done for chunk in chunks_of(script)) or transcript(script)[-1][1] is not LOST


# Subscriptions and schedulers.


def test_scheduler_is_passed_on() -> None:
    """Every attempt is subscribed with the subscriber's scheduler."""
    seen: list[abc.SchedulerBase | None] = []

    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        seen.append(scheduler)
        observer.on_error(LOST)
        return Disposable()

    scheduler = VirtualTimeScheduler()
    Observable(subscribe).pipe(retry()).subscribe(scheduler=scheduler, on_error=lambda _: None)
    scheduler.start()

    assert seen == [scheduler] * 3


def test_each_subscription_has_its_own_attempts() -> None:
    """Each subscription of a pipeline has its own attempts."""
    stage = Stage()
    pipeline = stage.source(on_error(1, LOST)).pipe(retry(2, backoff=1, jitter=0))
    stage.play(reactivex.merge(pipeline, pipeline))

    assert begun(stage) == [0, 0, 2, 2]


def test_background_loop() -> None:
    """Without a running loop the next attempt is made on the background loop."""
    heard = Heard(reactivex.throw(LOST).pipe(retry(2, backoff=0.01)))

    assert heard.failure is LOST
    assert heard.threads == {"rxollama"}


async def test_running_loop() -> None:
    """In a coroutine the next attempt is made on the running loop."""
    with pytest.raises(ConnectionLostError):
        await reactivex.throw(LOST).pipe(retry(2, backoff=0.01))


def test_clock_that_cannot_wait() -> None:
    """The subscriber gets the error of a scheduler that cannot set timers, with a note of the one before."""
    scheduler = EventLoopScheduler()
    scheduler.dispose()
    errors: list[Exception] = []
    reactivex.throw(LOST).pipe(retry(scheduler=scheduler)).subscribe(on_error=errors.append)
    [error] = errors

    assert notes_of(error) == ["attempt 1 failed: ConnectionLostError: lost"]


def test_disposed_from_within_the_predicate() -> None:
    """There is no further attempt if `when` disposes the subscription."""
    source: Subject[ChatChunk] = Subject()
    asked: list[Exception] = []

    def when(error: Exception) -> bool:
        asked.append(error)
        subscription.dispose()
        return True

    clock = Stage().clock
    subscription = source.pipe(retry(when=when, scheduler=clock)).subscribe()
    source.on_error(LOST)

    assert asked == [LOST]
    assert clock.made == 0


# Subscribers that fail.


def test_failing_subscriber() -> None:
    """An exception of a subscriber reaches the producer unchanged, and there is no further attempt."""
    source: Subject[ChatChunk] = Subject()
    taken: list[ChatChunk] = []
    errors: list[Exception] = []

    def take(chunk: ChatChunk) -> None:
        taken.append(chunk)
        raise MINE

    source.pipe(retry(when=always)).subscribe(take, errors.append)
    source.on_next(EMPTY)
    with pytest.raises(KeyError, match="mine"):
        source.on_next(HEL)
    source.on_error(MINE)

    assert taken == [EMPTY]
    assert errors == [MINE]


def test_subscriber_failing_at_the_end() -> None:
    """A subscriber that fails on a held-back chunk gets its own error instead of the end."""
    source: Subject[ChatChunk] = Subject()
    errors: list[Exception] = []

    def take(_: ChatChunk) -> None:
        raise MINE

    source.pipe(retry()).subscribe(take, errors.append)
    source.on_next(EMPTY)
    source.on_completed()

    assert errors == [MINE]


def test_nobody_handles_the_error(reported: Callable[[], list[BaseException]]) -> None:
    """An error of a later attempt without a handler is reported, and does not break the scheduler."""
    clock = VirtualTimeScheduler()
    reactivex.throw(LOST).pipe(retry(2, scheduler=clock)).subscribe()
    clock.start()

    assert reported() == [LOST]


# Refusals.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attempts": 0}, "attempts: expected an int, 1 or more"),
        ({"attempts": 1.5}, "attempts: expected an int, 1 or more"),
        ({"attempts": True}, "attempts: expected an int, 1 or more"),
        ({"backoff": -1}, "backoff: .*0 or more"),
        ({"backoff": math.nan}, "backoff: .*0 or more"),
        ({"backoff": "1"}, "backoff: .*0 or more"),
        ({"max_backoff": math.inf}, "max_backoff: .*0 or more"),
        ({"backoff": timedelta(seconds=-1)}, "backoff: .*0 or more"),
        ({"max_retry_after": -1}, "max_retry_after: .*0 or more"),
        ({"max_retry_after": "1m"}, "max_retry_after: .*0 or more"),
        ({"factor": 0.5}, "factor: .*1 or more"),
        ({"factor": math.inf}, "factor: .*1 or more"),
        ({"factor": "2"}, "factor: .*1 or more"),
        ({"jitter": 1.5}, "jitter: .*from 0 to 1"),
        ({"jitter": True}, "jitter: .*from 0 to 1"),
        ({"when": ConnectionError("no")}, "when: .*function"),
        ({"random": 0.5}, "random: .*function"),
    ],
)
def test_refused(arguments: dict[str, Any], message: str) -> None:
    """A wrong argument is refused at the call."""
    with pytest.raises(InvalidValueError, match=message):
        retry(**arguments)
