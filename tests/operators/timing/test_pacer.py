"""The engine of pacing: on which thread it emits, with how many timers, and how it ends."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from heard import Heard, settle
from hypothesis import given
from hypothesis import strategies as st
from manual import Manual
from reactivex import Observable, abc
from reactivex import operators as rx
from reactivex.disposable import Disposable
from reactivex.observer import Observer
from reactivex.scheduler import EventLoopScheduler, HistoricalScheduler, NewThreadScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.scheduler.scheduler import Scheduler
from reactivex.subject import Subject
from reactivex.testing import TestScheduler
from virtual_loop import VirtualLoop

from rxollama.errors import InvalidValueError
from rxollama.messages import Backlog, ChatChunk, Latest, Message
from rxollama.operators import coalesce, debounce, throttle
from rxollama.operators._timing.clock import ASAP
from rxollama.operators._timing.pacer import Pacer, QuietTime

T = TypeVar("T")

PATIENCE = 10.0
SOON = 0.005
LOST = ConnectionError("lost")
MINE = KeyError("mine")
THINKING = ChatChunk(message=Message("assistant", thinking="Hm"))
CONTENT = ChatChunk(message=Message("assistant", "Yes"))


def text(letter: str) -> str:
    """Return a text, which adds up."""
    return letter


def snapshot(letter: str) -> tuple[str]:
    """Return a snapshot, which does not add up."""
    return (letter,)


PACINGS = [(coalesce, text), (debounce, text), (throttle, snapshot)]


class Source(Observable[T]):
    """A source whose items come from any thread, also from many at once."""

    def __init__(self) -> None:
        super().__init__(self._begin)
        self.gone = threading.Event()

    @property
    def disposed(self) -> bool:
        """Whether the subscription was disposed."""
        return self.gone.is_set()

    def _begin(self, observer: abc.ObserverBase[T], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        self.observer = observer
        self.send = observer.on_next
        return Disposable(self.gone.set)


class Counting(TestScheduler):
    """A scheduler that counts the timers that are set, and neither fired nor cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.outstanding = self.most = self.set = 0

    def schedule(self, action: Any, state: Any = None) -> abc.DisposableBase:
        """Count an action for now."""
        return self._counted(super().schedule, action, state)

    def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> abc.DisposableBase:
        """Count a timer."""

        def schedule(action: Any, state: Any) -> abc.DisposableBase:
            return super(Counting, self).schedule_relative(duetime, action, state)

        return self._counted(schedule, action, state)

    def _counted(self, schedule: Callable[..., abc.DisposableBase], action: Any, state: Any) -> abc.DisposableBase:
        over: list[bool] = []

        def end() -> None:
            if not over:
                over.append(True)
                self.outstanding -= 1

        def act(scheduler: abc.SchedulerBase, state: Any = None) -> Any:
            end()
            return action(scheduler, state)

        self.set += 1
        self.outstanding += 1
        self.most = max(self.most, self.outstanding)
        handle = schedule(act, state)

        def dispose() -> None:
            end()
            handle.dispose()

        return Disposable(dispose)


