"""One request, many consumers: none misses a word, none hears of another's failure."""

from __future__ import annotations

import functools
import operator
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
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

from rxollama.messages import ChatChunk, Message, ToolCall
from rxollama.operators import _share, coalesce, share

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

PATIENCE = 10.0
LOST = ConnectionError("lost")
MINE = KeyError("mine")
THINKING = ChatChunk(message=Message("assistant", thinking="Hm"))
CONTENT = ChatChunk(message=Message("assistant", "Yes"))
CALL = ChatChunk(message=Message("assistant", tool_calls=(ToolCall(),)))


class Notes:
    """Note what a subscriber hears, with its end."""

    def __init__(self, source: Observable[Any]) -> None:
        self.heard: list[Any] = []
        self.subscription = source.subscribe(self.heard.append, self.heard.append, self._complete)

    def _complete(self) -> None:
        self.heard.append("completed")


def raising(*_: object) -> None:
    """Fail, as a callback may."""
    raise MINE


# One subscriber.


def test_completes() -> None:
    """One subscriber hears all, as it comes."""
    played = play(share(), on_next(10, "a"), on_next(20, "b"), on_completed(30))

    assert played.messages == [on_next(210, "a"), on_next(220, "b"), on_completed(230)]
    assert played.subscriptions == [Subscription(200, 230)]


