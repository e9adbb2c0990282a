"""How an operator ends a subscription whose subscriber may raise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from reactivex import abc
from reactivex.observer import Observer

from rxollama._runtime import emit_and_end, end_failed, end_safely

LOST = ConnectionError("lost")
MINE = KeyError("mine")


def raising(*_: object) -> None:
    """Raise, as a callback may."""
    raise MINE


class Notes(abc.ObserverBase[Any]):
    """A subscriber that records what it receives, also after its end."""

    def __init__(self, on_next: Callable[[Any], None] | None = None) -> None:
        self.heard: list[Any] = []
        self._take = on_next or self.heard.append

    def on_next(self, value: Any) -> None:
        """Record an item."""
        self._take(value)

    def on_error(self, error: Exception) -> None:
        """Record an error."""
        self.heard.append(error)

    def on_completed(self) -> None:
        """Record a completion."""
        self.heard.append("completed")


def test_end_completes() -> None:
    """Without an error a subscription completes."""
    notes = Notes()
    end_safely(notes)

    assert notes.heard == ["completed"]


def test_end_errs() -> None:
    """With an error the subscriber receives it."""
    notes = Notes()
    end_safely(notes, LOST)

    assert notes.heard == [LOST]


def test_end_that_fails(reported: Callable[[], list[BaseException]]) -> None:
    """What a callback for the end raises is reported, and not raised."""
    end_safely(Observer[Any](on_completed=raising))
    end_safely(Observer[Any](on_error=raising), LOST)

    assert reported() == [MINE, MINE]


def test_end_without_handler(reported: Callable[[], list[BaseException]]) -> None:
    """An error without a handler is reported, unless that is declined."""
    end_safely(Observer[Any](), LOST)
    end_safely(Observer[Any](), LOST, quietly=True)

    assert reported() == [LOST]


def test_report(caplog: pytest.LogCaptureFixture) -> None:
    """A report says what is wrong, what to do, and shows the user's lines only."""
    error = ConnectionError("lost")
    end_safely(Observer[Any](), error)
    end_safely(Observer[Any](on_error=raising), LOST)

    assert [record.message for record in caplog.records] == [
        "unhandled error in a stream: pass on_error= to subscribe()",
        "the on_error or on_completed callback of a stream raised",
    ]
    assert error.__traceback__ is None


@pytest.mark.parametrize(
    ("raised", "told", "reports"),
    [
        (MINE, "mine", 1),
        (SystemExit(), "the stream was ended by SystemExit", 0),
        (KeyboardInterrupt(), "the stream was ended by KeyboardInterrupt", 0),
        (GeneratorExit(), "the stream was ended by GeneratorExit", 1),
        (asyncio.CancelledError(), "the stream was ended by CancelledError", 1),
    ],
)
def test_end_failed(
    raised: BaseException, told: str, reports: int, reported: Callable[[], list[BaseException]]
) -> None:
    """What a subscriber raised for an item is its own end; what ends a program becomes a `RuntimeError`."""
    notes = Notes()
    end_failed(notes, raised)
    end_failed(Observer[Any](), raised)

    (error,) = notes.heard
    assert told in str(error)
    assert raised in {error, error.__cause__}
    assert len(reported()) == reports


async def test_end_on_a_loop() -> None:
    """On a loop the report goes to the loop's exception handler."""
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
    """A subscriber that raises for a last item receives its own error, and no other end."""
    notes = Notes(raising)
    emit_and_end(notes, "ab", error)

    assert notes.heard == [MINE]


@pytest.mark.parametrize("error", [None, LOST])
def test_finish_that_ends_the_program(error: Exception | None) -> None:
    """A subscriber that ends the program for a last item receives a `RuntimeError`; the exception goes on."""

    def leave(_: str) -> None:
        raise SystemExit

    notes = Notes(leave)
    with pytest.raises(SystemExit) as raised:
        emit_and_end(notes, "ab", error)

    assert [each.__cause__ for each in notes.heard] == [raised.value]


def test_finish_with_a_failing_end() -> None:
    """What a callback for the end raises reaches the source."""
    with pytest.raises(KeyError, match="mine"):
        emit_and_end(Observer(on_completed=raising), "a")
    with pytest.raises(KeyError, match="mine"):
        emit_and_end(Observer(on_error=raising), "a", LOST)


def test_finish_of_one_who_leaves() -> None:
    """A subscriber that leaves during the last items receives no more of them, and no end."""

    def leave(item: str) -> None:
        notes.heard.append(item)
        observer.dispose()

    notes = Notes(leave)
    observer = Observer(notes.on_next, notes.on_error, notes.on_completed)
    emit_and_end(observer, "abc")

    assert notes.heard == ["a"]
