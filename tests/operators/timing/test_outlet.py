"""The law of emission: in turn, never overlapping, with one end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import abc

from rxollama._runtime import Sink
from rxollama.messages import Backlog, TextBatch
from rxollama.operators._timing.outlet import Outlet

PATIENCE = 10.0
LOST = ConnectionError("lost")
MINE = KeyError("mine")
ENDING = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]


class Subscriber(abc.ObserverBase[Any]):
    """A subscriber that records what it receives, and how calls nest."""

    def __init__(self, each: Callable[[Any], object] | None = None) -> None:
        self.received: list[Any] = []
        self.left = 0
        self.overlapped = False
        self._each = each
        self._inside = False

    def leave(self) -> None:
        """Count how often the source is disposed."""
        self.left += 1

    def on_next(self, value: Any) -> None:
        """Record an item."""
        self.overlapped = self.overlapped or self._inside
        self._inside = True
        self.received.append(value)
        try:
            if self._each is not None:
                self._each(value)
        finally:
            self._inside = False

    def on_error(self, error: Exception) -> None:
        """Record an error."""
        self._end(error)

    def on_completed(self) -> None:
        """Record the completion."""
        self._end("completed")

    def _end(self, how: object) -> None:
        self.overlapped = self.overlapped or self._inside
        assert self.left, "the source is disposed before the subscriber receives the end"
        self.received.append(how)


@pytest.mark.parametrize(("error", "end"), [(None, "completed"), (LOST, LOST)])
def test_items_and_end(error: Exception | None, end: object) -> None:
    """Items are emitted as they come, then the end, and nothing after it."""
    subscriber = Subscriber()
    outlet = Outlet[str](subscriber, subscriber.leave)
    outlet.on_next("a")
    assert outlet.is_free
    assert subscriber.left == 0
    outlet.pass_on("b")
    outlet.end(error)
    outlet.on_next("c")
    outlet.pass_on("d")
    outlet.end(MINE)
    outlet.fail(MINE)
    outlet.flush()

    assert subscriber.received == ["a", "b", end]
    assert not outlet.is_free


def test_put_does_not_emit() -> None:
    """What is put waits for a flush, and what comes after it waits behind it."""
    subscriber = Subscriber()
    outlet = Outlet[str](subscriber, subscriber.leave)
    outlet.put("a", "b")
    assert not outlet.is_free
    assert subscriber.received == []
    outlet.on_next("c")
    outlet.put("d")
    outlet.put_end()
    assert subscriber.received == ["a", "b", "c"]
    outlet.flush()

    assert subscriber.received == ["a", "b", "c", "d", "completed"]


def test_own_way_of_emitting() -> None:
    """An operator may hand items to the subscriber in its own way."""
    subscriber = Subscriber()
    outlet = Outlet[int](subscriber, subscriber.leave, emit=lambda number: subscriber.on_next(str(number)))
    outlet.on_next(1)
    outlet.put(2)
    outlet.end()

    assert subscriber.received == ["1", "2", "completed"]


class Absorber(Subscriber):
    """A subscriber that absorbs batches while it is ready."""

    def __init__(self, each: Callable[[Any], object] | None = None) -> None:
        super().__init__(each)
        self.is_ready = True
        self.fails: BaseException | None = None
        sink = Sink[str](self.on_next, self.on_error, self.on_completed, lambda _: self.is_ready, self._absorb)
        self.outlet = Outlet[str](sink, self.leave)

    def _absorb(self, batch: TextBatch) -> None:
        self.received.append(batch.text)
        if self.fails is not None:
            raise self.fails


BATCH = TextBatch("bc", ["b", "", "c"])


def test_a_batch_is_absorbed() -> None:
    """A batch is absorbed between items, if the subscriber is ready for it."""
    subscriber = Absorber()
    outlet = subscriber.outlet
    outlet.on_next("a")
    assert outlet.ready(BATCH)
    outlet.absorb(BATCH)
    outlet.on_next("d")
    subscriber.is_ready = False

    assert not outlet.ready(BATCH)
    assert subscriber.received == ["a", "bc", "d"]


def test_nobody_is_ready_while_something_waits() -> None:
    """A batch may not overtake what waits; once the subscription is over, nobody minds."""
    ready: list[bool] = []
    subscriber = Absorber(lambda _: ready.append(outlet.ready(BATCH)))
    outlet = subscriber.outlet
    outlet.on_next("a")
    outlet.put("b")
    ready.append(outlet.ready(BATCH))
    outlet.flush()
    ready.append(outlet.ready(BATCH))
    outlet.close()
    subscriber.is_ready = False

    assert [False, False, False, True, True] == [*ready, outlet.ready(BATCH)]


def test_a_batch_waits_its_turn() -> None:
    """A turn that is taken after the subscriber was asked makes the items wait, one by one, behind what waits."""

    def absorb_within(item: str) -> None:
        if item == "a":
            outlet.absorb(BATCH)

    subscriber = Absorber(absorb_within)
    outlet = subscriber.outlet
    outlet.on_next("a")
    outlet.put("d")
    outlet.absorb(BATCH)
    outlet.on_next("e")

    assert subscriber.received == ["a", "b", "c", "d", "b", "c", "e"]
    assert not subscriber.overlapped


def test_a_batch_after_the_end() -> None:
    """A batch that comes after the end, or after a dispose, is dropped."""
    ended, closed = Absorber(), Absorber()
    ended.outlet.end()
    closed.outlet.close()
    for subscriber in (ended, closed):
        subscriber.outlet.absorb(BATCH)
        subscriber.outlet.on_next("d")

    assert (["completed"], []) == (ended.received, closed.received)


@pytest.mark.parametrize("raised", [MINE, MemoryError(), *(kind() for kind in ENDING)], ids=repr)
def test_a_batch_that_cannot_be_absorbed(raised: BaseException) -> None:
    """What prevents it ends the subscription, as an item's error does."""
    subscriber = Absorber()
    subscriber.fails = raised

    with contextlib.suppress(*ENDING):
        subscriber.outlet.absorb(BATCH)
        assert isinstance(raised, Exception)

    told = subscriber.received[-1]
    assert raised in (told, told.__cause__)
    assert subscriber.left


