"""One request for many subscribers: none misses an item, and none receives the error of another."""

from __future__ import annotations

import asyncio
import functools
import operator
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import reactivex
from heard import Heard
from hypothesis import given
from hypothesis import strategies as st
from marbles import play
from reactivex import Observable, abc
from reactivex import operators as rx
from reactivex.disposable import Disposable
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.subscription import Subscription
from strategies import chunks, texts

from rxollama import Stream
from rxollama.messages import ChatChunk, Message, ToolCall
from rxollama.operators import coalesce, share

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

PATIENCE = 10.0
LOST = ConnectionError("lost")
MINE = KeyError("mine")
THINKING = ChatChunk(message=Message("assistant", thinking="Hm"))
CONTENT = ChatChunk(message=Message("assistant", "Yes"))
CALL = ChatChunk(message=Message("assistant", tool_calls=(ToolCall(),)))


class Notes:
    """A subscriber that records what it receives, with the end."""

    def __init__(self, source: Observable[Any]) -> None:
        self.heard: list[Any] = []
        self.subscription = source.subscribe(self.heard.append, self.heard.append, self._complete)

    def _complete(self) -> None:
        self.heard.append("completed")


def raising(*_: object) -> None:
    """Raise, as a callback may."""
    raise MINE


# One subscriber.


def test_completes() -> None:
    """One subscriber receives every item as it comes."""
    played = play(share(), on_next(10, "a"), on_next(20, "b"), on_completed(30))

    assert played.messages == [on_next(210, "a"), on_next(220, "b"), on_completed(230)]
    assert played.subscriptions == [Subscription(200, 230)]