class Alone:
    """A subscriber that records items, and whether two calls ever overlapped."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.overlapped = False
        self.over = threading.Event()
        self._busy = threading.Lock()

    def take(self, item: Any) -> None:
        """Record an item."""
        if not self._busy.acquire(blocking=False):
            self.overlapped = True
            return
        self.items.append(item)
        self._busy.release()

    def complete(self) -> None:
        """Record the end."""
        self.overlapped = self.overlapped or not self._busy.acquire(blocking=False)
        self.over.set()


# One timer.


@pytest.mark.parametrize(
    ("pacing", "items"), [(coalesce, [THINKING, CONTENT]), (debounce, [THINKING, CONTENT]), (throttle, [1, 2])]
)
@given(gaps=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), min_size=1, max_size=12), disposed=st.booleans())
def test_one_timer(
    pacing: Callable[..., Any], items: list[object], gaps: list[tuple[int, int]], *, disposed: bool
) -> None:
    """There is never more than one timer, and none after the end or after dispose."""
    counting = Counting()
    source: Source[object] = Source()
    subscription = source.pipe(pacing(5, scheduler=counting)).subscribe()
    time = 0.0
    for gap, which in gaps:
        time += gap
        counting.advance_to(time)
        source.send(items[which])
    if disposed:
        subscription.dispose()
    else:
        source.observer.on_completed()
        counting.advance_to(time + 0.001)

    assert counting.most == 1
    assert counting.outstanding == 0
    assert source.disposed


def test_few_timers() -> None:
    """The same timer serves any number of items, and so does a hop that is under way."""
    counting = Counting()
    source: Source[ChatChunk] = Source()
    source.pipe(coalesce(5, scheduler=counting)).subscribe()
    for _ in range(100):
        source.send(THINKING)
        source.send(CONTENT)
    assert counting.set == 1
    counting.advance_to(1.0)
    assert counting.set == 1
    for _ in range(100):
        source.send(CONTENT)

    assert counting.set == 2


class Thing:
    """An item whose release a test can see."""


def test_dispose_forgets_what_waits() -> None:
    """After dispose no item is kept, even if the subscription is."""
    source: Source[Thing] = Source()
    thing = Thing()
    kept = weakref.ref(thing)
    subscription = source.pipe(throttle(5, scheduler=TestScheduler())).subscribe()
    source.send(thing)
    del thing
    assert kept() is not None
    subscription.dispose()

    assert kept() is None


def test_timer_of_a_loop_is_called_off() -> None:
    """A timer that waits on a loop is cancelled with the subscription, on any thread."""
    source: Source[str] = Source()
    heard = Heard(source.pipe(coalesce(60)))
    source.send("a")
    heard.wait_items(1)
    source.send("b")
    settle()
    heard.dispose()
    settle()

    assert heard.items == ["a"]
    assert source.disposed


# Where it emits.


async def test_inline_on_a_loop() -> None:
    """On the stream's own loop the first item is emitted within the source's call, and so is what waits at the end."""
    heard: list[str] = []
    source: Subject[str] = Subject()
    source.pipe(coalesce(60)).subscribe(heard.append, on_completed=lambda: heard.append("completed"))

    source.on_next("a")
    assert heard == ["a"]
    source.on_next("b")
    assert heard == ["a"]
    source.on_completed()
    assert heard == ["a", "b", "completed"]


def test_timer_on_a_loop() -> None:
    """The loop emits what waits when it is due."""
    heard: list[str] = []

    async def main() -> None:
        source: Subject[str] = Subject()
        source.pipe(coalesce(1)).subscribe(heard.append)
        for letter in "abc":
            source.on_next(letter)
        assert heard == ["a"]
        await asyncio.sleep(2)

    # In real time more than the interval may pass between two of the items.
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())

    assert heard == ["a", "bc"]


@pytest.mark.parametrize(("pacing", "item"), PACINGS)
async def test_awaited(pacing: Callable[..., Any], item: Callable[[str], object]) -> None:
    """An awaited stream is paced on the loop that awaits it, also when the items come from a thread."""
    source: Source[object] = Source()
    awaited = asyncio.ensure_future(source.pipe(pacing(SOON), rx.to_list()))
    await asyncio.sleep(0)

    def send() -> None:
        for letter in "abc":
            source.send(item(letter))
        source.observer.on_completed()

    await asyncio.to_thread(send)
    items = await asyncio.wait_for(awaited, PATIENCE)

    letters = "".join("".join(each) for each in items)
    assert letters.endswith("c")
    assert pacing is throttle or letters == "abc"


@pytest.mark.parametrize(("pacing", "item"), PACINGS)
def test_background_loop(pacing: Callable[..., Any], item: Callable[[str], object]) -> None:
    """Without a running loop every emission and the end are on the background loop's thread."""
    source: Source[object] = Source()
    heard: Heard[object] = Heard(source.pipe(pacing(SOON)))
    source.send(item("a"))
    heard.wait_items(1)
    source.send(item("b"))
    heard.wait_items(2)
    source.send(item("c"))
    source.observer.on_completed()
    heard.wait()

    assert heard.items == [item("a"), item("b"), item("c")]
    assert heard.threads == {"rxollama"}


