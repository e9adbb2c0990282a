"""Pacing, in virtual time: fewer items with the same sum."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeAlias

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from marbles import Played, play
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler import CurrentThreadScheduler, ImmediateScheduler, TrampolineScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, Recorded, TestScheduler
from reactivex.testing.subscription import Subscription
from strategies import chunks, standing, texts

from rxollama import Stream
from rxollama.errors import InvalidValueError
from rxollama.messages import ChatChunk, ChatResponse, Message, ToolCall
from rxollama.operators import coalesce, debounce, throttle

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

Pacing: TypeAlias = Callable[..., Callable[[Observable[Any]], Observable[Any]]]

LOST = ConnectionError("lost")
THINKING = ChatChunk(message=Message("assistant", thinking="Hm"))
CONTENT = ChatChunk(message=Message("assistant", "Yes"))
MORE = ChatChunk(message=Message("assistant", ", indeed"))
CALL = ChatChunk(message=Message("assistant", tool_calls=(ToolCall(),)))
DONE = ChatChunk(message=Message("assistant"), done=True)
RESULT = ChatChunk(message=Message.tool("3 °C", name="get_weather"))


def at(played: Played) -> list[tuple[float, Any]]:
    """Return what came and when, without the end."""
    came: list[tuple[float, Any]] = []
    for record in played.messages:
        notification: Any = record.value
        if notification.kind == "N":
            came.append((float(record.time), notification.value))
    return came


def ended(played: Played) -> tuple[float, Any]:
    """Return when it ended, and with which error, if any."""
    last: Any = played.messages[-1]
    assert last.value.kind in "EC"
    return last.time, getattr(last.value, "exception", None)


# What coalesce does.

WORDS = (on_next(10, "a"), on_next(12, "b"), on_next(14, "c"), on_next(35, "d"), on_next(38, "e"))


def test_coalesce_completes() -> None:
    """The first comes at once, then one sum per interval, then what waits at the end."""
    played = play(coalesce(10), *WORDS, on_completed(40))

    assert played.messages == [
        on_next(210, "a"),
        on_next(220, "bc"),
        on_next(235, "d"),
        on_next(240, "e"),
        on_completed(240),
    ]
    assert played.subscriptions == [Subscription(200, 240)]


def test_coalesce_errs() -> None:
    """What waits comes before the error."""
    played = play(coalesce(10), *WORDS[:2], on_error(15, LOST))

    assert played.messages == [on_next(210, "a"), on_next(215, "b"), on_error(215, LOST)]
    assert played.subscriptions == [Subscription(200, 215)]


def test_coalesce_never_ends() -> None:
    """Without an end everything comes within an interval."""
    played = play(coalesce(10), *WORDS)

    assert played.messages == [on_next(210, "a"), on_next(220, "bc"), on_next(235, "d"), on_next(245, "e")]
    assert played.subscriptions == [Subscription(200, 1000)]


def test_coalesce_disposed() -> None:
    """Nothing comes after dispose, not even what waits."""
    played = play(coalesce(10), *WORDS, disposed=215)

    assert played.messages == [on_next(210, "a")]
    assert played.subscriptions == [Subscription(200, 215)]


def test_coalesce_counts_from_the_last_emission() -> None:
    """A steady stream is emitted at a steady pace, and after a silence it is emitted at once."""
    steady = [on_next(time, "x") for time in range(10, 40, 2)]

    assert at(play(coalesce(10), *steady, on_next(100, "y"))) == [
        (210, "x"),
        (220, "xxxxx"),
        (230, "xxxxx"),
        (240, "xxxx"),
        (300, "y"),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [(CONTENT, THINKING), (CALL, CONTENT), (CALL, THINKING), (DONE, CONTENT), (CONTENT, RESULT), (DONE, RESULT)],
)
def test_coalesce_keeps_the_order_of_reading(one: ChatChunk, other: ChatChunk) -> None:
    """If a sum would change the order, the first part comes at once, and the rest waits."""
    played = play(coalesce(10), on_next(10, ChatChunk()), on_next(12, one), on_next(16, other))

    assert at(played) == [(210, ChatChunk()), (216, one), (226, other)]


def test_coalesce_adds_up_what_keeps_its_order() -> None:
    """Thinking, content and calls of a message go into one chunk."""
    sent = (THINKING, CONTENT, MORE, CALL, DONE)
    played = play(coalesce(10), on_next(10, ChatChunk()), *(on_next(12, chunk) for chunk in sent))

    assert at(played) == [(210, ChatChunk()), (220, functools.reduce(operator.add, sent))]


def test_coalesce_many_boundaries() -> None:
    """Several boundaries at once are several chunks, and the last part waits."""
    sent = (CONTENT, THINKING, MORE, THINKING)
    played = play(coalesce(10), on_next(10, ChatChunk()), *(on_next(12, chunk) for chunk in sent), on_completed(13))

    assert at(played) == [(210, ChatChunk()), (212, CONTENT), (212, THINKING + MORE), (213, THINKING)]


# What debounce does.


def test_debounce_completes() -> None:
    """A sum comes after each quiet time, and what waits at the end."""
    played = play(debounce(10), *WORDS, on_completed(40))

    assert played.messages == [on_next(224, "abc"), on_next(240, "de"), on_completed(240)]
    assert played.subscriptions == [Subscription(200, 240)]


def test_debounce_errs() -> None:
    """What waits comes before the error."""
    played = play(debounce(10), *WORDS[:2], on_error(15, LOST))

    assert played.messages == [on_next(215, "ab"), on_error(215, LOST)]
    assert played.subscriptions == [Subscription(200, 215)]


def test_debounce_never_ends() -> None:
    """Without an end everything comes after the next quiet time."""
    played = play(debounce(10), *WORDS)

    assert played.messages == [on_next(224, "abc"), on_next(248, "de")]
    assert played.subscriptions == [Subscription(200, 1000)]


def test_debounce_disposed() -> None:
    """Nothing comes after dispose."""
    played = play(debounce(10), *WORDS, disposed=223)

    assert played.messages == []
    assert played.subscriptions == [Subscription(200, 223)]


def test_debounce_max_wait() -> None:
    """Without a quiet time the longest wait counts, from the first item that waits."""
    busy = [on_next(time, "x") for time in range(10, 50, 5)]

    assert at(play(debounce(10, max_wait=18), *busy)) == [(228, "xxxx"), (248, "xxxx")]


def test_debounce_keeps_the_order_of_reading() -> None:
    """If a sum would change the order, the first part comes at once, and the rest waits for its own quiet time."""
    played = play(debounce(10), on_next(10, CONTENT), on_next(14, MORE), on_next(16, THINKING))

    assert at(played) == [(216, CONTENT + MORE), (226, THINKING)]


def test_debounce_max_wait_of_the_rest() -> None:
    """The longest wait of the rest counts from its own beginning."""
    sent = [on_next(10, CONTENT), on_next(15, THINKING), on_next(20, THINKING), on_next(25, THINKING)]
    played = play(debounce(8, max_wait=12), *sent)

    assert at(played) == [(215, CONTENT), (227, THINKING + THINKING + THINKING)]


# What throttle does.

SHOTS = (on_next(10, 1), on_next(12, 2), on_next(14, 3), on_next(35, 4), on_next(38, 5))


def test_throttle_completes() -> None:
    """The first comes at once, then the latest of each interval, and the last in any case."""
    played = play(throttle(10), *SHOTS, on_completed(40))

    assert played.messages == [on_next(210, 1), on_next(220, 3), on_next(235, 4), on_next(240, 5), on_completed(240)]
    assert played.subscriptions == [Subscription(200, 240)]


def test_throttle_errs() -> None:
    """The latest comes before the error."""
    played = play(throttle(10), *SHOTS[:3], on_error(15, LOST))

    assert played.messages == [on_next(210, 1), on_next(215, 3), on_error(215, LOST)]
    assert played.subscriptions == [Subscription(200, 215)]


def test_throttle_never_ends() -> None:
    """Without an end the latest comes within an interval."""
    played = play(throttle(10), *SHOTS)

    assert played.messages == [on_next(210, 1), on_next(220, 3), on_next(235, 4), on_next(245, 5)]
    assert played.subscriptions == [Subscription(200, 1000)]


def test_throttle_disposed() -> None:
    """Nothing comes after dispose."""
    played = play(throttle(10), *SHOTS, disposed=215)

    assert played.messages == [on_next(210, 1)]
    assert played.subscriptions == [Subscription(200, 215)]


def test_throttle_takes_snapshots_of_any_type() -> None:
    """Snapshots may be of any type that does not add up, and None is one."""
    assert at(play(throttle(10), on_next(10, 1), on_next(11, [2]), on_next(12, None))) == [(210, 1), (220, None)]


@pytest.mark.parametrize(("item", "kind"), [("c", "str"), (CONTENT, "ChatChunk")])
def test_throttle_refuses_what_adds_up(item: object, kind: str) -> None:
    """At a text or a chunk the subscription ends with an error that says what to use, after what waits."""
    played = play(throttle(10), on_next(10, 1), on_next(11, 2), on_next(12, item), on_next(13, 3))

    assert at(played) == [(210, 1), (212, 2)]
    moment, error = ended(played)
    assert moment == 212
    assert isinstance(error, InvalidValueError)
    assert str(error) == (
        "throttle(): expected snapshots such as those of accumulate(), "
        f"got an item of type {kind}: use coalesce(), which loses nothing"
    )
    assert played.subscriptions == [Subscription(200, 212)]


# What they refuse in `pipe`, and what their streams are of.


class Words(str):
    """A text of a type of its own."""

    __slots__ = ()


def stream(items: type[Any] | None, *, deltas: bool = False) -> Stream[Any]:
    """Return a stream that is known to carry items of a type."""

    def subscribe(_: abc.ObserverBase[Any], __: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        return Disposable()

    return Stream(subscribe, items=items, deltas=deltas)


@pytest.mark.parametrize(("items", "kind"), [(str, "str"), (ChatChunk, "ChatChunk"), (Words, "Words")])
@pytest.mark.parametrize("deltas", [False, True])
def test_throttle_refuses_a_stream(items: type[Any], kind: str, *, deltas: bool) -> None:
    """A stream of texts or chunks is refused in `pipe`."""
    with pytest.raises(InvalidValueError) as refused:
        stream(items, deltas=deltas).pipe(throttle(10))

    assert str(refused.value) == (
        "throttle(): expected snapshots such as those of accumulate(), "
        f"got a stream of {kind}: use coalesce(), which loses nothing"
    )
    assert refused.value.field == "throttle()"


@pytest.mark.parametrize("pacing", [coalesce, debounce])
@pytest.mark.parametrize(("items", "kind"), [(ChatResponse, "ChatResponse"), (int, "int"), (object, "object")])
def test_summing_refuses_a_stream(pacing: Pacing, items: type[Any], kind: str) -> None:
    """A stream of items that do not add up is refused in `pipe`."""
    with pytest.raises(InvalidValueError) as refused:
        stream(items).pipe(pacing(10))

    assert str(refused.value) == (
        f"{pacing.__name__}(): expected a stream of str or ChatChunk, which add up, "
        f"got a stream of {kind}: for snapshots use throttle()"
    )


@pytest.mark.parametrize("pacing", [coalesce, debounce])
@pytest.mark.parametrize("items", [str, ChatChunk, Words, None])
@pytest.mark.parametrize("deltas", [False, True])
def test_summing_gives_deltas(pacing: Pacing, items: type[Any] | None, *, deltas: bool) -> None:
    """What comes out of coalesce and debounce adds up, and is of the same type."""
    for source in (stream(items, deltas=deltas), *([reactivex.never()] if items is None else [])):
        paced = source.pipe(pacing(10))

        assert isinstance(paced, Stream)
        assert (paced.items, paced.deltas) == (items, True)


@pytest.mark.parametrize("items", [ChatResponse, int, None])
def test_throttle_gives_snapshots(items: type[Any] | None) -> None:
    """What comes out of throttle is of the same kind as its source."""
    paced = stream(items).pipe(throttle(10))

    assert isinstance(paced, Stream)
    assert (paced.items, paced.deltas) == (items, False)


# What all of them do.


@pytest.mark.parametrize("pacing", [coalesce, debounce, throttle])
def test_empty(pacing: Pacing) -> None:
    """A source without items just ends."""
    assert play(pacing(10), on_completed(15)).messages == [on_completed(215)]
    assert play(pacing(10), on_error(15, LOST)).messages == [on_error(215, LOST)]


@pytest.mark.parametrize(("pacing", "sent"), [(coalesce, WORDS), (debounce, WORDS), (throttle, SHOTS)])
def test_each_subscription_starts_afresh(pacing: Pacing, sent: tuple[Recorded[Any], ...]) -> None:
    """The same pipeline subscribed twice emits the same twice."""
    scheduler = TestScheduler()
    paced = scheduler.create_cold_observable(*sent, on_completed(40)).pipe(pacing(10))
    first, second = scheduler.create_observer(), scheduler.create_observer()
    paced.subscribe(first, scheduler=scheduler)
    paced.subscribe(second, scheduler=scheduler)
    scheduler.start()

    assert first.messages == second.messages
    assert first.messages[-1] == on_completed(40)


@pytest.mark.parametrize(("pacing", "item"), [(coalesce, "a"), (debounce, "a"), (throttle, 1)])
def test_scheduler_argument(pacing: Pacing, item: object) -> None:
    """A scheduler given as argument is the clock, while the source keeps the subscriber's."""
    mine, theirs = TestScheduler(), TestScheduler()
    source = theirs.create_cold_observable(on_next(10, item), on_completed(20))
    observer = theirs.create_observer()
    source.pipe(pacing(1000, scheduler=mine)).subscribe(observer, scheduler=theirs)
    theirs.advance_to(50.0)
    assert observer.messages == []
    mine.advance_to(5.0)

    assert observer.messages == [on_next(50, item), on_completed(50)]


