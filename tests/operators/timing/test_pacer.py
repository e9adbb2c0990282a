"""The engine of pacing: on which thread it emits, with how many timers, and what a failing subscriber does to it."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from heard import Heard, settle
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable, abc
from reactivex import operators as rx
from reactivex.disposable import Disposable
from reactivex.observer import Observer
from reactivex.scheduler import EventLoopScheduler, ImmediateScheduler, NewThreadScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.scheduler.scheduler import Scheduler
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from rxollama.errors import InvalidValueError
from rxollama.messages import ChatChunk, Message
from rxollama.messages._backlog import Backlog
from rxollama.operators import coalesce, debounce, throttle
from rxollama.operators._timing.pacer import Pacer, QuietRhythm, WindowRhythm

T = TypeVar("T")

PATIENCE = 10.0
SOON = 0.005
LOST = ConnectionError("lost")
MINE = KeyError("mine")
THINKING = ChatChunk(message=Message("assistant", thinking="Hm"))
CONTENT = ChatChunk(message=Message("assistant", "Yes"))


class Source(Observable[T]):
    """Be a source whose items come from wherever a test says, also from many threads at once."""

    def __init__(self) -> None:
        super().__init__(self._begin)
        self.gone = threading.Event()

    @property
    def disposed(self) -> bool:
        """Whether the subscription was let go."""
        return self.gone.is_set()

    def _begin(self, observer: abc.ObserverBase[T], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        self.observer = observer
        self.send = observer.on_next
        return Disposable(self.gone.set)


class Counting(TestScheduler):
    """Count the timers that are set, and neither fired nor called off."""

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
    """Note items, and whether two were ever handed on at once."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.overlapped = False
        self.over = threading.Event()
        self._busy = threading.Lock()

    def take(self, item: Any) -> None:
        """Note an item."""
        if not self._busy.acquire(blocking=False):
            self.overlapped = True
            return
        self.items.append(item)
        self._busy.release()

    def complete(self) -> None:
        """Note the end."""
        self.overlapped = self.overlapped or not self._busy.acquire(blocking=False)
        self.over.set()


# One timer.


@pytest.mark.parametrize("pacing", [coalesce, debounce, throttle])
@given(
    gaps=st.lists(st.tuples(st.integers(0, 6), st.sampled_from([THINKING, CONTENT])), min_size=1, max_size=12),
    disposed=st.booleans(),
)
def test_one_timer(pacing: Callable[..., Any], gaps: list[tuple[int, ChatChunk]], *, disposed: bool) -> None:
    """There is never more than one timer, and none after the end or after dispose."""
    counting = Counting()
    source: Source[ChatChunk] = Source()
    subscription = source.pipe(pacing(5, scheduler=counting)).subscribe()
    time = 0.0
    for gap, chunk in gaps:
        time += gap
        counting.advance_to(time)
        source.send(chunk)
    if disposed:
        subscription.dispose()
    else:
        source.observer.on_completed()
        counting.advance_to(time + 0.001)

    assert counting.most == 1
    assert counting.outstanding == 0
    assert source.disposed


def test_few_timers() -> None:
    """However many items wait for it, the same timer serves, and so does a hop that is under way."""
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
    """Be an item that can be seen to be kept or forgotten."""


def test_dispose_forgets_what_waits() -> None:
    """After dispose nothing is kept, also where the subscription is."""
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
    """A timer that waits on a loop is called off with the subscription, from whichever thread."""
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
    """On the stream's own loop the first item is handed on within the source's call, and so is the flush."""
    heard: list[str] = []
    source: Subject[str] = Subject()
    source.pipe(coalesce(60)).subscribe(heard.append, on_completed=lambda: heard.append("completed"))

    source.on_next("a")
    assert heard == ["a"]
    source.on_next("b")
    assert heard == ["a"]
    source.on_completed()
    assert heard == ["a", "b", "completed"]