@pytest.mark.parametrize(("pacing", "item"), PACINGS)
@pytest.mark.parametrize("error", [None, LOST])
def test_desktop(
    pacing: Callable[..., Any],
    item: Callable[[str], object],
    error: Exception | None,
    desktop: EventLoopScheduler,
) -> None:
    """With a desktop's scheduler every emission and the end are on its thread."""
    source: Source[object] = Source()
    heard: Heard[object] = Heard(source.pipe(pacing(SOON, scheduler=desktop)))
    source.send(item("a"))
    heard.wait_items(1)
    source.send(item("b"))
    heard.wait_items(2)
    source.send(item("c"))
    if error is None:
        source.observer.on_completed()
    else:
        source.observer.on_error(error)
    heard.wait()

    assert heard.items == [item("a"), item("b"), item("c")]
    assert heard.error is error
    assert heard.threads == {"desktop"}


@pytest.mark.parametrize("error", [None, LOST])
def test_nothing_came(error: Exception | None) -> None:
    """If no item came, the end needs no clock and comes at once."""
    source: Source[str] = Source()
    heard = Heard(source.pipe(coalesce(SOON)))
    if error is None:
        source.observer.on_completed()
    else:
        source.observer.on_error(error)

    assert heard.over.is_set()
    assert heard.error is error


def test_desktop_is_not_kept_busy(desktop: EventLoopScheduler) -> None:
    """A callback that is slower than the interval leaves the desktop time for other work."""
    source: Source[str] = Source()
    order: list[str] = []

    def other(*_: object) -> None:
        order.append("other")

    def take(item: str) -> None:
        order.append(item)
        if len(item) < 3:
            # Meanwhile more arrives that is due at once, and so does other work for the desktop.
            desktop.schedule(other)
            source.send(item + item)
            assert not threading.Event().wait(2 * SOON)

    heard = Heard(source.pipe(coalesce(SOON, scheduler=desktop)), take)
    source.send("x")
    heard.wait_items(3)
    source.observer.on_completed()
    heard.wait()

    assert order == ["x", "other", "xx", "other", "xxxx"]


def test_new_thread_scheduler() -> None:
    """A scheduler that uses another thread each time keeps the order."""
    source: Source[str] = Source()
    heard = Heard(source.pipe(coalesce(0.001, scheduler=NewThreadScheduler())))
    for _ in range(200):
        source.send("x")
    source.observer.on_completed()
    heard.wait()

    assert "".join(heard.items) == "x" * 200
    for thread in threading.enumerate():
        if thread.name.startswith("Thread"):
            thread.join(PATIENCE)