@pytest.mark.parametrize(("pacing", "items"), [(coalesce, "abc"), (debounce, "abc"), (throttle, (1, 2, 3))])
@pytest.mark.parametrize("scheduler", [CurrentThreadScheduler.singleton(), TrampolineScheduler()])
def test_trampolines(
    pacing: Pacing, items: Sequence[object], scheduler: CurrentThreadScheduler | TrampolineScheduler
) -> None:
    """A scheduler that acts on the caller's thread loses nothing, and needs no loop."""
    heard: list[object] = []
    source = reactivex.from_iterable(items).pipe(pacing(0.001, scheduler=scheduler))
    source.subscribe(heard.append, heard.append, lambda: heard.append("completed"))

    assert heard[-1] == "completed"
    assert heard[-2] == 3 if pacing is throttle else "".join(map(str, heard[:-1])) == "abc"


def test_immediate_scheduler() -> None:
    """A scheduler that cannot wait is fine as long as nothing must."""
    heard: list[object] = []
    source: Subject[int] = Subject()
    source.pipe(throttle(10, scheduler=ImmediateScheduler())).subscribe(heard.append, heard.append)
    source.on_next(1)
    assert heard == [1]
    source.on_next(2)

    assert heard[0] == 1
    assert type(heard[1]).__name__ == "WouldBlockException"
    assert source.observers == []


