"""The one timer of a guarded subscription rings once, at the first of the moments it was set to."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from rxollama.operators._timing.timer import Timer


class Hand:
    """Be a clock that a test moves by hand, and that notes what it is asked for."""

    def __init__(self) -> None:
        self.time = 100.0
        self.asked: list[tuple[float, Callable[[], None]]] = []
        self.cancelled: list[int] = []
        self.on_asked: Callable[[], object] | None = None

    def now(self) -> float:
        """Tell the time."""
        return self.time

    def is_here(self) -> bool:
        """Tell that this is the place."""
        return True

    def after(self, seconds: float, action: Callable[[], None]) -> Callable[[], object]:
        """Note what is to be done."""
        place = len(self.asked)
        self.asked.append((seconds, action))
        if self.on_asked is not None:
            self.on_asked()
        return lambda: self.cancelled.append(place)

    def ring(self, place: int) -> None:
        """Do what was asked for, as the clock would, whether it was cancelled or not."""
        self.asked[place][1]()


@pytest.fixture
def clock() -> Hand:
    """Make a clock."""
    return Hand()


@pytest.fixture
def rung() -> list[str]:
    """Make a list of what a timer did."""
    return []


def test_rings(clock: Hand, rung: list[str]) -> None:
    """A timer does what it was set to, once."""
    Timer(clock).set(105, lambda: rung.append("a"))
    clock.ring(0)
    clock.ring(0)

    assert [seconds for seconds, _ in clock.asked] == [5]
    assert rung == ["a"]


def test_later_changes_nothing(clock: Hand, rung: list[str]) -> None:
    """A timer that is set to ring is not set to ring later."""
    timer = Timer(clock)
    timer.set(105, lambda: rung.append("a"))
    timer.set(106, lambda: rung.append("b"))
    timer.set(math.inf, lambda: rung.append("c"))
    clock.ring(0)

    assert len(clock.asked) == 1
    assert rung == ["a"]


def test_sooner_takes_its_place(clock: Hand, rung: list[str]) -> None:
    """A timer that is set to ring sooner calls off the former, which rings no more even if it is too late for that."""
    timer = Timer(clock)
    timer.set(105, lambda: rung.append("a"))
    timer.set(103, lambda: rung.append("b"))
    clock.ring(0)
    clock.ring(1)

    assert clock.cancelled == [0]
    assert rung == ["b"]


def test_set_anew(clock: Hand, rung: list[str]) -> None:
    """A timer that rang can be set again, also by what it did."""
    timer = Timer(clock)
    timer.set(105, lambda: timer.set(110, lambda: rung.append("b")))
    clock.time = 105
    clock.ring(0)
    clock.ring(1)

    assert [seconds for seconds, _ in clock.asked] == [5, 5]
    assert rung == ["b"]


def test_put_off(clock: Hand, rung: list[str]) -> None:
    """A timer that is put off neither rings nor can be set again."""
    timer = Timer(clock)
    timer.set(105, lambda: rung.append("a"))
    timer.put_off()
    clock.ring(0)
    timer.set(101, lambda: rung.append("b"))

    assert clock.cancelled == [0]
    assert len(clock.asked) == 1
    assert rung == []


def test_put_off_while_it_is_set(clock: Hand, rung: list[str]) -> None:
    """A timer that is put off by another thread, just as it is being set, is called off."""
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