def test_what_waits_may_add_up() -> None:
    """Items that wait in a backlog are emitted as one."""
    subscriber = Subscriber()
    outlet = Outlet[str](subscriber, subscriber.leave, waiting=Backlog())
    for letter in "abc":
        outlet.put(letter)
    outlet.on_next("d")
    outlet.on_next("e")

    assert subscriber.received == ["abcd", "e"]


@pytest.mark.parametrize("send", [Outlet[int].on_next, Outlet[int].pass_on])
def test_from_within(send: Callable[[Outlet[int], int], None]) -> None:
    """An item and an end from within an emission wait for their turn, and the stack stays flat."""

    def each(number: int) -> None:
        assert not outlet.is_free
        if number < 3000:
            outlet.on_next(number + 1)
        else:
            outlet.end()

    subscriber = Subscriber(each)
    outlet = Outlet[int](subscriber, subscriber.leave)
    outlet.put()
    send(outlet, 0)

    assert subscriber.received == [*range(3001), "completed"]
    assert not subscriber.overlapped


def test_from_another_thread() -> None:
    """A thread that brings items and the end while another one emits does not wait, and its items come next."""
    inside, go_on = threading.Event(), threading.Event()

    def each(letter: str) -> None:
        if letter == "a":
            inside.set()
            assert go_on.wait(PATIENCE)

    subscriber = Subscriber(each)
    outlet = Outlet[str](subscriber, subscriber.leave)
    thread = threading.Thread(target=outlet.on_next, args=("a",))
    thread.start()
    assert inside.wait(PATIENCE)
    outlet.on_next("b")
    outlet.on_next("c")
    outlet.end(LOST)
    assert subscriber.received == ["a"]
    go_on.set()
    thread.join(PATIENCE)

    assert subscriber.received == ["a", "b", "c", LOST]
    assert not subscriber.overlapped


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("waiting", [None, Backlog])
def test_many_threads(waiting: type[Backlog[str]] | None) -> None:
    """From many threads nothing is lost or emitted twice, each thread keeps its order, and nothing overlaps."""
    subscriber = Subscriber()
    outlet = Outlet[str](subscriber, subscriber.leave, waiting=None if waiting is None else waiting())
    gate, count = threading.Barrier(4), 2000

    def send(letters: str) -> None:
        gate.wait(PATIENCE)
        for place in range(count):
            outlet.on_next(letters[place % 2])

    threads = [threading.Thread(target=send, args=(letters,)) for letters in ("aA", "bB", "cC", "dD")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    outlet.end()

    assert subscriber.received.pop() == "completed"
    assert not subscriber.overlapped
    for letter in "abcd":
        mine = "".join(each for each in "".join(subscriber.received) if each.lower() == letter)
        assert mine == (letter + letter.upper()) * (count // 2)


@pytest.mark.usefixtures("quick_switches")
def test_end_among_many_threads() -> None:
    """Whichever thread ends it: there is one end, and nothing after it."""
    for _ in range(200):
        subscriber = Subscriber()
        outlet = Outlet[int](subscriber, subscriber.leave)
        gate = threading.Barrier(3)

        def send(outlet: Outlet[int] = outlet, gate: threading.Barrier = gate) -> None:
            gate.wait(PATIENCE)
            for number in range(20):
                outlet.on_next(number)
            outlet.end()

        threads = [threading.Thread(target=send) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)

        assert subscriber.received.count("completed") == 1
        assert subscriber.received[-1] == "completed"
        assert not subscriber.overlapped


# Subscribers that raise, and that leave.


@pytest.mark.parametrize("send", [Outlet[str].on_next, Outlet[str].pass_on, Outlet[str].put])
def test_failing_subscriber(send: Callable[[Outlet[str], str], None]) -> None:
    """A subscriber that raises receives its error instead of what waits; the source is disposed."""

    def fail(_: str) -> None:
        outlet.put("b")
        raise MINE

    subscriber = Subscriber(fail)
    outlet = Outlet[str](subscriber, subscriber.leave)
    send(outlet, "a")
    outlet.flush()
    outlet.on_next("c")
    outlet.end()

    assert subscriber.received == ["a", MINE]
    assert subscriber.left


@pytest.mark.parametrize("kind", ENDING)
@pytest.mark.parametrize("send", [Outlet[str].on_next, Outlet[str].pass_on])
def test_ended_by_its_subscriber(send: Callable[[Outlet[str], str], None], kind: type[BaseException]) -> None:
    """What ends a program goes on to the caller, and the subscriber receives a `RuntimeError`."""

    def fail(_: str) -> None:
        raise kind

    subscriber = Subscriber(fail)
    outlet = Outlet[str](subscriber, subscriber.leave)
    with pytest.raises(kind) as raised:
        send(outlet, "a")
    outlet.on_next("b")

    _, error = subscriber.received
    assert isinstance(error, RuntimeError)
    assert error.__cause__ is raised.value


@pytest.mark.parametrize("waits", [False, True])
def test_leaving_within_an_emission(waits: bool) -> None:
    """A subscriber that leaves receives nothing more: no item that waits, and no end."""

    def leave(letter: str) -> None:
        outlet.on_next(letter.upper())
        outlet.end()
        outlet.close()

    subscriber = Subscriber(leave)
    outlet = Outlet[str](subscriber, subscriber.leave)
    if waits:
        outlet.put("a", "b")
        outlet.flush()
    else:
        outlet.on_next("a")
    outlet.on_next("c")

    assert subscriber.received == ["a"]
    assert subscriber.left


def test_leaving_drops_what_waits() -> None:
    """Closing drops what waits, and may be repeated."""
    subscriber = Subscriber()
    outlet = Outlet[str](subscriber, subscriber.leave)
    outlet.put("a")
    outlet.put_end()
    outlet.close()
    outlet.close()
    outlet.flush()

    assert subscriber.received == []
    assert not outlet.is_free


def test_failing_from_outside() -> None:
    """An operator that cannot go on drops what waits, an end included, and ends with its error."""
    subscriber = Subscriber()
    outlet = Outlet[str](subscriber, subscriber.leave)
    outlet.put("a")
    outlet.put_end()
    outlet.fail(LOST)

    assert subscriber.received == [LOST]


def test_failing_from_outside_within_an_emission() -> None:
    """Such an error waits for its turn as well, and the source is disposed at once."""

    def each(_: str) -> None:
        outlet.on_next("b")
        outlet.fail(LOST)
        assert subscriber.left == 1
        assert subscriber.received == ["a"]

    subscriber = Subscriber(each)
    outlet = Outlet[str](subscriber, subscriber.leave)
    outlet.on_next("a")

    assert subscriber.received == ["a", LOST]


# Against a model.


@given(
    st.lists(st.sampled_from(["on_next", "pass_on", "put", "flush", "end", "put_end", "fail", "close"]), max_size=12)
)
def test_model(steps: list[str]) -> None:
    """On one thread every sequence of calls does what a plain queue does."""
    subscriber = Subscriber()
    outlet = Outlet[int](subscriber, subscriber.leave)
    waiting: list[object] = []
    expected: list[object] = []
    ended = over = False
    for number, step in enumerate(steps):
        if step in {"on_next", "pass_on", "put"}:
            getattr(outlet, step)(number)
            waiting += [] if ended else [number]
        elif step == "fail":
            outlet.fail(LOST)
            waiting = [] if over else [LOST]
            ended = True
        else:
            getattr(outlet, step)()
            if step == "close":
                waiting, ended, over = [], True, True
            elif step in {"end", "put_end"}:
                waiting += [] if ended else ["completed"]
                ended = True
        if step not in {"put", "put_end"}:
            over = over or ended
            expected += waiting
            waiting = []

    assert subscriber.received == expected