@pytest.mark.parametrize("pacing", [coalesce, debounce])
@pytest.mark.parametrize("item", [7, None, b"bytes", ["a"]])
def test_what_does_not_add_up(pacing: Pacing, item: object) -> None:
    """An item that does not add up ends the subscription with an error that says what to use, after what waits."""
    name = pacing.__name__
    played = play(pacing(10), on_next(10, "a"), on_next(11, "b"), on_next(12, item), on_next(13, "c"))

    assert "".join(text for _, text in at(played)) == "ab"
    moment, error = ended(played)
    assert moment == 212
    assert isinstance(error, InvalidValueError)
    assert str(error) == (
        f"{name}(): expected a stream of str or ChatChunk, which add up, "
        f"got an item of type {type(item).__name__}: for snapshots use throttle()"
    )
    assert played.subscriptions == [Subscription(200, 212)]


@pytest.mark.parametrize("pacing", [coalesce, debounce])
def test_what_does_not_add_up_comes_first(pacing: Pacing) -> None:
    """An error for the first item comes alone, on the producer's thread."""
    heard: list[object] = []
    source: Subject[object] = Subject()
    source.pipe(pacing(10, scheduler=ImmediateScheduler())).subscribe(heard.append, heard.append)
    source.on_next(7)

    assert [type(item) for item in heard] == [InvalidValueError]
    assert source.observers == []