def test_errs() -> None:
    """An error comes after what came before it."""
    played = play(share(), on_next(10, "a"), on_error(20, LOST))

    assert played.messages == [on_next(210, "a"), on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


def test_never() -> None:
    """A silent source is let go with its subscriber."""
    played = play(share())

    assert played.messages == []
    assert played.subscriptions == [Subscription(200, 1000)]


def test_disposed() -> None:
    """Nothing comes after dispose."""
    played = play(share(), on_next(10, "a"), on_next(20, "b"), disposed=215)

    assert played.messages == [on_next(210, "a")]
    assert played.subscriptions == [Subscription(200, 215)]


def test_scheduler_is_passed_on() -> None:
    """The source is subscribed with the scheduler of who comes first."""
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
    """A late one is handed one sum, then goes on live; after the end it is the sum and the end, from one request."""
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
    """The source is let go with the last one, and who comes after that begins anew."""
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


# What a late one is handed.


def _missed(*items: Any) -> list[Any]:
    """Tell what one hears that comes after these."""
    source: Subject[Any] = Subject()
    shared = source.pipe(share())
    shared.subscribe()
    for item in items:
        source.on_next(item)
    return Notes(shared).heard


def test_nothing_missed() -> None:
    """Who has missed nothing is handed nothing."""
    assert _missed() == []


def test_missed_chunks() -> None:
    """Chunks are added up."""
    assert _missed(THINKING, CONTENT, CALL) == [THINKING + CONTENT + CALL]


def test_missed_chunks_out_of_order() -> None:
    """Where a sum would change the order of reading there are several."""
    assert _missed(CONTENT, CONTENT, THINKING, CONTENT) == [CONTENT + CONTENT, THINKING + CONTENT]


def test_missed_texts() -> None:
    """Texts are joined; however many there were, it is one."""
    assert _missed(*"word" * 5000) == ["word" * 5000]


def test_missed_others() -> None:
    """What does not add up is replayed."""
    assert _missed(1, None, 2, "a", "b", [3]) == [1, None, 2, "ab", [3]]


@given(items=st.lists(chunks(), max_size=8), joins=st.lists(st.integers(0, 8), max_size=4))
def test_everybody_has_the_whole(items: list[ChatChunk], joins: list[int]) -> None:
    """Whenever one joins, the sum of what it hears is the whole."""
    assert all(
        functools.reduce(operator.add, heard, ChatChunk()) == functools.reduce(operator.add, items, ChatChunk())
        for heard in _joined(items, joins)
    )


@given(items=st.lists(texts(), max_size=8), joins=st.lists(st.integers(0, 8), max_size=4))
def test_everybody_has_the_whole_text(items: list[str], joins: list[int]) -> None:
    """Likewise the text of a text stream."""
    assert all("".join(heard) == "".join(items) for heard in _joined(items, joins))


def _joined(items: list[Any], joins: list[int]) -> Iterator[list[Any]]:
    """Let subscribers join after so many items, and tell what each heard."""
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


# Failing subscribers.


def test_failing_subscriber(reported: Callable[[], list[BaseException]]) -> None:
    """One whose callback fails is told and is out; the others, before and after it, hear all."""
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
    """One that cannot be told is reported, once, and out."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    shared.subscribe(raising)
    other = Notes(shared)
    source.on_next("a")
    source.on_next("b")

    assert other.heard == ["a", "b"]
    assert reported() == [MINE]


def test_failing_late_subscriber(reported: Callable[[], list[BaseException]]) -> None:
    """One that fails on what it missed is told, once, and is out."""
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
    """One that comes after the end and fails on what it missed is told of that, and not of the end."""
    shared = reactivex.of("a").pipe(share())
    shared.subscribe()
    told: list[object] = []
    shared.subscribe(raising, told.append, lambda: told.append("completed"))

    assert told == [MINE]


def test_the_last_one_fails() -> None:
    """Where the one that fails is the only one, the source is let go."""
    source: Subject[str] = Subject()
    source.pipe(share()).subscribe(raising, lambda _: None)
    source.on_next("a")

    assert source.observers == []


@pytest.mark.parametrize("error", [None, LOST])
def test_failing_end(error: Exception | None, reported: Callable[[], list[BaseException]]) -> None:
    """One whose callback for the end fails is reported, and the others hear the end."""
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
    """A source's error is reported for one that does not handle it, and told to the others."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    shared.subscribe()
    other = Notes(shared)
    source.on_error(LOST)

    assert other.heard == [LOST]
    assert reported() == [LOST]


# Subscribing and leaving in the middle.


def test_subscribing_in_a_callback() -> None:
    """One that is subscribed while an item is handed out has it with what it missed, and not again."""
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
    """One that is let go while an item is handed out to another does not get it."""
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
    """The only one may leave while an item is handed out, and join again."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    taken = Notes(shared.pipe(rx.take(1)))
    source.on_next("a")
    again = Notes(shared)
    source.on_next("b")

    assert taken.heard == ["a", "completed"]
    assert again.heard == ["b"]


def test_leaving_while_catching_up() -> None:
    """One that has enough with the first of what it missed gets no more of it, and is out."""
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
    """What comes while one catches up waits until it has, and so does the end."""
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


# Sources of other kinds.


def test_synchronous_source() -> None:
    """A source that has sent everything when its subscription is made is asked once."""
    asked: list[int] = []

    def source(_: abc.SchedulerBase) -> Observable[str]:
        asked.append(1)
        return reactivex.of("a", "b")

    shared = reactivex.defer(source).pipe(share())

    assert Notes(shared).heard == ["a", "b", "completed"]
    assert Notes(shared).heard == ["ab", "completed"]
    assert asked == [1]


def test_synchronous_source_and_one_who_leaves() -> None:
    """A synchronous source stops when the only one has enough, and begins anew for the next."""
    shared = reactivex.of("a", "b", "c").pipe(share())

    assert Notes(shared.pipe(rx.take(2))).heard == ["a", "b", "completed"]
    assert Notes(shared).heard == ["a", "b", "c", "completed"]


def test_source_that_fails_to_begin() -> None:
    """What a source raises when it is subscribed is everybody's error."""

    def subscribe(_: abc.ObserverBase[str], __: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        raise MINE

    shared = Observable(subscribe).pipe(share())

    assert Notes(shared).heard == [MINE]
    assert Notes(shared).heard == [MINE]


def test_after_retry() -> None:
    """After a retry the attempts are one stream for everybody."""
    attempts: list[int] = []

    def attempt(_: abc.SchedulerBase) -> Observable[str]:
        attempts.append(1)
        return reactivex.of("c") if len(attempts) > 2 else reactivex.concat(reactivex.of("a"), reactivex.throw(LOST))

    shared = reactivex.defer(attempt).pipe(rx.retry(3), share())

    assert Notes(shared).heard == ["a", "a", "c", "completed"]
    assert Notes(shared).heard == ["aac", "completed"]
    assert len(attempts) == 3


def test_pieces_of_a_chat() -> None:
    """Subscribers behind operators of their own share the request, and each has its end."""
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
    """While one catches up on its own thread the source goes on at once, and what it sends is summed for it."""
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


class Yielding:
    """Be a lock around which other threads have their turns, so that whatever can happen in between does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """Let others go first."""
        time.sleep(0)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        """Let others go next."""
        self._lock.release()
        time.sleep(0)


@pytest.fixture
def _quick_switches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let threads take turns far more often than they do."""
    monkeypatch.setattr(_share, "threading", SimpleNamespace(Lock=Yielding))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_quick_switches")
@pytest.mark.parametrize("_", range(3))
def test_joining_from_threads(_: int) -> None:
    """Those that join from other threads while the source sends miss nothing, hear nothing twice, and never overlap."""
    source: Subject[str] = Subject()
    shared = source.pipe(share())
    shared.subscribe()
    words = [f"{place}," for place in range(1500)]
    joined: list[_Reader] = []

    def join() -> None:
        while not finished.is_set():
            joined.append(_Reader())
            shared.subscribe(joined[-1].take, on_completed=joined[-1].over.set)

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
    """Read, and notice whether two items ever come at once."""

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


@pytest.mark.usefixtures("_quick_switches")
def test_coming_and_going_on_threads() -> None:
    """However many come and go on threads, each is served from one request at most, and no request is left."""
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