def test_errs() -> None:
    """An error comes after what came before it."""
    played = play(share(), on_next(10, "a"), on_error(20, LOST))

    assert played.messages == [on_next(210, "a"), on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


def test_never() -> None:
    """A silent source is disposed with its subscriber."""
    played = play(share())

    assert played.messages == []
    assert played.subscriptions == [Subscription(200, 1000)]


def test_disposed() -> None:
    """Nothing comes after dispose."""
    played = play(share(), on_next(10, "a"), on_next(20, "b"), disposed=215)

    assert played.messages == [on_next(210, "a")]
    assert played.subscriptions == [Subscription(200, 215)]


def test_scheduler_is_passed_on() -> None:
    """The source is subscribed with the scheduler of the first subscriber."""
    seen: list[abc.SchedulerBase | None] = []

    def subscribe(_: abc.ObserverBase[str], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        seen.append(scheduler)
        return Disposable()

    first, second = TestScheduler(), TestScheduler()
    shared = Observable(subscribe).pipe(share())
    shared.subscribe(scheduler=first)
    shared.subscribe(scheduler=second)

    assert seen == [first]


# Several subscribers, in virtual time.


@pytest.mark.parametrize(("last", "end"), [(on_completed(40), on_completed(240)), (on_error(40, LOST), None)])
def test_late_subscribers(last: Any, end: Any) -> None:
    """A late subscriber receives one sum, then each item; after the end, the sum and the end. There is one request."""
    scheduler = TestScheduler()
    source = scheduler.create_cold_observable(on_next(10, "a"), on_next(20, "b"), on_next(30, "c"), last)
    shared = source.pipe(share())
    first, second, third = (scheduler.create_observer() for _ in range(3))
    for moment, observer in ((200, first), (225, second), (300, third)):
        scheduler.schedule_absolute(moment, functools.partial(_subscribe, shared, observer))
    scheduler.start()

    end = end or on_error(240, LOST)
    assert first.messages == [on_next(210, "a"), on_next(220, "b"), on_next(230, "c"), end]
    assert second.messages == [on_next(225, "ab"), on_next(230, "c"), end]
    assert third.messages == [on_next(300, "abc"), on_completed(300) if end.value.kind == "C" else on_error(300, LOST)]
    assert source.subscriptions == [Subscription(200, 240)]


def _subscribe(source: Observable[Any], observer: abc.ObserverBase[Any], *_: object) -> None:
    source.subscribe(observer)


def test_last_to_leave() -> None:
    """The source is disposed with the last subscriber, and the next one subscribes to it again."""
    scheduler = TestScheduler()
    source = scheduler.create_cold_observable(on_next(10, "a"), on_next(50, "b"))
    shared = source.pipe(share())
    first, second = Notes(shared), Notes(shared)
    scheduler.advance_to(20.0)
    first.subscription.dispose()
    first.subscription.dispose()
    scheduler.advance_to(60.0)
    second.subscription.dispose()
    scheduler.advance_to(100.0)
    third = Notes(shared)
    scheduler.advance_to(120.0)

    assert first.heard == ["a"]
    assert second.heard == ["a", "b"]
    assert third.heard == ["a"]
    assert source.subscriptions == [Subscription(0, 60), Subscription(100)]


# What a late subscriber receives.


def _missed(*items: Any) -> list[Any]:
    """Return what a subscriber receives that comes after these items."""
    source: Subject[Any] = Subject()
    shared = source.pipe(share())
    shared.subscribe()
    for item in items:
        source.on_next(item)
    return Notes(shared).heard


def test_nothing_missed() -> None:
    """A subscriber that missed nothing receives nothing."""
    assert _missed() == []


def test_missed_chunks() -> None:
    """Chunks are added up."""
    assert _missed(THINKING, CONTENT, CALL) == [THINKING + CONTENT + CALL]


def test_missed_chunks_out_of_order() -> None:
    """If one sum would change the order of reading, there are several."""
    assert _missed(CONTENT, CONTENT, THINKING, CONTENT) == [CONTENT + CONTENT, THINKING + CONTENT]


def test_missed_texts() -> None:
    """Texts are joined to one, whatever their number."""
    assert _missed(*"word" * 5000) == ["word" * 5000]


def test_missed_others() -> None:
    """Items that do not add up are repeated."""
    assert _missed(1, None, 2, "a", "b", [3]) == [1, None, 2, "ab", [3]]


@given(items=st.lists(chunks(), max_size=8), joins=st.lists(st.integers(0, 8), max_size=4))
def test_everybody_has_the_whole(items: list[ChatChunk], joins: list[int]) -> None:
    """The sum of what a subscriber receives is the whole, whenever it joins."""
    assert all(
        functools.reduce(operator.add, heard, ChatChunk()) == functools.reduce(operator.add, items, ChatChunk())
        for heard in _joined(items, joins)
    )


@given(items=st.lists(texts(), max_size=8), joins=st.lists(st.integers(0, 8), max_size=4))
def test_everybody_has_the_whole_text(items: list[str], joins: list[int]) -> None:
    """The same holds for texts."""
    assert all("".join(heard) == "".join(items) for heard in _joined(items, joins))


def _joined(items: list[Any], joins: list[int]) -> Iterator[list[Any]]:
    """Let subscribers join after so many items, and return what each received."""
    source: Subject[Any] = Subject()
    shared = source.pipe(share())
    notes = [Notes(shared)]
    for place, item in enumerate(items):
        notes += [Notes(shared) for join in joins if join == place]
        source.on_next(item)
    notes += [Notes(shared) for join in joins if join >= len(items)]
    source.on_completed()
    notes += [Notes(shared)]
    assert all(note.heard[-1] == "completed" for note in notes)
    return (note.heard[:-1] for note in notes)


# Subscribers that raise.


def test_failing_subscriber(reported: Callable[[], list[BaseException]]) -> None:
    """A subscriber that raises receives its error and is out; the others receive everything."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    before, told = Notes(shared), list[Exception]()
    shared.subscribe(raising, told.append)
    after = Notes(shared)
    source.on_next("a")
    source.on_next("b")
    source.on_completed()

    assert before.heard == after.heard == ["a", "b", "completed"]
    assert told == [MINE]
    assert reported() == []


def test_failing_subscriber_without_handler(reported: Callable[[], list[BaseException]]) -> None:
    """Without a handler the error is reported once, and the subscriber is out."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    shared.subscribe(raising)
    other = Notes(shared)
    source.on_next("a")
    source.on_next("b")

    assert other.heard == ["a", "b"]
    assert reported() == [MINE]


def test_failing_late_subscriber(reported: Callable[[], list[BaseException]]) -> None:
    """A subscriber that raises for what it missed receives its error once, and is out."""
    source: Subject[ChatChunk] = Subject()
    shared = source.pipe(share())
    other, told = Notes(shared), list[Exception]()
    source.on_next(CONTENT)
    source.on_next(THINKING)
    shared.subscribe(raising, told.append)
    source.on_next(CONTENT)

    assert other.heard == [CONTENT, THINKING, CONTENT]
    assert told == [MINE]
    assert reported() == []


def test_failing_after_the_end() -> None:
    """After the end a subscriber that raises for what it missed receives its error instead of the end."""
    shared = reactivex.of("a").pipe(share())
    shared.subscribe()
    told: list[object] = []
    shared.subscribe(raising, told.append, lambda: told.append("completed"))

    assert told == [MINE]


def test_the_last_one_fails() -> None:
    """If the only subscriber raises, the source is disposed."""
    source: Subject[str] = Subject()
    source.pipe(share()).subscribe(raising, lambda _: None)
    source.on_next("a")

    assert source.observers == []


@pytest.mark.parametrize("error", [None, LOST])
def test_failing_end(error: Exception | None, reported: Callable[[], list[BaseException]]) -> None:
    """An exception of a callback for the end is reported, and the others receive the end."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    before = Notes(shared)
    shared.subscribe(on_error=raising, on_completed=raising)
    after = Notes(shared)
    if error is None:
        source.on_completed()
    else:
        source.on_error(error)

    assert before.heard == after.heard == [error or "completed"]
    assert reported() == [MINE]


def test_error_that_nobody_handles(reported: Callable[[], list[BaseException]]) -> None:
    """A source's error is reported for a subscriber without a handler, and the others receive it."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    shared.subscribe()
    other = Notes(shared)
    source.on_error(LOST)

    assert other.heard == [LOST]
    assert reported() == [LOST]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_ended_by_a_subscriber(kind: type[BaseException]) -> None:
    """What ends a program goes on to the source, and every subscriber receives a `RuntimeError`."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    told: list[object] = []

    def interrupt(_: str) -> None:
        raise kind

    before = Notes(shared)
    shared.subscribe(interrupt, told.append)
    after = Notes(shared)
    with pytest.raises(kind) as raised:
        source.on_next("a")

    assert [type(error) for error in (*told, before.heard[-1], after.heard[-1])] == [RuntimeError] * 3
    assert all(error.__cause__ is raised.value for error in (before.heard[-1], after.heard[-1]))
    assert source.observers == []


# Subscribing and leaving in the middle.


def test_subscribing_in_a_callback() -> None:
    """A subscriber that joins while an item is handed out receives it with what it missed, and not again."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    late: list[Notes] = []

    def join(text: str) -> None:
        if text == "b":
            late.append(Notes(shared))

    shared.subscribe(join)
    for text in "abc":
        source.on_next(text)

    assert late[0].heard == ["ab", "c"]


def test_leaving_in_anothers_callback() -> None:
    """A subscriber that is disposed while an item is handed out to another does not receive it."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())

    def let_go(_: str) -> None:
        other.subscription.dispose()

    shared.subscribe(let_go)
    other = Notes(shared)
    source.on_next("a")
    source.on_completed()

    assert other.heard == []


def test_leaving_alone_in_a_callback() -> None:
    """The only subscriber may leave while an item is handed out, and join again."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    taken = Notes(shared.pipe(rx.take(1)))
    source.on_next("a")
    again = Notes(shared)
    source.on_next("b")

    assert taken.heard == ["a", "completed"]
    assert again.heard == ["b"]


def test_leaving_while_catching_up() -> None:
    """A subscriber that leaves at the first of what it missed receives no more of it, and is out."""
    source: Subject[int] = Subject()
    shared = source.pipe(share())
    first = Notes(shared)
    source.on_next(1)
    source.on_next(2)
    taken = Notes(shared.pipe(rx.take(1)))
    first.subscription.dispose()

    assert taken.heard == [1, "completed"]
    assert source.observers == []


def test_sending_while_catching_up() -> None:
    """Items that come while a subscriber catches up wait until it has, and so does the end."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    first = Notes(shared)
    source.on_next("a")
    heard: list[str] = []

    def take(text: str) -> None:
        heard.append(f"<{text}")
        if text == "a":
            source.on_next("b")
            source.on_next("c")
            source.on_completed()
        heard.append(">")

    shared.subscribe(take, on_completed=lambda: heard.append("completed"))

    assert first.heard == ["a", "b", "c", "completed"]
    assert heard == ["<a", ">", "<bc", ">", "completed"]


def test_sending_in_a_callback() -> None:
    """An item and an end that a callback makes the source send come after its item, for every subscriber."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    order: list[str] = []

    def first(item: str) -> None:
        if item == "a":
            source.on_next("b")
            source.on_completed()
        order.append(f"first {item}")

    def second(item: str) -> None:
        order.append(f"second {item}")

    shared.subscribe(first, on_completed=lambda: order.append("first ends"))
    shared.subscribe(second, on_completed=lambda: order.append("second ends"))
    source.on_next("a")

    assert order == ["first a", "second a", "first b", "second b", "first ends", "second ends"]


def test_sending_from_another_thread() -> None:
    """A thread that sends while a callback runs does not wait, and the callbacks do not overlap."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    inside, go_on, order = threading.Event(), threading.Event(), list[str]()

    def take(item: str) -> None:
        order.append(f"<{item}")
        if item == "a":
            inside.set()
            assert go_on.wait(PATIENCE)
        order.append(">")

    shared.subscribe(take)
    beside = Notes(shared)
    # reactivex's Subject would hold its lock meanwhile.
    (source_observer,) = source.observers
    thread = threading.Thread(target=source_observer.on_next, args=("a",))
    thread.start()
    assert inside.wait(PATIENCE)
    source_observer.on_next("b")
    assert order == ["<a"]
    go_on.set()
    thread.join(PATIENCE)

    assert order == ["<a", ">", "<b", ">"]
    assert beside.heard == ["a", "b"]


# Sources of other kinds.


def test_synchronous_source() -> None:
    """A source that sends everything while it is being subscribed is subscribed once."""
    asked: list[int] = []

    def source(_: abc.SchedulerBase) -> Observable[str]:
        asked.append(1)
        return reactivex.of("a", "b")

    shared = reactivex.defer(source).pipe(share())

    assert Notes(shared).heard == ["a", "b", "completed"]
    assert Notes(shared).heard == ["ab", "completed"]
    assert asked == [1]


def test_synchronous_source_and_one_who_leaves() -> None:
    """A synchronous source stops when the only subscriber leaves, and begins again for the next."""
    shared = reactivex.of("a", "b", "c").pipe(share())

    assert Notes(shared.pipe(rx.take(2))).heard == ["a", "b", "completed"]
    assert Notes(shared).heard == ["a", "b", "c", "completed"]


def test_source_that_fails_to_begin() -> None:
    """What a source raises while it is being subscribed is an error for every subscriber."""

    def subscribe(_: abc.ObserverBase[str], __: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        raise MINE

    shared = Observable(subscribe).pipe(share())

    assert Notes(shared).heard == [MINE]
    assert Notes(shared).heard == [MINE]


def test_after_retry() -> None:
    """The attempts of a retry before it are one stream for every subscriber."""
    attempts: list[int] = []

    def attempt(_: abc.SchedulerBase) -> Observable[str]:
        attempts.append(1)
        return reactivex.of("c") if len(attempts) > 2 else reactivex.concat(reactivex.of("a"), reactivex.throw(LOST))

    shared = reactivex.defer(attempt).pipe(rx.retry(3), share())

    assert Notes(shared).heard == ["a", "a", "c", "completed"]
    assert Notes(shared).heard == ["aac", "completed"]
    assert len(attempts) == 3


def test_pieces_of_a_chat() -> None:
    """Subscribers behind their own operators share the request, and each receives the end."""
    asked: list[int] = []
    scheduler = TestScheduler()

    def source(_: abc.SchedulerBase) -> Observable[str]:
        asked.append(1)
        return scheduler.create_cold_observable(on_next(10, "a"), on_next(11, "b"), on_completed(40))

    shared = reactivex.defer(source).pipe(share())
    paced, plain = Notes(shared.pipe(coalesce(20, scheduler=scheduler))), Notes(shared)
    scheduler.start()

    assert paced.heard == ["a", "b", "completed"]
    assert plain.heard == ["a", "b", "completed"]
    assert asked == [1]


# Threads.


@pytest.mark.parametrize("ends", [False, True])
def test_catching_up_on_a_thread(*, ends: bool) -> None:
    """While a subscriber catches up on its own thread the source goes on, and what it sends is summed for it."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    first = Notes(shared)
    source.on_next("a")
    source.on_next("b")
    inside, gate = threading.Event(), threading.Event()

    def slow(text: str) -> None:
        if text == "ab":
            inside.set()
            assert gate.wait(PATIENCE)

    late: Heard[str] = Heard(each=slow)
    joining = threading.Thread(target=shared.subscribe, args=(late,))
    joining.start()
    assert inside.wait(PATIENCE)
    for text in "cde":
        source.on_next(text)
    if ends:
        source.on_completed()
    assert first.heard[:5] == [*"abcde"]
    gate.set()
    joining.join(PATIENCE)
    if not ends:
        source.on_next("f")
        source.on_completed()
    late.wait()

    assert late.items == ["ab", "cde", *([] if ends else ["f"])]


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("_", range(3))
def test_joining_from_threads(_: int) -> None:
    """Subscribers that join from other threads miss nothing, receive nothing twice, and their calls never overlap."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    shared.subscribe()
    words = [f"{place}," for place in range(1500)]
    joined: list[_Reader] = []

    def join() -> None:
        # At least one joins, also if this thread runs for the first time after the last word.
        while True:
            joined.append(reader := _Reader())
            shared.subscribe(reader.take, on_completed=reader.over.set)
            if finished.is_set():
                return

    finished = threading.Event()
    threads = [threading.Thread(target=join) for _ in range(3)]
    for thread in threads:
        thread.start()
    for word in words:
        source.on_next(word)
        if len(joined) > 60:
            finished.set()
    finished.set()
    for thread in threads:
        thread.join(PATIENCE)
    source.on_completed()

    assert joined
    for reader in joined:
        assert reader.over.wait(PATIENCE)
        assert not reader.overlapped
        assert "".join(reader.items) == "".join(words)


class _Reader:
    """A subscriber that records items, and whether two calls ever overlapped."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.overlapped = False
        self.over = threading.Event()
        self._busy = threading.Lock()

    def take(self, text: str) -> None:
        if not self._busy.acquire(blocking=False):
            self.overlapped = True
            return
        self.items.append(text)
        self._busy.release()


@pytest.mark.usefixtures("quick_switches")
def test_coming_and_going_on_threads() -> None:
    """Subscribers that come and go on threads share one request at most, and none is left."""
    running: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    def subscribe(observer: abc.ObserverBase[str], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        with lock:
            running.append(1)
        observer.on_next("a")

        def dispose() -> None:
            with lock:
                running.pop()

        return Disposable(dispose)

    shared = Observable(subscribe).pipe(share())

    def come_and_go() -> None:
        for _ in range(200):
            notes = Notes(shared)
            most.append(len(notes.heard))
            notes.subscription.dispose()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert running == []
    assert set(most) <= {0, 1}
    assert len(most) == 800


# What it is a stream of.


def test_same_kind_of_stream() -> None:
    """A shared stream is of the same kind as its source."""

    def subscribe(_: abc.ObserverBase[str], __: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        return Disposable()

    deltas = Stream(subscribe, items=str, deltas=True).pipe(share())
    others = reactivex.of("a", "b").pipe(share())

    assert (deltas.items, deltas.deltas) == (str, True)
    assert (others.items, others.deltas) == (None, False)