@pytest.mark.parametrize("pacing", [coalesce, debounce, throttle])
@pytest.mark.parametrize(
    "seconds", [0, -1, math.nan, math.inf, -math.inf, 10**400, True, "1", None, Decimal(1), TestScheduler()]
)
def test_bad_seconds(pacing: Pacing, seconds: object) -> None:
    """A time that is not a positive number is refused at the call."""
    with pytest.raises(InvalidValueError, match=r"^seconds: .* a positive number of seconds") as refused:
        pacing(seconds)

    assert refused.value.field == "seconds"


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, False, "1"])
def test_bad_max_wait(seconds: Any) -> None:
    """So is a longest wait."""
    with pytest.raises(InvalidValueError, match=r"^max_wait: "):
        debounce(1, max_wait=seconds)


def test_good_seconds() -> None:
    """Whole numbers, fractions and timedeltas are fine, and so is no longest wait."""
    for seconds in (1, 1 / 30, 3600, 1e-6, timedelta(milliseconds=1)):
        coalesce(seconds)
        throttle(seconds)
        debounce(seconds, max_wait=None)


def test_timedelta() -> None:
    """A time may be a timedelta."""
    seconds, longest = timedelta(seconds=10), timedelta(seconds=18)
    busy = [on_next(time, "x") for time in range(10, 50, 5)]

    assert at(play(coalesce(seconds), *WORDS)) == [(210, "a"), (220, "bc"), (235, "d"), (245, "e")]
    assert at(play(throttle(seconds), *SHOTS)) == [(210, 1), (220, 3), (235, 4), (245, 5)]
    assert at(play(debounce(seconds, max_wait=longest), *busy)) == [(228, "xxxx"), (248, "xxxx")]