async def test_timer_on_a_loop() -> None:
    """What waits is handed on by the loop, when it is due."""
    heard: list[str] = []
    came = asyncio.Event()
    source: Subject[str] = Subject()

    def take(text: str) -> None:
        heard.append(text)
        if len(heard) > 1:
            came.set()

    source.pipe(coalesce(SOON)).subscribe(take)
    source.on_next("a")
    source.on_next("b")
    source.on_next("c")
    await asyncio.wait_for(came.wait(), PATIENCE)

    assert heard == ["a", "bc"]


@pytest.mark.parametrize("pacing", [coalesce, debounce, throttle])
async def test_awaited(pacing: Callable[..., Any]) -> None:
    """An awaited stream is paced on the loop of the one who waits, also when the items come from a thread."""
    source: Source[str] = Source()
    awaited = asyncio.ensure_future(source.pipe(pacing(SOON), rx.to_list()))
    await asyncio.sleep(0)

    def send() -> None:
        for text in "abc":
            source.send(text)
        source.observer.on_completed()

    await asyncio.to_thread(send)
    items = await asyncio.wait_for(awaited, PATIENCE)

    assert "".join(items).endswith("c")
    assert pacing is throttle or "".join(items) == "abc"


@pytest.mark.parametrize("pacing", [coalesce, debounce, throttle])
def test_background_loop(pacing: Callable[..., Any]) -> None:
    """Away from any loop every emission and the end are on the background loop's thread."""
    source: Source[str] = Source()
    heard: Heard[str] = Heard(source.pipe(pacing(SOON)))
    source.send("a")
    heard.wait_items(1)
    source.send("b")
    heard.wait_items(2)
    source.send("c")
    source.observer.on_completed()
    heard.wait()

    assert heard.items == ["a", "b", "c"]
    assert heard.threads == {"rxollama"}


@pytest.mark.parametrize("pacing", [coalesce, debounce, throttle])
@pytest.mark.parametrize("error", [None, LOST])
def test_desktop(pacing: Callable[..., Any], error: Exception | None, desktop: EventLoopScheduler) -> None:
    """With a desktop's scheduler everything is on its thread: the first, what was paced, the flush and the end."""
    source: Source[str] = Source()
    heard: Heard[str] = Heard(source.pipe(pacing(SOON, scheduler=desktop)))
    source.send("a")
    heard.wait_items(1)
    source.send("b")
    heard.wait_items(2)
    source.send("c")
    if error is None:
        source.observer.on_completed()
    else:
        source.observer.on_error(error)
    heard.wait()

    assert heard.items == ["a", "b", "c"]
    assert heard.error is error
    assert heard.threads == {"desktop"}


@pytest.mark.parametrize("error", [None, LOST])
def test_nothing_came(error: Exception | None) -> None:
    """Where no item came the end needs no clock, and comes at once."""
    source: Source[str] = Source()
    heard = Heard(source.pipe(coalesce(SOON)))
    if error is None:
        source.observer.on_completed()
    else:
        source.observer.on_error(error)

    assert heard.over.is_set()
    assert heard.error is error


def test_desktop_is_not_kept_busy(desktop: EventLoopScheduler) -> None:
    """A callback that is slower than the interval leaves the desktop its turns in between."""
    source: Source[str] = Source()
    order: list[str] = []

    def other(*_: object) -> None:
        order.append("other")

    def take(text: str) -> None:
        order.append(text)
        if len(text) < 3:
            # While this is busy, more comes that is due at once, and so does other work for the desktop.
            desktop.schedule(other)
            source.send(text + text)
            assert not threading.Event().wait(2 * SOON)

    heard = Heard(source.pipe(coalesce(SOON, scheduler=desktop)), take)
    source.send("x")
    heard.wait_items(3)
    source.observer.on_completed()
    heard.wait()

    assert order == ["x", "other", "xx", "other", "xxxx"]


