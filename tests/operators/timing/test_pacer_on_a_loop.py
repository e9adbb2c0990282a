"""Pacing on a loop, where texts take the quick way: what happens within an emission, and on several threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import Subject
from reactivex.testing import TestScheduler
from virtual_loop import VirtualLoop

from rxollama.messages import ChatChunk, Message
from rxollama.operators import coalesce, debounce

PATIENCE = 10.0
LOST = ConnectionError("lost")
CONTENT = ChatChunk(message=Message("assistant", "Yes"))


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """Return a loop in virtual time."""
    virtual = VirtualLoop()
    yield virtual
    virtual.close()


class Screen:
    """
    A subscriber that records what it receives, and how calls nest.

    Args:
        each: Called with each item.
    """

    def __init__(self, each: Callable[[Any], object] | None = None) -> None:
        self.received: list[Any] = []
        self.threads: set[int] = set()
        self.overlapped = False
        self._each = each
        self._inside = False

    def take(self, item: Any) -> None:
        """Record an item."""
        self._note(item)
        self._inside = True
        if self._each is not None:
            self._each(item)
        self._inside = False

    def end(self, how: object = "completed") -> None:
        """Record the end."""
        self._note(how)

    def _note(self, what: object) -> None:
        self.overlapped = self.overlapped or self._inside
        self.threads.add(threading.get_ident())
        self.received.append(what)


def play(loop: asyncio.AbstractEventLoop, begin: Callable[[], object], seconds: float = 10) -> None:
    """Begin something on a loop, and let time pass."""

    async def main() -> None:
        begin()
        await asyncio.sleep(seconds)

    loop.run_until_complete(main())


def send_all(source: Subject[Any], items: Iterable[object]) -> None:
    """Send items in a row."""
    for item in items:
        source.on_next(item)


@pytest.mark.parametrize("within", ["a", "bc"])
@pytest.mark.parametrize(("error", "end"), [(None, "completed"), (LOST, LOST)])
def test_from_within(loop: VirtualLoop, within: str, error: Exception | None, end: object) -> None:
    """Items and an end from within an emission follow it, be that in the source's call or in a timer's."""
    source: Subject[str] = Subject()

    def each(item: str) -> None:
        if item == within:
            for letter in "xyz":
                source.on_next(letter)
            if error is None:
                source.on_completed()
            else:
                source.on_error(error)
            source.on_next("late")

    screen = Screen(each)

    def begin() -> None:
        source.pipe(coalesce(1)).subscribe(screen.take, screen.end, screen.end)
        send_all(source, "abc")

    play(loop, begin)

    before = ["a"] if within == "a" else ["a", "bc"]
    # Texts that the source sends after an emission in which it ended are ignored.
    assert screen.received == [*before, "xyz", end]
    assert not screen.overlapped


def test_due_again_within(loop: VirtualLoop) -> None:
    """Items from within each emission are paced like all others, and the stack stays flat."""
    source: Subject[str] = Subject()
    moments: list[float] = []

    def each(_: str) -> None:
        moments.append(loop.time())
        if len(moments) < 2000:
            source.on_next("x")
            source.on_next("x")

    screen = Screen(each)

    def begin() -> None:
        source.pipe(coalesce(1)).subscribe(screen.take)
        source.on_next("x")

    play(loop, begin, 3000)

    assert screen.received == ["x", *["xx"] * 1999]
    assert moments == [float(number) for number in range(2000)]
    assert not screen.overlapped


@pytest.mark.parametrize("within", ["a", "bc"])
def test_leaving_within(loop: VirtualLoop, within: str) -> None:
    """A subscriber that leaves within an emission receives nothing more, whatever was sent before or after."""
    source: Subject[str] = Subject()

    def each(item: str) -> None:
        if item == within:
            source.on_next("x")
            subscription.dispose()
            source.on_next("y")

    screen = Screen(each)
    subscription = source.pipe(coalesce(1)).subscribe(screen.take, screen.end, screen.end)

    def begin() -> None:
        send_all(source, "abc")

    play(loop, begin)

    assert screen.received == (["a"] if within == "a" else ["a", "bc"])
    assert source.observers == []


def test_other_kinds_between_texts(loop: VirtualLoop) -> None:
    """Texts keep their place among items of another kind, which finish each other."""
    source: Subject[Any] = Subject()
    screen = Screen()

    def begin() -> None:
        source.pipe(coalesce(1)).subscribe(screen.take)
        for item in ("a", "b", "c", CONTENT, "d"):
            source.on_next(item)
        assert screen.received == ["a", "bc", CONTENT]
        send_all(source, "efg")

    play(loop, begin, 3)
    play(loop, lambda: send_all(source, "hij"))

    assert screen.received == ["a", "bc", CONTENT, "defg", "h", "ij"]


class Words(str):
    """A text of a type of its own."""

    __slots__ = ()


def test_texts_of_their_own_type(loop: VirtualLoop) -> None:
    """A text of its own type that waits alone stays what it is, and is added up with others."""
    source: Subject[str] = Subject()
    screen = Screen()

    def begin() -> None:
        source.pipe(debounce(1)).subscribe(screen.take)
        source.on_next(Words("a"))

    play(loop, begin)
    play(loop, lambda: send_all(source, ("b", Words("c"), "d")))

    assert screen.received == ["a", "bcd"]
    assert type(screen.received[0]) is Words


def test_given_scheduler(loop: VirtualLoop) -> None:
    """With a scheduler nothing is emitted in the loop's time, and no timer of the loop is set."""
    source: Subject[str] = Subject()
    scheduler, screen = TestScheduler(), Screen()

    def begin() -> None:
        source.pipe(coalesce(1, scheduler=scheduler)).subscribe(screen.take)
        send_all(source, "abc")

    play(loop, begin)
    assert screen.received == []
    # The one of `asyncio.sleep`.
    assert len(loop.timers) == 1
    scheduler.advance_to(5.0)

    assert screen.received == ["abc"]