@pytest.mark.parametrize("seconds", [timedelta(0), timedelta(seconds=-1), timedelta.max])
def test_bad_timedelta(seconds: timedelta) -> None:
    """A timedelta must be positive, and no longer than a thread can wait."""
    with pytest.raises(InvalidValueError, match=r"^seconds: expected a positive number of seconds"):
        coalesce(seconds)


# The laws.


def told(arrivals: Sequence[tuple[int, Any]], pacing: Callable[[Observable[Any]], Observable[Any]]) -> Played:
    """Play arrivals, each some time after the one before, with an end."""
    time = 1
    sent: list[Recorded[Any]] = []
    for gap, item in arrivals:
        time += gap
        sent.append(on_next(time, item))
    return play(pacing, *sent, on_completed(time + 1))


def pieces(items: Sequence[ChatChunk]) -> list[object]:
    """Return the letters, calls and ends of messages in the order of reading."""
    read: list[object] = []
    for item in items:
        message = item.message
        read += [("thinking", letter) for letter in message.thinking]
        read += [("content", letter) for letter in message.content]
        read += message.tool_calls
        read += [("done", item.done_reason)] if item.done else []
    return read


PACINGS = [coalesce(7), debounce(4), debounce(4, max_wait=9), debounce(2, max_wait=1)]
GAPS = st.integers(0, 9)


