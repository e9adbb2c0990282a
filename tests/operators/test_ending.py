"""How a subscription ends whose subscriber may fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from reactivex import abc
from reactivex.observer import Observer

from rxollama.operators._ending import emit_and_end, end_safely

LOST = ConnectionError("lost")
MINE = KeyError("mine")


def raising(*_: object) -> None:
    """Fail, as a callback may."""
    raise MINE


@pytest.fixture
def reported(caplog: pytest.LogCaptureFixture) -> Callable[[], list[BaseException]]:
    """Tell which errors were told to nobody in particular, on a loop or away from it."""

    def told() -> list[BaseException]:
        records = [record for record in caplog.records if record.name in {"asyncio", "rxollama"}]
        return [record.exc_info[1] for record in records if record.exc_info and record.exc_info[1]]

    return told


class Notes(abc.ObserverBase[Any]):
    """Note what a subscriber hears, also after its end."""

    def __init__(self, on_next: Callable[[Any], None] | None = None) -> None:
        self.heard: list[Any] = []
        self._take = on_next or self.heard.append

    def on_next(self, value: Any) -> None:
        """Note an item."""
        self._take(value)

    def on_error(self, error: Exception) -> None:
        """Note an error."""
        self.heard.append(error)

    def on_completed(self) -> None:
        """Note a completion."""
        self.heard.append("completed")


def test_end_completes() -> None:
    """Without an error a subscription completes."""
    notes = Notes()
    end_safely(notes)

    assert notes.heard == ["completed"]


def test_end_errs() -> None:
    """With an error the subscriber is told of it."""
    notes = Notes()
    end_safely(notes, LOST)

    assert notes.heard == [LOST]


def test_end_that_fails(reported: Callable[[], list[BaseException]]) -> None:
    """What a subscriber raises at its end is reported, and raised to nobody."""
    end_safely(Observer[Any](on_completed=raising))
    end_safely(Observer[Any](on_error=raising), LOST)

    assert reported() == [MINE, MINE]


def test_end_without_handler(reported: Callable[[], list[BaseException]]) -> None:
    """An error that nobody handles is reported."""
    end_safely(Observer[Any](), LOST)

    assert reported() == [LOST]


async def test_end_on_a_loop() -> None:
    """On a loop it is the loop's exception handler that hears of it."""
    contexts: list[dict[str, Any]] = []

    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        contexts.append(context)

    asyncio.get_running_loop().set_exception_handler(note)
    end_safely(Observer[Any](), LOST)

    assert [context["exception"] for context in contexts] == [LOST]


@pytest.mark.parametrize("error", [None, LOST])
def test_finish(error: Exception | None) -> None:
    """The last items come before the end."""
    notes = Notes()
    emit_and_end(notes, "ab", error)

    assert notes.heard == ["a", "b", error or "completed"]


@pytest.mark.parametrize("error", [None, LOST])
def test_finish_that_fails(error: Exception | None) -> None:
    """A subscriber that fails on a last item is told of its own error, and of no other end."""
    notes = Notes(raising)
    emit_and_end(notes, "ab", error)

    assert notes.heard == [MINE]


def test_finish_with_a_failing_end() -> None:
    """What a subscriber raises at the end itself reaches the producer."""
    with pytest.raises(KeyError, match="mine"):
        emit_and_end(Observer(on_completed=raising), "a")
    with pytest.raises(KeyError, match="mine"):
        emit_and_end(Observer(on_error=raising), "a", LOST)


def test_finish_of_one_who_leaves() -> None:
    """A subscriber that leaves during the last items hears no more of them, and no end."""

    def leave(item: str) -> None:
        notes.heard.append(item)
        observer.dispose()

    notes = Notes(leave)
    observer = Observer(notes.on_next, notes.on_error, notes.on_completed)
    emit_and_end(observer, "abc")

    assert notes.heard == ["a"]
