"""
One source after another, until one of them answers: what `retry` and `fallback` share.

The law: downstream receives the chunks of one source, all of them and in order, however many sources were tried.
Chunks cannot be taken back, so the next source is subscribed only while nothing visible was delivered. Chunks without
anything to see, which a source may send ahead of its answer, are held back until the answer begins, and are dropped if
the source fails before.

The alternatives: reactivex's `retry` and `catch` deliver the beginning of every attempt, so a user reads two
beginnings. Holding back whole answers would be right too, but nothing would stream.

An attempt begins only after the one before has ended, so calls never overlap and no lock is needed.
"""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable

from .._checks import check_callable
from .._runtime import Sink, batch_path
from ..messages import ChatChunk, ChunkBatch
from ._ending import emit_and_end

__all__ = ("Attempts", "add_note", "check_predicate", "describe", "is_answer")


def is_answer(chunk: ChatChunk) -> bool:
    """Return whether an answer begins with this chunk at the latest: it is visible, or the message is done."""
    return chunk.visible or chunk.done


def describe(error: Exception) -> str:
    """Return an error's type and message in one line."""
    return f"{type(error).__name__}: {error}"


def add_note(error: Exception, text: str) -> None:
    """Add a note to an error that does not have it yet: a source may raise the same error every time."""
    if text not in getattr(error, "__notes__", ()):
        error.add_note(text)


def check_predicate(field: str, predicate: object) -> None:
    """Raise `InvalidValueError` if *predicate* is neither a function nor None."""
    if predicate is not None:
        check_callable(field, predicate, "a function from an error to a bool")


class Attempts:
    """
    The attempts of one subscription.

    Args:
        observer: The subscriber.
        scheduler: The subscriber's scheduler, which every source gets.
        name: The name of an attempt in the notes of the last error.
        follow: A function from an error to the next source, or to None for none. It is called only while nothing
            visible was delivered.
    """

    def __init__(
        self,
        observer: abc.ObserverBase[ChatChunk],
        scheduler: abc.SchedulerBase | None,
        name: str,
        follow: Callable[[Exception], Observable[ChatChunk] | None],
    ) -> None:
        self._observer = observer
        self._ready, self._absorb = batch_path(observer)
        self._scheduler = scheduler
        self._name = name
        self._follow = follow
        self._has_answered = False
        self._held: list[ChatChunk] = []
        self._failures: list[str] = []
        self.current = SerialDisposable()
        """The subscription of the current source."""

    def begin(self, source: Observable[ChatChunk]) -> None:
        """Subscribe to a source, instead of the one before."""
        if self.current.is_disposed:
            return
        # A source may fail, and the next be subscribed, before `subscribe` returns.
        place = SingleAssignmentDisposable()
        self.current.disposable = place
        sink = Sink(self._on_next, self._on_error, self._on_completed, self._is_ready, self._absorb)
        place.disposable = source.subscribe(sink, scheduler=self._scheduler)

    def _on_next(self, chunk: ChatChunk) -> None:
        if self._has_answered:
            self._observer.on_next(chunk)
        elif is_answer(chunk):
            self._has_answered = True
            for each in (*self._take_held(), chunk):
                self._observer.on_next(each)
        else:
            self._held.append(chunk)

    def _is_ready(self, batch: ChunkBatch) -> bool:
        return self._has_answered and self._ready(batch)

    def _on_completed(self) -> None:
        emit_and_end(self._observer, self._take_held())

    def _on_error(self, error: Exception) -> None:
        following = None
        if not self._has_answered:
            try:
                following = self._follow(error)
            except Exception as raised:  # noqa: BLE001 - A caller's function may raise anything.
                self._add_failure(error)
                error = raised
        if following is None:
            for failure in self._failures:
                add_note(error, failure)
            emit_and_end(self._observer, self._take_held(), error)
        else:
            self._add_failure(error)
            self._held.clear()
            self.begin(following)

    def _add_failure(self, error: Exception) -> None:
        self._failures.append(f"{self._name} {len(self._failures) + 1} failed: {describe(error)}")

    def _take_held(self) -> list[ChatChunk]:
        held, self._held = self._held, []
        return held
