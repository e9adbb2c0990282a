"""
The operator `hedge`.

The law: downstream receives the chunks of one of two sources, all of them and in order, whichever answers first. The
two may run on different threads, so one lock decides once who wins; nothing is called downstream under it. After that
only the winner calls downstream, so calls cannot overlap without a lock around them.

The alternatives: reactivex's `amb` lets the first notification win, but an empty first chunk or an error is not an
answer. A lock around every call downstream would block one source's thread during the other's callbacks.
"""

from __future__ import annotations

import threading
from datetime import timedelta

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from .._checks import check_seconds
from .._runtime import Operator, Sink, Stream, add_note, batch_path, chunks_of, describe, emit_and_end, is_answer
from ..messages import ChatChunk, ChunkBatch
from ._timing.clock import Clock, clock_of, given_clock
from ._timing.timer import Timer

__all__ = ("hedge",)


def hedge(
    other: Observable[ChatChunk], *, after: float | timedelta, scheduler: abc.SchedulerBase | None = None
) -> Operator[ChatChunk, ChatChunk]:
    """
    Start a second source if the first is silent, and use the one that answers first.

    All chunks are the winner's. The loser's request is closed at once, and nothing of it is emitted. Chunks with
    nothing to see (no thinking, content or tool call) are held back until there is a winner. A `done` chunk wins, and
    so does a completion. Two requests to one server mostly wait for each other there, so *other* is best another
    host, or a model that is already loaded.

    .. marbles::

        ------a-|
        hedge(other, after=2)
        ----b-c-|

        a = ChatChunk(message=Message("assistant", "late"))
        b = ChatChunk(message=Message("assistant", "Hello"))
        c = ChatChunk(message=Message("assistant"), done=True)
        other = reactivex.from_marbles("--b-c-|", timespan=1.0, lookup={"b": b, "c": c})

    Args:
        other: The second source. It is subscribed if nothing visible has come from the first in time, and at once if
            the first fails before.
        after: The time from the subscription to the second source, in seconds or as a `timedelta`; 0 starts both
            together.
        scheduler: The clock. The default is the subscriber's scheduler, or else the loop on which the stream lives.

    Returns:
        An operator from a chat to a chat.

    Raises:
        InvalidValueError: If *other* does not carry chunks, or *after* is not a time; in `pipe`, if the source does not
            carry chunks.

    Completes: with the winner.
    Errors: with the winner. If both fail before they answer: with the first one's error, after the chunks of it that
        were held back; the other's error is in its notes.
    Disposed: both sources are disposed, and the timer is cancelled.

    .. versionadded:: 0.1
    """
    second = chunks_of(other, "other")
    seconds = check_seconds("after", after, zero=True)

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "hedge()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler_: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            race = _Race(observer, second, scheduler_, given_clock(scheduler, scheduler_) or clock_of(None))
            race.begin(source, seconds)
            return Disposable(race.dispose)

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


class _Race:
    """The two sources of one subscription, of which one wins."""

    def __init__(
        self,
        observer: abc.ObserverBase[ChatChunk],
        other: Observable[ChatChunk],
        scheduler: abc.SchedulerBase | None,
        clock: Clock,
    ) -> None:
        self._observer = observer
        self._other = other
        self._scheduler = scheduler
        self._clock = clock
        self._timer = Timer(clock, self._begin_second)
        self._lock = threading.Lock()
        self._first, self._second = _Runner(self, observer), _Runner(self, observer)
        # Whether the second source was subscribed, or must not be any more; and whether there is a winner or an end.
        self._has_second = self._is_decided = False

    def begin(self, source: Observable[ChatChunk], after: float) -> None:
        """Subscribe to the first source now, and to the second one later."""
        self._timer.set(self._clock.now() + after)
        self._first.run(source, self._scheduler)

    def _begin_second(self) -> None:
        with self._lock:
            if self._has_second:
                return
            self._has_second = True
        self._second.run(self._other, self._scheduler)

    def wins(self, runner: _Runner) -> bool:
        """Return whether a runner that answers is the first to do so; if it is, dispose the other."""
        with self._lock:
            if self._is_decided:
                return False
            self._is_decided = self._has_second = True
        self._timer.put_off()
        loser = self._second if runner is self._first else self._first
        loser.place.dispose()
        return True

    def fails(self, runner: _Runner, error: Exception) -> None:
        """Record that a runner failed before it answered; end if both did, else start the second."""
        with self._lock:
            if self._is_decided:
                return
            runner.error = error
            first, second = self._first.error, self._second.error
            self._is_decided = first is not None and second is not None
        if first is not None and second is not None:
            add_note(first, f"the hedge failed, too: {describe(second)}")
            self._first.end(first)
        elif first is not None:
            self._timer.put_off()
            self._begin_second()

    def dispose(self) -> None:
        """Dispose both sources and cancel the timer."""
        with self._lock:
            self._is_decided = self._has_second = True
        self._timer.put_off()
        self._first.place.dispose()
        self._second.place.dispose()


class _Runner:
    """One of the two subscriptions of a race."""

    def __init__(self, race: _Race, observer: abc.ObserverBase[ChatChunk]) -> None:
        self._race = race
        self._observer = observer
        self._ready_below, self._absorb = batch_path(observer)
        self._held: list[ChatChunk] = []
        self._has_won = False
        self.error: Exception | None = None
        self.place = SingleAssignmentDisposable()

    def run(self, source: Observable[ChatChunk], scheduler: abc.SchedulerBase | None) -> None:
        """Subscribe to the source."""
        sink = Sink(self._on_next, self._on_error, self._on_completed, self._is_ready, self._absorb)
        self.place.disposable = source.subscribe(sink, scheduler=scheduler)

    def _on_next(self, chunk: ChatChunk) -> None:
        if self._has_won:
            self._observer.on_next(chunk)
        elif not is_answer(chunk):
            self._held.append(chunk)
        elif self._race.wins(self):
            self._has_won = True
            for each in (*self._take_held(), chunk):
                self._observer.on_next(each)

    def _is_ready(self, batch: ChunkBatch) -> bool:
        return self._has_won and self._ready_below(batch)

    def _on_completed(self) -> None:
        if self._has_won or self._race.wins(self):
            self.end()

    def _on_error(self, error: Exception) -> None:
        if self._has_won:
            self._observer.on_error(error)
        else:
            self._race.fails(self, error)

    def end(self, error: Exception | None = None) -> None:
        """End the subscription, after the chunks that are held back."""
        emit_and_end(self._observer, self._take_held(), error)

    def _take_held(self) -> list[ChatChunk]:
        held, self._held = self._held, []
        return held