@pytest.mark.parametrize("where", ["background", "desktop"])
@pytest.mark.parametrize("pacing", [coalesce, debounce])
def test_many_threads(pacing: Callable[..., Any], where: str, desktop: EventLoopScheduler) -> None:
    """With a source on several threads nothing is lost, each thread's order is kept, and emissions never overlap."""
    source: Source[str] = Source()
    alone, count = Alone(), 500
    scheduler = desktop if where == "desktop" else None
    source.pipe(pacing(0.0005, scheduler=scheduler)).subscribe(alone.take, on_completed=alone.complete)
    gate = threading.Barrier(4)

    def send(letters: str) -> None:
        gate.wait(PATIENCE)
        for place in range(count):
            source.send(letters[place % 2])

    threads = [threading.Thread(target=send, args=(letters,)) for letters in ("aA", "bB", "cC", "dD")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    source.observer.on_completed()
    assert alone.over.wait(PATIENCE)

    assert not alone.overlapped
    for letter in "abcd":
        mine = "".join(each for each in "".join(alone.items) if each.lower() == letter)
        assert mine == (letter + letter.upper()) * (count // 2)


async def test_many_threads_and_a_loop() -> None:
    """If the loop sends too, it emits inline, and the threads hop to it."""
    source: Source[str] = Source()
    alone, count = Alone(), 300
    names: set[int] = set()

    def take(item: str) -> None:
        names.add(threading.get_ident())
        alone.take(item)

    source.pipe(coalesce(0.0005)).subscribe(take, on_completed=alone.complete)
    source.send("-")

    def send() -> None:
        for _ in range(count):
            source.send("x")

    threads = [asyncio.create_task(asyncio.to_thread(send)) for _ in range(3)]
    for _ in range(count):
        source.send("-")
        await asyncio.sleep(0)
    await asyncio.gather(*threads)
    source.observer.on_completed()
    await asyncio.to_thread(alone.over.wait, PATIENCE)

    whole = "".join(alone.items)
    assert not alone.overlapped
    assert (whole.count("x"), whole.count("-")) == (3 * count, count + 1)
    assert names == {threading.get_ident()}


# What happens while it emits.


def test_leaving_in_the_middle() -> None:
    """A subscriber that leaves at the first of several due items receives no other."""
    source: Source[ChatChunk] = Source()
    scheduler = TestScheduler()
    heard: list[ChatChunk] = []

    def take(chunk: ChatChunk) -> None:
        heard.append(chunk)
        subscription.dispose()

    subscription = source.pipe(coalesce(5, scheduler=scheduler)).subscribe(take)
    for chunk in (CONTENT, THINKING, CONTENT):
        source.send(chunk)
    scheduler.advance_to(20.0)

    assert heard == [CONTENT]
    assert source.disposed


def test_leaving_at_the_last_item() -> None:
    """A subscriber that leaves at the last item receives no end."""
    source: Source[str] = Source()
    scheduler = TestScheduler()
    heard: list[str] = []

    def take(item: str) -> None:
        heard.append(item)
        subscription.dispose()

    subscription = source.pipe(debounce(5, scheduler=scheduler)).subscribe(take, on_completed=heard.clear)
    source.send("a")
    source.observer.on_completed()
    scheduler.start()

    assert heard == ["a"]


def test_a_scheduler_that_cannot_cancel() -> None:
    """A timer that fires although it was cancelled does nothing, and so does one that fires twice."""
    manual = Manual()
    source: Source[str] = Source()
    heard: list[str] = []
    source.pipe(debounce(60, scheduler=manual)).subscribe(heard.append, on_completed=lambda: heard.append("completed"))
    source.send("a")
    source.observer.on_completed()
    cancelled, flush = manual.every
    cancelled()
    assert heard == []
    flush()
    flush()

    assert heard == ["a", "completed"]


async def test_sending_while_emitting() -> None:
    """An item that arrives within an emission waits for its turn, and so does the end."""
    source: Subject[str] = Subject()
    heard: list[str] = []
    over = asyncio.Event()

    def take(item: str) -> None:
        heard.append("<")
        if item == "a":
            source.on_next("b")
            source.on_completed()
        heard.append(f"{item}>")

    source.pipe(coalesce(60)).subscribe(take, on_completed=over.set)
    source.on_next("a")
    await asyncio.wait_for(over.wait(), PATIENCE)

    assert heard == ["<", "a>", "<", "b>"]


async def test_a_loop_is_not_kept_busy() -> None:
    """Items that are due again at once leave the loop time for other work."""
    source: Subject[ChatChunk] = Subject()
    order: list[object] = []
    over, loop = asyncio.Event(), asyncio.get_running_loop()

    def take(chunk: ChatChunk) -> None:
        order.append(chunk)
        loop.call_soon(order.append, "other")
        if len(order) < 4:
            # The second is finished at once, because the third cannot be added to it.
            source.on_next(CONTENT)
            source.on_next(THINKING)
        else:
            source.on_completed()

    source.pipe(coalesce(60)).subscribe(take, on_completed=over.set)
    source.on_next(ChatChunk())
    await asyncio.wait_for(over.wait(), PATIENCE)

    assert order == [ChatChunk(), "other", CONTENT, "other", THINKING + CONTENT, "other", THINKING, "other"]


class Hurried(Counting):
    """A scheduler on which something happens while a timer is being set."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] | None = None

    def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> abc.DisposableBase:
        """Set a timer, then let something happen before its handle is known."""
        handle = super().schedule_relative(duetime, action, state)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return handle


@pytest.mark.parametrize("what", ["dispose", "complete"])
def test_timer_that_is_outdated_when_it_is_set(what: str) -> None:
    """A timer that is outdated by the time it is set is cancelled."""
    hurried = Hurried()
    source: Source[str] = Source()
    heard: list[str] = []
    subscription = source.pipe(debounce(5, scheduler=hurried)).subscribe(heard.append)
    hurried.meanwhile = subscription.dispose if what == "dispose" else source.observer.on_completed
    source.send("a")
    hurried.advance_to(1.0)

    assert hurried.outstanding == 0
    assert heard == ([] if what == "dispose" else ["a"])


class Nested:
    """The clock of a loop that runs within a callback, as some programs make asyncio do."""

    def __init__(self) -> None:
        self.time = 0.0
        self.actions: list[Callable[[], object]] = []

    def now(self) -> float:
        """Return the time that the test sets."""
        return self.time

    def is_here(self) -> bool:
        """Return True: emissions are inline."""
        return True

    def enter_frame(self, _: float, __: Callable[[], object]) -> None:
        """Return None: there are no frames."""

    def at(self, due: float, action: Callable[[], object]) -> Callable[[], object]:
        """Keep an action."""
        assert due == ASAP or due >= self.time
        self.actions.append(action)
        return self.actions.clear


def test_a_timer_that_fires_within_a_callback() -> None:
    """A timer that fires within an emission does not overlap it."""
    nested = Nested()
    order: list[str] = []

    def take(chunk: ChatChunk) -> None:
        order.append("<")
        for action in nested.actions[:]:
            nested.time += 100
            action()
        order.append(f"{chunk.message.content}>")

    pacer = Pacer(Observer[ChatChunk](take), Backlog[ChatChunk](), 50, nested)
    for chunk in (ChatChunk(), CONTENT, THINKING):
        pacer.on_next(chunk)
    pacer.on_completed()

    assert order == ["<", ">", "<", "Yes>", "<", ">"]


def test_a_timer_that_fires_early() -> None:
    """A timer that fires a moment early, as those of loops do, is not set again for the rest."""
    nested = Nested()
    heard: list[str] = []
    pacer = Pacer(Observer(heard.append), Backlog[str](), 5, nested, quiet=QuietTime(5, None))
    pacer.on_next("a")
    nested.time = 4.9998
    nested.actions.pop()()

    assert heard == ["a"]
    assert nested.actions == []


def test_after_the_end() -> None:
    """Items and ends that a broken source sends after its end are ignored."""
    scheduler = TestScheduler()
    heard: list[object] = []
    paced: list[abc.ObserverBase[str]] = []

    def note(observer: abc.ObserverBase[str], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        paced.append(observer)
        return Disposable()

    Observable(note).pipe(coalesce(5, scheduler=scheduler)).subscribe(heard.append, heard.append)
    # Past the guard that reactivex puts before every observer.
    observer: Any = paced[0]
    observer._on_next("a")
    observer._on_error(LOST)
    observer._on_next("b")
    observer._on_completed()
    observer._on_error(MINE)
    scheduler.start()
    observer._on_next("c")

    assert heard == ["a", LOST]


# Subscribers that raise.


class Failing:
    """A subscriber that raises for one item, and records the others."""

    def __init__(self, on: str) -> None:
        self.heard: list[object] = []
        self.called = threading.Semaphore(0)
        self._on = on

    def take(self, item: object) -> None:
        """Raise, or record an item."""
        self.called.release()
        if item in {self._on, (self._on,)}:
            raise MINE
        self.heard.append(item)


@pytest.mark.parametrize("on", ["a", "b", "c"])
@pytest.mark.parametrize("error", [None, LOST])
def test_failing_subscriber(on: str, error: Exception | None) -> None:
    """A subscriber that raises for any item receives its error, and the source is disposed."""
    source: Source[str] = Source()
    scheduler = TestScheduler()
    failing = Failing(on)
    paced = source.pipe(coalesce(5, scheduler=scheduler))
    paced.subscribe(failing.take, failing.heard.append, failing.heard.clear)
    source.send("a")
    scheduler.advance_to(1.0)
    source.send("b")
    scheduler.advance_to(10.0)
    source.send("c")
    if error is None:
        source.observer.on_completed()
    else:
        source.observer.on_error(error)
    scheduler.advance_to(20.0)

    assert failing.heard == [*"abc"[: "abc".index(on)], MINE]
    assert source.disposed


def turn(desktop: EventLoopScheduler) -> None:
    """Block until a desktop has done its work."""
    done = threading.Event()

    def act(*_: object) -> None:
        done.set()

    desktop.schedule(act)
    assert done.wait(PATIENCE)


@pytest.mark.parametrize("on", ["a", "b", "c"])
def test_failing_subscriber_on_a_desktop(
    on: str, desktop: EventLoopScheduler, reported: Callable[[], list[BaseException]]
) -> None:
    """An error without a handler is reported, and the desktop's thread lives on."""
    source: Source[str] = Source()
    failing = Failing(on)
    source.pipe(coalesce(SOON, scheduler=desktop)).subscribe(failing.take)
    for letter in "abc":
        source.send(letter)
        if letter == "c":
            source.observer.on_completed()
        if letter <= on:
            assert failing.called.acquire(timeout=PATIENCE)
        turn(desktop)

    assert failing.heard == [*"abc"[: "abc".index(on)]]
    assert reported() == [MINE]
    assert source.disposed


async def test_failing_subscriber_on_a_loop(reported: Callable[[], list[BaseException]]) -> None:
    """On a loop an error without a handler reaches the loop's exception handler, inline and from a timer."""
    for on in ("a", "b"):
        source: Source[str] = Source()
        failing = Failing(on)
        source.pipe(coalesce(SOON)).subscribe(failing.take)
        source.send("a")
        source.send("b")
        assert await asyncio.to_thread(source.gone.wait, PATIENCE)

    assert reported() == [MINE, MINE]


def test_an_item_that_cannot_wait() -> None:
    """At an item that does not add up the source is disposed at once, and what waits is emitted on the clock."""
    source: Source[object] = Source()
    scheduler = TestScheduler()
    heard: list[object] = []
    source.pipe(debounce(5, scheduler=scheduler)).subscribe(heard.append, lambda error: heard.append(type(error)))
    source.send("a")
    source.send(7)
    assert source.disposed
    assert heard == []
    scheduler.advance_to(1.0)

    assert heard == ["a", InvalidValueError]


async def test_failing_end(reported: Callable[[], list[BaseException]]) -> None:
    """An exception of a callback for the end is reported."""

    def fail(*_: object) -> None:
        raise MINE

    for error in (None, LOST):
        source: Source[str] = Source()
        source.pipe(coalesce(SOON)).subscribe(on_error=fail, on_completed=fail)
        source.send("a")
        if error is None:
            source.observer.on_completed()
        else:
            source.observer.on_error(error)

    assert reported() == [MINE, MINE]


ENDING = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]


@pytest.mark.parametrize("kind", ENDING)
@pytest.mark.parametrize(("pacing", "item"), PACINGS)
@pytest.mark.parametrize("timed", [False, True])
def test_ended_by_its_subscriber(
    pacing: Callable[..., Any], item: Callable[[str], object], kind: type[BaseException], *, timed: bool
) -> None:
    """A subscriber whose callback raises what ends a program receives a `RuntimeError`; the exception goes on."""
    source: Source[object] = Source()
    scheduler = TestScheduler()
    heard: list[object] = []

    def interrupt(received: object) -> None:
        if received == item("b"):
            raise kind

    source.pipe(pacing(5, scheduler=scheduler)).subscribe(interrupt, heard.append, lambda: heard.append("completed"))
    source.send(item("a"))
    scheduler.advance_to(1.0 if pacing is not debounce else 6.0)
    source.send(item("b"))
    if not timed:
        source.observer.on_completed()
    with pytest.raises(kind) as raised:
        scheduler.advance_to(20.0)
    source.send(item("c"))

    (error,) = heard
    assert isinstance(error, RuntimeError)
    assert str(error) == f"the stream was ended by {kind.__name__}"
    assert error.__cause__ is raised.value
    assert source.disposed


@pytest.mark.parametrize("kind", ENDING)
async def test_ended_by_its_subscriber_inline(
    kind: type[BaseException], reported: Callable[[], list[BaseException]]
) -> None:
    """On the stream's own loop the exception reaches the source, and nothing waits."""
    source: Source[str] = Source()
    heard: list[object] = []

    def interrupt(_: str) -> None:
        raise kind

    source.pipe(coalesce(60)).subscribe(interrupt, heard.append)
    with pytest.raises(kind):
        source.send("a")
    source.send("b")

    assert [str(error) for error in heard] == [f"the stream was ended by {kind.__name__}"]
    assert source.disposed
    assert reported() == []


@pytest.mark.parametrize("kind", ENDING)
async def test_ended_by_its_subscriber_without_handler(
    kind: type[BaseException], reported: Callable[[], list[BaseException]]
) -> None:
    """Without a handler the end is reported, unless the exception ends the program, which reports it."""
    source: Source[str] = Source()

    def interrupt(_: str) -> None:
        raise kind

    source.pipe(coalesce(60)).subscribe(interrupt)
    with pytest.raises(kind):
        source.send("a")

    ends_the_program = kind in {SystemExit, KeyboardInterrupt}
    assert [type(error) for error in reported()] == ([] if ends_the_program else [RuntimeError])
    assert source.disposed


def test_closed_loop() -> None:
    """A stream whose loop was closed ends with an error, on the thread that finds out."""
    loop = asyncio.new_event_loop()
    source: Source[str] = Source()
    heard: list[object] = []
    source.pipe(coalesce(5, scheduler=AsyncIOScheduler(loop))).subscribe(heard.append, heard.append)
    loop.close()
    source.send("a")

    assert [str(error) for error in heard] == ["Event loop is closed"]
    assert source.disposed


def test_expand() -> None:
    """Within reactivex's `expand`, whose scheduler cannot wait, the loop's clock is used."""
    source: Source[str] = Source()

    def again(_: str) -> Observable[str]:
        return Subject[str]()

    heard = Heard(source.pipe(coalesce(SOON), rx.expand(again)))
    source.send("a")
    source.send("b")
    heard.wait_items(1)
    source.send("c")
    while "".join(heard.items) != "abc":
        heard.wait_items(len(heard.items) + 1)

    assert heard.error is None
    heard.dispose()


# Clocks that are put back, and unusual ones.


class Wall(Scheduler):
    """A clock that can be put back, with timers that do not follow it."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = TestScheduler()
        self.shift = timedelta(0)

    @property
    def now(self) -> datetime:
        """The time that the clock shows."""
        return self.timers.now + self.shift

    def schedule(self, action: Any, state: Any = None) -> abc.DisposableBase:
        """Act soon."""
        return self.timers.schedule(action, state)

    def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> abc.DisposableBase:
        """Act later."""
        return self.timers.schedule_relative(duetime, action, state)

    schedule_absolute = schedule_relative


@pytest.mark.parametrize(
    ("pacing", "item", "expected"),
    [(coalesce, text, ["a", "b"]), (debounce, text, ["ab"]), (throttle, snapshot, [("a",), ("b",)])],
)
def test_clock_put_back(pacing: Callable[..., Any], item: Callable[[str], object], expected: list[object]) -> None:
    """A clock that is put back by an hour delays nothing by more than another interval."""
    wall = Wall()
    source: Source[object] = Source()
    heard: list[object] = []
    source.pipe(pacing(5, scheduler=wall)).subscribe(heard.append)
    wall.shift = timedelta(hours=2)
    source.send(item("a"))
    wall.timers.advance_to(1.0)
    source.send(item("b"))
    wall.shift = timedelta(hours=1)
    wall.timers.advance_to(12.0)

    assert heard == expected


@pytest.mark.parametrize("start", [datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), None])  # noqa: DTZ001 - This is the point.
@pytest.mark.parametrize(
    ("pacing", "item", "expected"),
    [(coalesce, text, ["a", "bc"]), (debounce, text, ["abc"]), (throttle, snapshot, [("a",), ("c",)])],
)
def test_historical_scheduler(
    pacing: Callable[..., Any], item: Callable[[str], object], expected: list[object], start: datetime | None
) -> None:
    """A scheduler of past dates works, with and without a time zone."""
    scheduler = HistoricalScheduler(start)
    source: Source[object] = Source()
    heard: list[object] = []
    source.pipe(pacing(timedelta(seconds=5), scheduler=scheduler)).subscribe(heard.append)
    source.send(item("a"))
    if pacing is not debounce:
        scheduler.advance_by(timedelta(seconds=1))
    source.send(item("b"))
    source.send(item("c"))
    scheduler.advance_by(timedelta(seconds=20))

    assert heard == expected


class Moved(Nested):
    """A clock that a test moves, and that records for which moments it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    def is_here(self) -> bool:
        """Return False: emissions wait for the timer."""
        return False

    def at(self, due: float, action: Callable[[], object]) -> Callable[[], object]:
        """Record a moment."""
        self.asked.append(due)
        return super().at(due, action)

    def fire(self, time: float) -> None:
        """Fire the latest timer at a moment, which may be before the one it was set to."""
        self.time = time
        self.actions.pop()()


def test_window_when_put_back() -> None:
    """A window counts from now if the time is before the moment at which it began."""
    clock, heard = Moved(), list[str]()
    pacer = Pacer(Observer(heard.append), Backlog[str](), 5, clock)
    clock.time = 100
    pacer.on_next("a")
    clock.fire(100)
    pacer.on_next("b")
    clock.fire(10)
    clock.fire(12)
    clock.fire(15)

    assert clock.asked == [ASAP, 105, 15, 15]
    assert heard == ["a", "b"]


def test_quiet_when_put_back() -> None:
    """A quiet time counts from now if the time is before the moment at which it began, and so does the longest wait."""
    clock, heard = Moved(), list[str]()
    pacer = Pacer(Observer(heard.append), Backlog[str](), 5, clock, quiet=QuietTime(5, 8))
    clock.time = 100
    pacer.on_next("a")
    clock.fire(10)
    clock.fire(12)
    clock.time = 14
    pacer.on_next("b")
    clock.time = 15
    pacer.on_next("c")
    clock.fire(15)
    clock.time = 20
    pacer.on_next("d")
    clock.fire(20)
    assert heard == []
    clock.fire(22)

    assert clock.asked == [105, 15, 15, 20, 22]
    assert heard == ["abcd"]


def test_latest_is_never_finished() -> None:
    """A snapshot that waits may be replaced until it is taken."""
    latest = Latest[int]()
    assert not latest
    latest.add(1)
    latest.add(2)

    assert latest
    assert latest.take_finished() == []
    assert latest.take() == [2]
    assert latest.take() == []
