"""
One source after another, until one of them answers to the end: what `retry`, `fallback` and the client share.

The law: downstream receives the chunks of one source, all of them and in order, however many sources were tried.
Chunks without anything to see, which a source may send ahead of its answer, are held back until the answer begins, and
are dropped if the source fails before. So a source that fails before its answer leaves no trace. If the next source
begins an answer of which something was delivered, the first of its chunks is a restart: downstream drops what it has.
That chunk waits until the answer begins again, so what was delivered stands until something replaces it. A source may
also send the rest of the answer (`Following.how`): its chunks follow without a restart.

The alternatives: reactivex's `retry` and `catch` deliver the beginning of every attempt, so a user reads two
beginnings. Holding back whole answers would be right too, but nothing would stream.

An attempt begins only after the one before has ended, so calls never overlap and no lock is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from msgspec.structs import replace
from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable

from rxollama._checks import check_callable
from rxollama._runtime._batches import Sink, batch_path
from rxollama._runtime._end import emit_and_end
from rxollama.errors import StreamError
from rxollama.messages import ChatChunk, ChatResponse, ChunkBatch, Restart

__all__ = (
    "AfterFirst",
    "Attempts",
    "Following",
    "add_note",
    "check_predicate",
    "describe",
    "is_answer",
)

AfterFirst: TypeAlias = Literal["raise", "restart"]
"""The way to treat an error once something visible was delivered: pass it on, or begin the answer over."""


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


class Following(NamedTuple):
    """The next source, and how it relates to what was delivered."""

    source: Observable[ChatChunk]
    """The source."""
    how: Literal["repeat", "continue"] = "repeat"
    """Whether it begins the answer over, or sends what is missing of it."""


class Attempts:
    """
    The attempts of one subscription.

    Args:
        observer: The subscriber.
        scheduler: The subscriber's scheduler, which every source gets.
        name: The name of an attempt in the notes of the last error.
        follow: A function from an error, and whether something visible of the answer was delivered, to the next source,
            or to None for none.
    """

    def __init__(
        self,
        observer: abc.ObserverBase[ChatChunk],
        scheduler: abc.SchedulerBase | None,
        name: str,
        follow: Callable[[Exception, bool], Following | None],
    ) -> None:
        self._observer = observer
        self._ready, self._absorb = batch_path(observer)
        self._scheduler = scheduler
        self._name = name
        self._follow = follow
        self._has_answered = self._has_delivered = False
        self._held: list[ChatChunk] = []
        self._failures: list[str] = []
        self._restart: Restart | None = None
        self._partial: ChatResponse | None = None
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
            self._has_answered = self._has_delivered = True
            for each in self._begun((*self._take_held(), chunk)):
                self._observer.on_next(each)
        else:
            self._held.append(chunk)

    def _begun(self, chunks: tuple[ChatChunk, ...]) -> tuple[ChatChunk, ...]:
        """Return the chunks with which an attempt begins, the first of them as a restart if it is one."""
        restart, self._restart = self._restart, None
        if restart is None:
            return chunks
        first, *others = chunks or (ChatChunk(),)
        return (replace(first, restart=restart), *others)

    def _is_ready(self, batch: ChunkBatch) -> bool:
        return self._has_answered and self._ready(batch)

    def _on_completed(self) -> None:
        emit_and_end(self._observer, self._begun(self._take_held()))

    def _on_error(self, error: Exception) -> None:
        following = None
        try:
            following = self._follow(error, self._has_delivered)
        except Exception as raised:  # noqa: BLE001 - A caller's function may raise anything.
            self._add_failure(error)
            error = raised
        if following is None:
            self._end(error)
        else:
            self._add_failure(error)
            self._prepare(following, error)
            self.begin(following.source)

    def _prepare(self, following: Following, error: Exception) -> None:
        if self._has_answered:
            self._partial = error.partial if isinstance(error, StreamError) else None
        begins_over = self._has_delivered and following.how == "repeat"
        self._restart = Restart(describe(error), len(self._failures) + 1) if begins_over else None
        self._has_answered = False
        self._held.clear()

    def _end(self, error: Exception) -> None:
        for failure in self._failures:
            add_note(error, failure)
        held = self._take_held()
        if self._has_delivered and not self._has_answered:
            # Nothing was added to what was delivered, so that is what there is.
            held = ()
            if isinstance(error, StreamError):
                error.partial = self._partial
        emit_and_end(self._observer, held, error)

    def _add_failure(self, error: Exception) -> None:
        self._failures.append(f"{self._name} {len(self._failures) + 1} failed: {describe(error)}")

    def _take_held(self) -> tuple[ChatChunk, ...]:
        held = tuple(self._held)
        self._held.clear()
        return held