def test_scheduler_of_the_loop(loop: VirtualLoop) -> None:
    """A scheduler of the loop takes the loop's own way, with its frames."""
    sources: list[Subject[str]] = [Subject() for _ in range(10)]
    screen = Screen()

    def begin() -> None:
        for source in sources:
            source.pipe(coalesce(1, scheduler=AsyncIOScheduler(loop))).subscribe(screen.take)
        for letter in "abc":
            for source in sources:
                source.on_next(letter)

    play(loop, begin)

    assert screen.received == ["a"] * 10 + ["bc"] * 10
    assert len(loop.timers) == 2


@pytest.mark.usefixtures("quick_switches")
def test_threads_and_the_loop() -> None:
    """Threads that send while the loop sends and emits lose nothing, keep their order, and never make it overlap."""
    source: Subject[str] = Subject()
    screen, count, over = Screen(), 2000, threading.Event()

    def send(letters: str) -> None:
        for place in range(count):
            observer.on_next(letters[place % 2])

    async def main() -> None:
        threads = [asyncio.create_task(asyncio.to_thread(send, letters)) for letters in ("aA", "bB", "cC")]
        for place in range(count):
            observer.on_next("dD"[place % 2])
            if place % 50 == 0:
                await asyncio.sleep(0.001)
        await asyncio.gather(*threads)
        observer.on_completed()
        assert await asyncio.to_thread(over.wait, PATIENCE)
        assert screen.threads == {threading.get_ident()}

    def end() -> None:
        screen.end()
        over.set()

    source.pipe(coalesce(0.002)).subscribe(screen.take, screen.end, end)
    # Reactivex's `Subject` may call its observers at once, but not from several threads.
    (observer,) = source.observers
    asyncio.run(main())

    assert screen.received.pop() == "completed"
    assert not screen.overlapped
    for letter in "abcd":
        mine = "".join(each for each in "".join(screen.received) if each.lower() == letter)
        assert mine == (letter + letter.upper()) * (count // 2)