def test_new_thread_scheduler() -> None:
    """A scheduler that takes another thread each time keeps the order."""
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
    """A source that sends from several threads at once loses nothing, keeps each one's order, and never overlaps."""
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

    text = "".join(alone.items)
    assert not alone.overlapped
    for letter in "abcd":
        mine = "".join(each for each in text if each.lower() == letter)
        assert mine == (letter + letter.upper()) * (count // 2)


async def test_many_threads_and_a_loop() -> None:
    """Where the loop sends too, it emits inline and the threads hop to it."""
    source: Source[str] = Source()
    alone, count = Alone(), 300
    names: set[int] = set()

    def take(text: str) -> None:
        names.add(threading.get_ident())
        alone.take(text)

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

    text = "".join(alone.items)
    assert not alone.overlapped
    assert (text.count("x"), text.count("-")) == (3 * count, count + 1)
    assert names == {threading.get_ident()}


# Who is called back while it emits.


def test_leaving_in_the_middle() -> None:
    """A subscriber that leaves at the first of several items that are due gets no other."""
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
    """A subscriber that leaves at the very last item hears of no end."""
    source: Source[str] = Source()
    scheduler = TestScheduler()
    heard: list[str] = []

    def take(text: str) -> None:
        heard.append(text)
        subscription.dispose()

    subscription = source.pipe(debounce(5, scheduler=scheduler)).subscribe(take, on_completed=heard.clear)
    source.send("a")
    source.observer.on_completed()
    scheduler.start()

    assert heard == ["a"]


class Manual(Scheduler):
    """Leave it to the test when an action is done, also of those that were called off."""

    def __init__(self) -> None:
        super().__init__()
        self.actions: list[Callable[[], Any]] = []

    def schedule(self, action: Any, state: Any = None) -> abc.DisposableBase:
        """Keep an action."""
        self.actions.append(lambda: action(self, state))
        return Disposable()

    def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> abc.DisposableBase:
        """Keep an action, whenever it was to be done."""
        del duetime
        return self.schedule(action, state)

    schedule_absolute = schedule_relative


def test_a_scheduler_that_cannot_call_off() -> None:
    """A timer that fires though it was called off does nothing, and so does one that fires twice."""
    manual = Manual()
    source: Source[str] = Source()
    heard: list[str] = []
    source.pipe(debounce(60, scheduler=manual)).subscribe(heard.append, on_completed=lambda: heard.append("completed"))
    source.send("a")
    source.observer.on_completed()
    called_off, flush = manual.actions
    called_off()
    assert heard == []
    flush()
    flush()

    assert heard == ["a", "completed"]


async def test_sending_while_emitting() -> None:
    """What comes while an item is handed on waits its turn, and so does the end."""
    source: Subject[str] = Subject()
    heard: list[str] = []
    over = asyncio.Event()

    def take(text: str) -> None:
        heard.append("<")
        if text == "a":
            source.on_next("b")
            source.on_completed()
        heard.append(f"{text}>")

    source.pipe(coalesce(60)).subscribe(take, on_completed=over.set)
    source.on_next("a")
    await asyncio.wait_for(over.wait(), PATIENCE)

    assert heard == ["<", "a>", "<", "b>"]


async def test_a_loop_is_not_kept_busy() -> None:
    """What is due again as soon as it was emitted leaves the loop its turns in between."""
    source: Subject[ChatChunk] = Subject()
    order: list[object] = []
    over, loop = asyncio.Event(), asyncio.get_running_loop()

    def take(chunk: ChatChunk) -> None:
        order.append(chunk)
        loop.call_soon(order.append, "other")
        if len(order) < 4:
            # The second is complete at once, because the third cannot be added to it.
            source.on_next(CONTENT)
            source.on_next(THINKING)
        else:
            source.on_completed()

    source.pipe(coalesce(60)).subscribe(take, on_completed=over.set)
    source.on_next(ChatChunk())
    await asyncio.wait_for(over.wait(), PATIENCE)

    assert order == [ChatChunk(), "other", CONTENT, "other", THINKING + CONTENT, "other", THINKING, "other"]


class Hurried(Counting):
    """Let something happen while a timer is being set."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] | None = None

    def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> abc.DisposableBase:
        """Set a timer, but not before something else happened."""
        handle = super().schedule_relative(duetime, action, state)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return handle


@pytest.mark.parametrize("what", ["dispose", "complete"])
def test_timer_that_is_outdated_when_it_is_set(what: str) -> None:
    """A timer that nobody wants any more by the time it is set is called off."""
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
    """Be the clock of a loop that runs again within a callback, as some make asyncio do."""

    def __init__(self) -> None:
        self.time = 0.0
        self.actions: list[Callable[[], None]] = []

    def now(self) -> float:
        """Tell the time that the test says."""
        return self.time

    def is_here(self) -> bool:
        """Emit at once."""
        return True

    def after(self, seconds: float, action: Callable[[], None]) -> Callable[[], object]:
        """Keep an action."""
        assert seconds >= 0
        self.actions.append(action)
        return self.actions.clear


def test_a_timer_that_fires_within_a_callback() -> None:
    """A timer that fires while an item is handed on does not overlap it."""
    nested = Nested()
    order: list[str] = []

    def take(chunk: ChatChunk) -> None:
        order.append("<")
        for action in nested.actions[:]:
            nested.time += 100
            action()
        order.append(f"{chunk.message.content}>")

    pacer = Pacer(Observer[ChatChunk](take), Backlog[ChatChunk](), WindowRhythm(50), nested)
    for chunk in (ChatChunk(), CONTENT, THINKING):
        pacer.on_next(chunk)
    pacer.on_completed()

    assert order == ["<", ">", "<", "Yes>", "<", ">"]


def test_a_timer_that_fires_early() -> None:
    """A timer that fires a moment early, as those of loops do, is not set again for that moment."""
    nested = Nested()
    heard: list[str] = []
    pacer = Pacer(Observer(heard.append), Backlog[str](), QuietRhythm(5, None), nested)
    pacer.on_next("a")
    nested.time = 4.9998
    nested.actions.pop()()

    assert heard == ["a"]
    assert nested.actions == []


def test_after_the_end() -> None:
    """A source that goes on after its end, as a broken one may, is not heard."""
    scheduler = TestScheduler()
    heard: list[object] = []
    paced: list[abc.ObserverBase[str]] = []

    def note(observer: abc.ObserverBase[str], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        paced.append(observer)
        return Disposable()

    Observable(note).pipe(coalesce(5, scheduler=scheduler)).subscribe(heard.append, heard.append)
    # Behind the guard that reactivex puts before every observer.
    observer: Any = paced[0]
    observer._on_next("a")
    observer._on_error(LOST)
    observer._on_next("b")
    observer._on_completed()
    observer._on_error(MINE)
    scheduler.start()
    observer._on_next("c")

    assert heard == ["a", LOST]


# Subscribers that fail.


class Failing:
    """Fail on one item, and note what else is heard."""

    def __init__(self, on: str) -> None:
        self.heard: list[object] = []
        self._on = on

    def take(self, text: str) -> None:
        """Fail, or note an item."""
        if text == self._on:
            raise MINE
        self.heard.append(text)


@pytest.mark.parametrize("on", ["a", "b", "c"])
@pytest.mark.parametrize("error", [None, LOST])
def test_failing_subscriber(on: str, error: Exception | None) -> None:
    """One that fails, at the first, a later or the last item, is told of it; that is its end and the source's."""
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


def turn(desktop: EventLoopScheduler, seconds: float = 0.0) -> None:
    """Block until a desktop has done all that it had to do, and some time has passed there."""
    done = threading.Event()

    def act(*_: object) -> None:
        done.set()

    desktop.schedule_relative(seconds, act)
    assert done.wait(PATIENCE)


@pytest.mark.parametrize("on", ["a", "b", "c"])
def test_failing_subscriber_on_a_desktop(
    on: str, desktop: EventLoopScheduler, reported: Callable[[], list[BaseException]]
) -> None:
    """One that cannot be told is reported, and the desktop's thread lives on."""
    source: Source[str] = Source()
    failing = Failing(on)
    source.pipe(coalesce(SOON, scheduler=desktop)).subscribe(failing.take)
    source.send("a")
    turn(desktop)
    source.send("b")
    turn(desktop, 2 * SOON)
    source.send("c")
    source.observer.on_completed()
    turn(desktop)

    assert failing.heard == [*"abc"[: "abc".index(on)]]
    assert reported() == [MINE]
    assert source.disposed


async def test_failing_subscriber_on_a_loop(reported: Callable[[], list[BaseException]]) -> None:
    """On a loop its exception handler hears of one that cannot be told, for an item as for a timer's."""
    for on in ("a", "b"):
        source: Source[str] = Source()
        failing = Failing(on)
        source.pipe(throttle(SOON)).subscribe(failing.take)
        source.send("a")
        source.send("b")
        assert await asyncio.to_thread(source.gone.wait, PATIENCE)

    assert reported() == [MINE, MINE]


def test_an_item_that_cannot_wait() -> None:
    """A source whose item does not add up is let go at once, and what waits is emitted on its clock as ever."""
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
    """A callback for the end that fails is reported."""

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


def test_interrupted_subscriber() -> None:
    """What is no mere error goes through, and leaves nothing waiting."""
    source: Source[str] = Source()
    heard: list[object] = []

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    source.pipe(coalesce(5, scheduler=ImmediateScheduler())).subscribe(interrupt, heard.append)
    with pytest.raises(KeyboardInterrupt):
        source.send("a")
    source.send("b")

    assert heard == []
    assert source.disposed


def test_closed_loop() -> None:
    """A stream whose loop was closed ends with an error, told where it is noticed."""
    loop = asyncio.new_event_loop()
    source: Source[str] = Source()
    heard: list[object] = []
    source.pipe(coalesce(5, scheduler=AsyncIOScheduler(loop))).subscribe(heard.append, heard.append)
    loop.close()
    source.send("a")

    assert [str(error) for error in heard] == ["Event loop is closed"]
    assert source.disposed


def test_expand() -> None:
    """Within reactivex's expand, whose scheduler cannot wait, the loop's clock is taken."""
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


# Clocks that are put back.


class Wall(Scheduler):
    """Be a clock on the wall, which people set, with timers that do not care."""

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


@pytest.mark.parametrize(("pacing", "expected"), [(coalesce, ["a", "b"]), (debounce, ["ab"]), (throttle, ["a", "b"])])
def test_clock_put_back(pacing: Callable[..., Any], expected: list[str]) -> None:
    """A clock that is put back by an hour delays nothing by more than another interval."""
    wall = Wall()
    source: Source[str] = Source()
    heard: list[str] = []
    source.pipe(pacing(5, scheduler=wall)).subscribe(heard.append)
    wall.shift = timedelta(hours=2)
    source.send("a")
    wall.timers.advance_to(1.0)
    source.send("b")
    wall.shift = timedelta(hours=1)
    wall.timers.advance_to(12.0)

    assert heard == expected


def test_rhythms_when_put_back() -> None:
    """Each rhythm begins anew where the time is before what it remembers."""
    window = WindowRhythm(5)
    assert window.wait(100) == 0
    window.emitted(100, rest=False)
    assert [window.wait(100), window.wait(104), window.wait(10), window.wait(12)] == [5, 1, 5, 3]

    quiet = QuietRhythm(5, 8)
    quiet.arrived(100)
    assert [quiet.wait(100), quiet.wait(104), quiet.wait(10), quiet.wait(12)] == [5, 1, 5, 3]
    quiet.arrived(14)
    quiet.arrived(15)
    assert quiet.wait(15) == 5
    quiet.arrived(20)
    assert quiet.wait(20) == 2
