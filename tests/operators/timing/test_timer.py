"""A timer fires once, at the earliest of the moments to which it was set."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from rxollama.operators._timing.timer import Timer


class Hand:
    """A clock that a test moves, and that records what it is asked for."""

    def __init__(self) -> None:
        self.time = 100.0
        self.asked: list[tuple[float, Callable[[], object]]] = []
        self.cancelled: list[int] = []
        self.on_asked: Callable[[], object] | None = None

    def now(self) -> float:
        """Return the time that the test sets."""
        return self.time

    def is_here(self) -> bool:
        """Return True: every thread may emit."""
        return True

    def enter_frame(self, _: float, __: Callable[[], object]) -> None:
        """Return None: there are no frames."""

    def at(self, due: float, action: Callable[[], object]) -> Callable[[], object]:
        """Record what is to be done."""
        place = len(self.asked)
        self.asked.append((due, action))
        if self.on_asked is not None:
            self.on_asked()
        return lambda: self.cancelled.append(place)

    def ring(self, place: int) -> None:
        """Do what was asked for, cancelled or not."""
        self.asked[place][1]()


@pytest.fixture
def clock() -> Hand:
    """Return a clock."""
    return Hand()


@pytest.fixture
def rung() -> list[float]:
    """Return a list of the moments at which a timer fired."""
    return []


@pytest.fixture
def timer(clock: Hand, rung: list[float]) -> Timer:
    """Return a timer that records when it fires."""
    return Timer(clock, lambda: rung.append(clock.time))


def test_rings(clock: Hand, timer: Timer, rung: list[float]) -> None:
    """A timer does once what it was made for."""
    states = [timer.is_set]
    timer.set(105)
    states.append(timer.is_set)
    clock.ring(0)
    clock.ring(0)
    states.append(timer.is_set)

    assert states == [False, True, False]
    assert [due for due, _ in clock.asked] == [105]
    assert rung == [100]


def test_later_changes_nothing(clock: Hand, timer: Timer, rung: list[float]) -> None:
    """Setting a timer to a later moment has no effect."""
    timer.set(105)
    timer.set(106)
    timer.set(math.inf)
    clock.ring(0)

    assert len(clock.asked) == 1
    assert rung == [100]


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1,)])
def test_sooner_takes_its_place(clock: Hand, timer: Timer, rung: list[float], order: tuple[int, ...]) -> None:
    """Setting a timer to an earlier moment cancels the former one. It fires once, even if both do."""
    timer.set(105)
    timer.set(103)
    for place in order:
        clock.ring(place)

    assert clock.cancelled == [0]
    assert [due for due, _ in clock.asked] == [105, 103]
    assert rung == [100]


def test_set_again(clock: Hand) -> None:
    """A timer that fired can be set again, also by its own action."""
    rung: list[float] = []

    def action() -> None:
        rung.append(clock.time)
        if len(rung) == 1:
            again.set(110)

    again = Timer(clock, action)
    again.set(105)
    clock.time = 105
    clock.ring(0)
    clock.time = 110
    clock.ring(1)

    assert [due for due, _ in clock.asked] == [105, 110]
    assert rung == [105, 110]


def test_put_off(clock: Hand, timer: Timer, rung: list[float]) -> None:
    """A timer that is put off neither fires nor can be set again."""
    timer.set(105)
    timer.put_off()
    clock.ring(0)
    timer.set(101)

    assert clock.cancelled == [0]
    assert len(clock.asked) == 1
    assert not timer.is_set
    assert rung == []


def test_put_off_while_it_is_set(clock: Hand, timer: Timer, rung: list[float]) -> None:
    """A timer that is put off while it is being set is cancelled."""
    clock.on_asked = timer.put_off
    timer.set(105)
    clock.ring(0)

    assert clock.cancelled == [0]
    assert rung == []


def test_failing(clock: Hand, reported: Callable[[], list[BaseException]]) -> None:
    """What a timer's action raises is reported."""
    mine = KeyError("mine")

    def action() -> None:
        raise mine

    Timer(clock, action).set(105)
    clock.ring(0)

    assert reported() == [mine]
