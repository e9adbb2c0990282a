"""Pacing of batches: nobody can see whether the items of a read came as one or one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler import CurrentThreadScheduler
from reactivex.testing import TestScheduler
from virtual_loop import VirtualLoop

from rxollama import Stream
from rxollama._runtime import batch_path
from rxollama.messages import Batch, ChatChunk, ChunkBatch, Message, TextBatch
from rxollama.operators import accumulate, coalesce, content, debounce, thinking, throttle

T = TypeVar("T")

Operator: TypeAlias = Callable[[Observable[Any]], Observable[Any]]
Paced: TypeAlias = Callable[[abc.SchedulerBase | None], Sequence[Operator]]
Read: TypeAlias = tuple[float, list[str]]

LOST = ConnectionError("lost")
MINE = KeyError("mine")


class Record:
    """A record of the server."""

    model = "m"
    created_at = "2026-01-01T00:00:00Z"


def chunk_batch(texts: Sequence[str]) -> ChunkBatch:
    """Return chunks, those in capitals with thinking and the others with content."""
    contents = ["" if text.isupper() else text for text in texts]
    return ChunkBatch([Record()] * len(texts), contents, [text if text.isupper() else "" for text in texts])


class Wire:
    """
    A source of reads, which emits each as one if its subscriber is ready for it.

    Args:
        batches: Whether to ask the subscriber.
    """

    def __init__(self, *, batches: bool) -> None:
        self.batches = batches
        self.absorbed = 0
        self.gone = False
        self.stream: Stream[ChatChunk] = Stream(self._begin, items=ChatChunk, deltas=True)

    def _begin(self, observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        self.observer = observer
        self._ready, self._absorb = batch_path(observer)
        return Disposable(self._leave)

    def _leave(self) -> None:
        self.gone = True

    def read(self, texts: Sequence[str]) -> None:
        """Emit the chunks of a read: 1, 4, 16 of them, until the subscriber is ready for the rest."""
        batch, count = chunk_batch(texts), 1
        while not (self.batches and self._ready(batch)):
            for chunk in batch.items[:count]:
                if not self.gone:
                    self.observer.on_next(chunk)
            if count >= len(batch) or self.gone:
                return
            batch, count = batch.rest(count), count * 4
        self.absorbed += len(batch)
        self._absorb(batch)


class Screen:
    """
    A subscriber that records when it received what.

    Args:
        now: The clock.
        leave_at: The number of items after which it disposes its subscription, if any.
        fail_at: The number of items after which it raises, if any.
    """

    def __init__(self, now: Callable[[], float], leave_at: int | None, fail_at: int | None) -> None:
        self.received: list[tuple[float, object]] = []
        self.subscription: abc.DisposableBase = Disposable()
        self._now, self._leave_at, self._fail_at = now, leave_at, fail_at

    def watch(self, stream: Observable[Any]) -> None:
        """Subscribe."""
        self.subscription = stream.subscribe(self._take, self._end, lambda: self._end("completed"))

    def _take(self, item: object) -> None:
        self.received.append((self._now(), item))
        if len(self.received) == self._leave_at:
            self.subscription.dispose()
        if len(self.received) == self._fail_at:
            raise MINE

    def _end(self, how: object) -> None:
        self.received.append((self._now(), how))


def piped(source: Observable[Any], operators: Sequence[Operator]) -> Observable[Any]:
    """Apply operators to a source."""
    for operator in operators:
        source = operator(source)
    return source


def on_a_loop(wire: Wire, paced: Paced, reads: Sequence[Read], end: object, **stops: Any) -> Screen:
    """Play reads on a loop in virtual time."""
    loop = VirtualLoop()
    screen = Screen(loop.time, **stops)

    async def main() -> None:
        screen.watch(piped(wire.stream, paced(None)))
        for gap, texts in reads:
            await asyncio.sleep(gap)
            wire.read(texts)
        finish(wire, end)
        await asyncio.sleep(100)

    loop.run_until_complete(main())
    loop.close()
    return screen


def on_a_scheduler(wire: Wire, paced: Paced, reads: Sequence[Read], end: object, **stops: Any) -> Screen:
    """Play reads on a scheduler."""
    scheduler = TestScheduler()
    screen = Screen(lambda: scheduler.to_seconds(scheduler.now), **stops)
    screen.watch(piped(wire.stream, paced(scheduler)))
    time = 0.0
    for gap, texts in reads:
        time += gap
        scheduler.advance_to(time)
        wire.read(texts)
    finish(wire, end)
    scheduler.advance_to(time + 100)
    return screen


def finish(wire: Wire, end: object) -> None:
    """End a source, or do not."""
    if not wire.gone and isinstance(end, Exception):
        wire.observer.on_error(end)
    elif not wire.gone and end == "completed":
        wire.observer.on_completed()


PACED: dict[str, Paced] = {
    "coalesce": lambda scheduler: [coalesce(2, scheduler=scheduler)],
    "coalesce texts": lambda scheduler: [content(), coalesce(2, scheduler=scheduler)],
    "coalesce thinking": lambda scheduler: [thinking(), coalesce(2, scheduler=scheduler)],
    "debounce": lambda scheduler: [debounce(2, scheduler=scheduler)],
    "debounce texts": lambda scheduler: [content(), debounce(2, max_wait=3, scheduler=scheduler)],
    "throttle": lambda scheduler: [accumulate(), throttle(2, scheduler=scheduler)],
}


TEXTS = st.lists(st.sampled_from(["a", "b ", "C", "D "]), min_size=1, max_size=9)
READS = st.lists(st.tuples(st.sampled_from([0.25, 0.5, 1.0, 2.5]), TEXTS), max_size=6)
STOPS = st.fixed_dictionaries({"leave_at": st.none() | st.integers(1, 4), "fail_at": st.none() | st.integers(1, 4)})


@pytest.mark.parametrize("play", [on_a_loop, on_a_scheduler])
@pytest.mark.parametrize("name", PACED)
@given(reads=READS, end=st.sampled_from(["never", "completed", LOST]), stops=STOPS)
def test_batches_cannot_be_seen(
    name: str, play: Callable[..., Screen], reads: list[Read], end: object, stops: dict[str, int | None]
) -> None:
    """With and without batches a subscriber receives the same at the same moments, also if it leaves or raises."""
    wires = [Wire(batches=batches) for batches in (False, True)]
    one, other = (play(wire, PACED[name], reads, end, **stops) for wire in wires)

    assert one.received == other.received
    assert wires[0].gone is wires[1].gone


@pytest.mark.parametrize("name", ["coalesce", "coalesce texts", "debounce", "debounce texts", "throttle"])
@pytest.mark.parametrize("play", [on_a_loop, on_a_scheduler])
def test_batches_are_absorbed(name: str, play: Callable[..., Screen]) -> None:
    """All but the first item of a read is absorbed, and a whole read while something waits or a window is open."""
    wire = Wire(batches=True)
    play(wire, PACED[name], [(1.0, ["a"] * 100), (0.5, ["b"] * 100)], "completed", leave_at=None, fail_at=None)

    assert wire.absorbed >= (195 if play is on_a_loop or "debounce" in name else 190)


class Direct:
    """The batch path of a pacing operator, without a source that keeps its rules."""

    def __init__(self, operator: Operator) -> None:
        self.heard: list[Any] = []
        self.stream: Stream[Any] = Stream(self._begin)
        self.subscription = self.stream.pipe(operator).subscribe(self.heard.append)

    def _begin(self, observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        self.send, self.end = observer.on_next, observer.on_completed
        self.ready, self.absorb = batch_path(observer)
        return Disposable()


def texts(*letters: str) -> TextBatch:
    """Return a batch of texts."""
    return TextBatch("".join(letters), letters)


def test_trampoline() -> None:
    """On a scheduler that acts at once nothing is absorbed that would be emitted."""
    direct = Direct(coalesce(0.001, scheduler=CurrentThreadScheduler.singleton()))
    direct.send("a")

    assert direct.heard == ["a"]
    assert not direct.ready(texts("b"))


def test_hardly_any_wait() -> None:
    """On a loop a batch whose first item would be due at once is not absorbed."""
    loop = VirtualLoop()

    async def main() -> None:
        direct = Direct(debounce(5, max_wait=0.0001))
        direct.send("a")
        assert direct.heard == ["a"]
        assert not direct.ready(texts("b", "c"))

    loop.run_until_complete(main())
    loop.close()


def test_another_kind() -> None:
    """A batch that cannot be added to what waits is not absorbed, since what waits would be emitted."""
    scheduler = TestScheduler()
    direct = Direct(coalesce(5, scheduler=scheduler))
    chunk, words = chunk_batch("ab"), texts("c", "d")
    direct.send("a")
    assert [direct.ready(words), direct.ready(chunk)] == [True, False]
    scheduler.advance_to(1.0)
    direct.send(chunk.last)
    assert [direct.ready(words), direct.ready(chunk)] == [False, True]
    assert not direct.ready(chunk_batch("Ab"))
    assert not direct.ready(Batch(2, lambda: [1, 2]))
    direct.absorb(chunk)
    scheduler.advance_to(20.0)

    assert direct.heard == [
        "a",
        ChatChunk(model="m", created_at=Record.created_at, message=Message("assistant", "bab")),
    ]


def test_first_of_all() -> None:
    """Before the first item the operator is not ready. A batch that comes all the same waits like an item."""
    scheduler = TestScheduler()
    direct = Direct(debounce(5, scheduler=scheduler))
    assert not direct.ready(texts("a"))
    direct.absorb(texts("a", "b"))
    scheduler.advance_to(6.0)

    assert direct.heard == ["ab"]


def test_after_the_end() -> None:
    """After a dispose any batch is absorbed, and dropped."""
    scheduler = TestScheduler()
    direct = Direct(coalesce(5, scheduler=scheduler))
    direct.send("a")
    direct.subscription.dispose()
    assert direct.ready(texts("b"))
    direct.absorb(texts("b"))
    scheduler.advance_to(20.0)

    assert direct.heard == []


def test_many_texts() -> None:
    """Any number of texts and batches is added up in order."""
    scheduler = TestScheduler()
    direct = Direct(coalesce(5, scheduler=scheduler))
    for number in range(600):
        if number % 3:
            direct.send(f"{number} ")
        else:
            direct.absorb(texts(f"{number} "))
    scheduler.advance_to(1.0)
    direct.send("next")
    scheduler.advance_to(6.0)

    assert direct.heard == ["".join(f"{number} " for number in range(600)), "next"]
