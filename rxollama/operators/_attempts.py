"""
One source after another, until one of them answers.

Chunks cannot be taken back. So another source is asked only while nothing of an answer was delivered, and whatever a
source sends ahead of its answer is held back until it is known whose answer it will be: downstream sees the chunks
of one source, all of them and in order.
"""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable

from .._invalid_value import invalid_value
from ..messages import ChatChunk
from ._ending import emit_and_end

__all__ = ("Attempts", "check_predicate", "check_source", "is_answer", "note", "words_of")


def is_answer(chunk: ChatChunk) -> bool:
    """Tell whether an answer begins with a chunk, if it has not: there is something to see, or it is over already."""
    return chunk.visible or chunk.done


def words_of(error: Exception) -> str:
    """Tell an error in one line."""
    return f"{type(error).__name__}: {error}"


def note(error: Exception, words: str) -> None:
    """Add a note to an error, unless it has it: a source may raise the same error every time."""
    if words not in getattr(error, "__notes__", ()):
        error.add_note(words)


def check_source(name: str, source: object) -> None:
    """Refuse what cannot be subscribed to."""
    if not isinstance(source, Observable):
        raise invalid_value(name, source, "an observable of chunks, such as ollama.chat(...)", show=False)


def check_predicate(name: str, predicate: object) -> None:
    """Refuse what cannot be asked."""
    if predicate is not None and not callable(predicate):
        raise invalid_value(name, predicate, "a function from an error to True or False", show=False)


class Attempts:
    """
    Drive one subscription from source to source; one at a time, so that no lock is needed.

    Args:
        observer: The subscriber.
        scheduler: The subscriber's scheduler, for every source.
        name: What to call an attempt in the notes of the last error.
        follow: Tells from an error what to subscribe to next, or None for nothing; asked only while there was nothing
            of an answer.
    """

    def __init__(
        self,
        observer: abc.ObserverBase[ChatChunk],
        scheduler: abc.SchedulerBase | None,
        name: str,
        follow: Callable[[Exception], Observable[ChatChunk] | None],
    ) -> None:
        self._observer = observer
        self._scheduler = scheduler
        self._name = name
        self._follow = follow
        self._answered = False
        self._held: list[ChatChunk] = []
        self._failures: list[str] = []
        self.current = SerialDisposable()

    def begin(self, source: Observable[ChatChunk]) -> None:
        """Subscribe to a source in place of the one before."""
        if self.current.is_disposed:
            return
        # A source may fail, and be followed by the next, before its own subscription can be put into its place.
        place = SingleAssignmentDisposable()
        self.current.disposable = place
        place.disposable = source.subscribe(
            self._on_next, self._on_error, self._on_completed, scheduler=self._scheduler
        )

    def _on_next(self, chunk: ChatChunk) -> None:
        if self._answered:
            self._observer.on_next(chunk)
        elif is_answer(chunk):
            self._answered = True
            for one in (*self._held_back(), chunk):
                self._observer.on_next(one)
        else:
            self._held.append(chunk)

    def _on_completed(self) -> None:
        emit_and_end(self._observer, self._held_back())

    def _on_error(self, error: Exception) -> None:
        following = None
        if not self._answered:
            try:
                following = self._follow(error)
            except Exception as raised:  # noqa: BLE001 - A caller's function may raise what it likes.
                self._failed(error)
                error = raised
        if following is None:
            self._fail(error)
        else:
            self._failed(error)
            self._held_back()
            self.begin(following)

    def _failed(self, error: Exception) -> None:
        self._failures.append(f"{self._name} {len(self._failures) + 1} failed: {words_of(error)}")

    def _fail(self, error: Exception) -> None:
        for failure in self._failures:
            note(error, failure)
        emit_and_end(self._observer, self._held_back(), error)

    def _held_back(self) -> list[ChatChunk]:
        held, self._held = self._held, []
        return held