@pytest.mark.parametrize("pacing", PACINGS)
@given(arrivals=st.lists(st.tuples(GAPS, chunks()), max_size=10))
def test_chunks_keep_their_sum(
    pacing: Callable[[Observable[Any]], Observable[Any]], arrivals: list[tuple[int, ChatChunk]]
) -> None:
    """Pacing changes how many chunks there are, never their sum nor the order of reading."""
    sent, came = [chunk for _, chunk in arrivals], [chunk for _, chunk in at(told(arrivals, pacing))]

    assert functools.reduce(operator.add, came, ChatChunk()) == functools.reduce(operator.add, sent, ChatChunk())
    assert pieces(standing(came)) == pieces(standing(sent))
    assert len(came) <= len(sent)


@pytest.mark.parametrize("pacing", PACINGS)
@given(arrivals=st.lists(st.tuples(GAPS, texts()), max_size=10))
def test_texts_keep_their_sum(
    pacing: Callable[[Observable[Any]], Observable[Any]], arrivals: list[tuple[int, str]]
) -> None:
    """The same holds for texts."""
    sent, came = [text for _, text in arrivals], [text for _, text in at(told(arrivals, pacing))]

    assert "".join(came) == "".join(sent)
    assert len(came) <= len(sent)


@given(arrivals=st.lists(st.tuples(GAPS, st.just("x")), min_size=1, max_size=20), seconds=st.integers(1, 12))
def test_coalesce_keeps_its_distance(arrivals: list[tuple[int, str]], seconds: int) -> None:
    """Emissions are an interval apart, except at the end, and no item waits for longer than one."""
    played = told(arrivals, coalesce(seconds))
    came, (end, _) = at(played), ended(played)
    times = [time for time, _ in came]

    assert all(after - before >= seconds for before, after in pairwise(times) if after != end)
    waits = emitted_after(arrivals, came)
    assert all(wait <= seconds for wait in waits)
    assert waits[0] == 0


@given(
    arrivals=st.lists(st.tuples(GAPS, st.just("x")), min_size=1, max_size=20),
    seconds=st.integers(1, 12),
    max_wait=st.none() | st.integers(1, 20),
)
def test_debounce_waits_for_quiet(arrivals: list[tuple[int, str]], seconds: int, max_wait: int | None) -> None:
    """An emission comes after a quiet time or the longest wait, if that is earlier, or with the end."""
    played = told(arrivals, debounce(seconds, max_wait=max_wait))
    came, (end, _) = at(played), ended(played)
    arrived = [200 + 1 + sum(gap for gap, _ in arrivals[: count + 1]) for count in range(len(arrivals))]

    for time, text in came:
        waited, arrived = arrived[: len(text)], arrived[len(text) :]
        assert time in {waited[-1] + seconds, waited[0] + (max_wait or math.inf), end}
        assert time <= min(waited[-1] + seconds, waited[0] + (max_wait or math.inf))


@given(arrivals=st.lists(st.tuples(GAPS, st.integers()), min_size=1, max_size=20), seconds=st.integers(1, 12))
def test_throttle_ends_with_the_last(arrivals: list[tuple[int, int]], seconds: int) -> None:
    """The last item always comes, and before it some of them, in order."""
    sent, came = [item for _, item in arrivals], [item for _, item in at(told(arrivals, throttle(seconds)))]

    assert came[-1] == sent[-1]
    rest = iter(sent)
    assert all(item in rest for item in came)


def emitted_after(arrivals: Sequence[tuple[int, str]], came: Sequence[tuple[float, str]]) -> list[float]:
    """Return how long each arrival waited, each being a letter."""
    moments = [time for time, text in came for _ in text]
    arrived = [200 + 1 + sum(gap for gap, _ in arrivals[: count + 1]) for count in range(len(arrivals))]
    return [moment - arrival for moment, arrival in zip(moments, arrived, strict=True)]
