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
        self.asked: list[tuple[float, Callable[[], None]]] = []
        self.cancelled: list[int] = []
        self.on_asked: Callable[[], object] | None = None

    def now(self) -> float:
        """Return the time that the test sets."""
        return self.time

    def is_here(self) -> bool:
        """Return True: every thread may emit."""
        return True

    def after(self, seconds: float, action: Callable[[], None]) -> Callable[[], object]:
        """Record what is to be done."""
        place = len(self.asked)
        self.asked.append((seconds, action))
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
def rung() -> list[str]:
    """Return a list of what a timer did."""
    return []


def test_rings(clock: Hand, rung: list[str]) -> None:
    """A timer does once what it was set to do."""
    timer = Timer(clock)
    states = [timer.is_set]
    timer.set(105, lambda: rung.append("a"))
    states.append(timer.is_set)
    clock.ring(0)
    clock.ring(0)
    states.append(timer.is_set)

    assert states == [False, True, False]
    assert [seconds for seconds, _ in clock.asked] == [5]
    assert rung == ["a"]


def test_later_changes_nothing(clock: Hand, rung: list[str]) -> None:
    """Setting a timer to a later moment has no effect."""
    timer = Timer(clock)
    timer.set(105, lambda: rung.append("a"))
    timer.set(106, lambda: rung.append("b"))
    timer.set(math.inf, lambda: rung.append("c"))
    clock.ring(0)

    assert len(clock.asked) == 1
    assert rung == ["a"]


def test_sooner_takes_its_place(clock: Hand, rung: list[str]) -> None:
    """Setting a timer to an earlier moment cancels the former one, which has no effect if it fires all the same."""
    timer = Timer(clock)
    timer.set(105, lambda: rung.append("a"))
    timer.set(103, lambda: rung.append("b"))
    clock.ring(0)
    clock.ring(1)

    assert clock.cancelled == [0]
    assert rung == ["b"]


def test_set_again(clock: Hand, rung: list[str]) -> None:
    """A timer that fired can be set again, also by its own action."""
    timer = Timer(clock)
    timer.set(105, lambda: timer.set(110, lambda: rung.append("b")))
    clock.time = 105
    clock.ring(0)
    clock.ring(1)

    assert [seconds for seconds, _ in clock.asked] == [5, 5]
    assert rung == ["b"]


def test_put_off(clock: Hand, rung: list[str]) -> None:
    """A timer that is put off neither fires nor can be set again."""
    timer = Timer(clock)
    timer.set(105, lambda: rung.append("a"))
    timer.put_off()
    clock.ring(0)
    timer.set(101, lambda: rung.append("b"))

    assert clock.cancelled == [0]
    assert len(clock.asked) == 1
    assert not timer.is_set
    assert rung == []


def test_put_off_while_it_is_set(clock: Hand, rung: list[str]) -> None:
    """A timer that is put off while it is being set is cancelled."""
    timer = Timer(clock)
    clock.on_asked = timer.put_off
    timer.set(105, lambda: rung.append("a"))
    clock.ring(0)

    assert clock.cancelled == [0]
    assert rung == []


def test_failing(clock: Hand, reported: Callable[[], list[BaseException]]) -> None:
    """What a timer's action raises is reported."""
    mine = KeyError("mine")

    def action() -> None:
        raise mine

    Timer(clock).set(105, action)
    clock.ring(0)

    assert reported() == [mine]
