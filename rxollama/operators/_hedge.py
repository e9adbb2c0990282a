"""A second source, in case that the first is slow."""

from __future__ import annotations

import threading

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from .._runtime import Operator, Stream, chunks_of
from ..messages import ChatChunk
from ._attempts import check_source, is_answer, note, words_of
from ._ending import emit_and_end
from ._timing.clock import Clock, clock_of, given_clock
from ._timing.timer import Timer, check_seconds

__all__ = ("hedge",)


def hedge(
    other: Observable[ChatChunk], *, after: float, scheduler: abc.SchedulerBase | None = None
) -> Operator[ChatChunk, ChatChunk]:
    """
    Start a second source when the first is silent, and take the one that begins to answer first.

    The answer is the winner's from its first chunk to its end; the loser's request is closed at once, and nothing of
    it comes out. Chunks with nothing to see (no thinking, content or tool call) are held back until there is a
    winner; a `done` chunk wins, and so does an end without one. Two requests at the same server mostly wait for each
    other there, so that *other* is best another host, or a model that is loaded already.

    .. marbles::

        ------a-|
        hedge(other, after=2)
        ----b-c-|

        a = ChatChunk(message=Message("assistant", "late"))
        b = ChatChunk(message=Message("assistant", "Hello"))
        c = ChatChunk(message=Message("assistant"), done=True)
        other = reactivex.from_marbles("--b-c-|", timespan=1.0, lookup={"b": b, "c": c})

    Args:
        other: The second source. It is subscribed when there is nothing to see of the first after so many seconds,
            and at once when the first fails before.
        after: Seconds from the subscription; 0 starts both together.
        scheduler: The clock. None takes the subscriber's scheduler, else the loop that the stream lives on.

    Returns:
        The operator.

    Raises:
        InvalidValueError: At this call, when *other* is no observable or *after* is no number of seconds.

    Completes: with the winner.
    Errors: with the winner; when both fail before they answer, with the first one's error, after what was held back of
        it; the other's is told in its notes.
    Disposed: both are disposed, and the timer is cancelled.

    .. versionadded:: 0.1
    """
    check_source("other", other)
    check_seconds("after", after, zero=True)

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "hedge()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler_: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            race = _Race(observer, other, scheduler_, given_clock(scheduler, scheduler_) or clock_of(None))
            race.begin(source, after)
            return Disposable(race.dispose)

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


class _Race:
    """
    Drive one subscription: two runners, on whichever threads, of which one wins.

    Nothing is called downstream while the lock is held; only who has won calls it, or who failed last.
    """

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
        self._timer = Timer(clock)
        self._lock = threading.Lock()
        self._first, self._second = _Runner(self, observer), _Runner(self, observer)
        self._has_second = self._decided = False

    def begin(self, source: Observable[ChatChunk], after: float) -> None:
        """Start the first runner, and the second when it is time."""
        self._timer.set(self._clock.now() + after, self._begin_second)
        self._first.run(source, self._scheduler)

    def _begin_second(self) -> None:
        with self._lock:
            if self._has_second:
                return
            self._has_second = True
        self._second.run(self._other, self._scheduler)

    def wins(self, runner: _Runner) -> bool:
        """Let a runner win, if none has, and close the other's request."""
        with self._lock:
            if self._decided:
                return False
            self._decided = self._has_second = True
        self._timer.put_off()
        loser = self._second if runner is self._first else self._first
        loser.place.dispose()
        return True

    def fails(self, runner: _Runner, error: Exception) -> None:
        """Take notice that a runner failed before it answered."""
        with self._lock:
            if self._decided:
                return
            runner.error = error
            first, second = self._first.error, self._second.error
            self._decided = first is not None and second is not None
        if first is not None and second is not None:
            note(first, f"the hedge failed, too: {words_of(second)}")
            self._first.end(first)
        elif first is not None:
            self._timer.put_off()
            self._begin_second()

    def dispose(self) -> None:
        """Dispose both, and let nothing else begin."""
        with self._lock:
            self._decided = self._has_second = True
        self._timer.put_off()
        self._first.place.dispose()
        self._second.place.dispose()


class _Runner:
    """Be one of the two subscriptions."""

    def __init__(self, race: _Race, observer: abc.ObserverBase[ChatChunk]) -> None:
        self._race = race
        self._observer = observer
        self._held: list[ChatChunk] = []
        self._won = False
        self.error: Exception | None = None
        self.place = SingleAssignmentDisposable()

    def run(self, source: Observable[ChatChunk], scheduler: abc.SchedulerBase | None) -> None:
        """Subscribe."""
        self.place.disposable = source.subscribe(self._on_next, self._on_error, self._on_completed, scheduler=scheduler)

    def _on_next(self, chunk: ChatChunk) -> None:
        if self._won:
            self._observer.on_next(chunk)
        elif not is_answer(chunk):
            self._held.append(chunk)
        elif self._race.wins(self):
            self._won = True
            for one in (*self._held_back(), chunk):
                self._observer.on_next(one)

    def _on_completed(self) -> None:
        if self._won or self._race.wins(self):
            self.end()

    def _on_error(self, error: Exception) -> None:
        if self._won:
            self._observer.on_error(error)
        else:
            self._race.fails(self, error)

    def end(self, error: Exception | None = None) -> None:
        """End for the subscriber, after what is held back."""
        emit_and_end(self._observer, self._held_back(), error)

    def _held_back(self) -> list[ChatChunk]:
        held, self._held = self._held, []
        return held
