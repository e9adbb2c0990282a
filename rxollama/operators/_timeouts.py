"""How long a stream may take to begin, to go on, and to end."""

from __future__ import annotations

import math
import threading

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from .._invalid_value import invalid_value
from .._runtime import Operator, Stream, chunks_of
from ..errors import StreamTimeoutError
from ..messages import ChatChunk, ResponseBuilder
from ._attempts import is_answer
from ._ending import end_safely
from ._timing.clock import Clock, clock_of, given_clock
from ._timing.timer import EARLY, Timer, check_seconds

__all__ = ("timeouts",)


def timeouts(
    *,
    first_chunk: float | None = None,
    gap: float | None = None,
    total: float | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Operator[ChatChunk, ChatChunk]:
    """
    Fail when a stream is too slow to begin, to go on or to end, and close its request.

    Loading the model, waiting for a free slot and reading the prompt all come before the first chunk, and may take
    minutes where a gap between two chunks takes a moment: so each phase has a limit of its own. Be generous with
    `first_chunk`. A client that leaves while the model is being loaded makes the server give up loading
    (https://github.com/ollama/ollama/issues/8006), so that a short limit with a `retry` behind it never gets a big
    model loaded, however often it asks; `Ollama.load` loads it beforehand.

    .. marbles::

        --a--b----------c--|
        timeouts(first_chunk=5, gap=4)
        --a--b---#

        a = ChatChunk(message=Message("assistant", "Hel"))
        b = ChatChunk(message=Message("assistant", "lo"))
        c = ChatChunk(message=Message("assistant"), done=True)
        # = StreamTimeoutError("nothing came for 4 s", phase="gap")

    Args:
        first_chunk: Seconds from the subscription to the first chunk with something to see (thinking, content, a tool
            call) or with `done`. Empty chunks before it are passed on, and do not count.
        gap: Seconds between two chunks, empty ones included, once the answer has begun. It counts from the moment that
            a chunk was handed on, so that a slow callback is not held against the server; and it rests after a `done`
            chunk and after a tool's result, until the next chunk comes.
        total: Seconds from the subscription to the end.
        scheduler: The clock. None takes the subscriber's scheduler, else the loop that the stream lives on.

    Returns:
        The operator. A stream that keeps its times is passed on as it is.

    Raises:
        InvalidValueError: At this call, when no limit is given, or one that is no positive number.

    Completes: with the source.
    Errors: with the source; or with a `StreamTimeoutError` whose `phase` is `first_chunk`, `gap` or `total`, and whose
        `partial` is what arrived, after the source was disposed.
    Disposed: the source is disposed, and the timer is cancelled.

    .. versionadded:: 0.1
    """
    limits = {"first_chunk": first_chunk, "gap": gap, "total": total}
    if not any(seconds is not None for seconds in limits.values()):
        raise invalid_value("timeouts()", None, "at least one of first_chunk=, gap= and total=")
    for phase, seconds in limits.items():
        if seconds is not None:
            check_seconds(phase, seconds)

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "timeouts()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler_: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            clock = given_clock(scheduler, scheduler_) or clock_of(None)
            watch = _Watch(observer, _Limits(first_chunk, gap, total, clock.now()), clock)
            watch.begin()
            watch.upstream.disposable = source.subscribe(
                watch.on_next, watch.on_error, watch.on_completed, scheduler=scheduler_
            )
            return Disposable(watch.dispose)

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


class _Limits:
    """Know by when what must have happened; all moments are of one clock."""

    __slots__ = ("_answered", "_began", "_first_chunk", "_gap", "_last", "_seconds", "_total")

    def __init__(self, first_chunk: float | None, gap: float | None, total: float | None, now: float) -> None:
        self._seconds = {"first_chunk": first_chunk, "gap": gap, "total": total}
        self._first_chunk = math.inf if first_chunk is None else first_chunk
        self._gap = math.inf if gap is None else gap
        self._total = math.inf if total is None else total
        self._began = now
        self._last: float | None = None
        self._answered = False

    def came(self, chunk: ChatChunk) -> None:
        """Take notice of a chunk; no gap is counted while it is handed on."""
        self._answered = self._answered or is_answer(chunk)
        self._last = None

    def handed_on(self, chunk: ChatChunk, now: float) -> float:
        """
        Count a gap from now, unless a message ended or a tool spoke: what comes next may well take its time.

        Returns:
            By when the next chunk must come; the other limits stay where they were.
        """
        if not self._answered or chunk.done or chunk.message.role == "tool":
            return math.inf
        self._last = now
        return now + self._gap

    def due(self, now: float) -> tuple[float, str]:
        """Tell by when what must have happened; a clock on the wall may be put back, and nothing gets more time."""
        self._began = min(self._began, now)
        due, phase = self._began + self._total, "total"
        if not self._answered:
            first = self._began + self._first_chunk
            return (first, "first_chunk") if first <= due else (due, phase)
        if self._last is not None:
            self._last = min(self._last, now)
            next_chunk = self._last + self._gap
            return (next_chunk, "gap") if next_chunk <= due else (due, phase)
        return due, phase

    def exceeded(self, phase: str) -> str:
        """Tell what took too long, and what to do."""
        return _WORDS[phase].format(seconds=self._seconds[phase])


_WORDS = {
    "first_chunk": "no answer began within {seconds:g} s: the model may still be loading, or waiting for its turn; "
    "give first_chunk= more time, or load the model beforehand",
    "gap": "nothing came for {seconds:g} s in mid-answer: the server or its model may hang; ask again, or give gap= "
    "more time",
    "total": "the answer was not complete after {seconds:g} s: give total= more time, or ask for a shorter answer with "
    "the option num_predict",
}


class _Watch:
    """
    Drive one subscription: chunks come from the source's thread, the end of a patience from the clock's.

    Nothing is called downstream while the lock is held, and no two calls overlap: an error for which the time is
    ripe while a chunk is being handed on is told by who hands it on.
    """

    def __init__(self, observer: abc.ObserverBase[ChatChunk], limits: _Limits, clock: Clock) -> None:
        self._observer = observer
        self._limits = limits
        self._clock = clock
        self._timer = Timer(clock)
        self._lock = threading.Lock()
        self._builder = ResponseBuilder()
        self._handing = 0
        self._over = False
        self._pending: StreamTimeoutError | None = None
        self.upstream = SingleAssignmentDisposable()

    def begin(self) -> None:
        """Set the timer; what keeps it from being set is raised."""
        due, _ = self._limits.due(self._clock.now())
        self._timer.set(due, self._ring)

    def on_next(self, chunk: ChatChunk) -> None:
        """Hand a chunk on."""
        with self._lock:
            if self._over:
                return
            self._builder.add(chunk)
            self._limits.came(chunk)
            self._handing += 1
        try:
            self._observer.on_next(chunk)
        finally:
            self._handed_on(chunk)

    def _handed_on(self, chunk: ChatChunk) -> None:
        now = self._clock.now()
        with self._lock:
            self._handing -= 1
            over, due = self._over, self._limits.handed_on(chunk, now)
            pending = None if self._handing else self._pending
        if pending is not None:
            end_safely(self._observer, pending)
        elif not over:
            self._timer.set(due, self._ring)

    def on_error(self, error: Exception) -> None:
        """End with the source."""
        if self._end():
            self._observer.on_error(error)

    def on_completed(self) -> None:
        """End with the source."""
        if self._end():
            self._observer.on_completed()

    def dispose(self) -> None:
        """Emit nothing more, and dispose the source."""
        self._end()
        self.upstream.dispose()

    def _end(self) -> bool:
        with self._lock:
            first, self._over = not self._over, True
        self._timer.put_off()
        return first

    def _ring(self) -> None:
        now = self._clock.now()
        with self._lock:
            if self._over:
                return
            due, phase = self._limits.due(now)
            late = due - now <= EARLY
            error = self._late(phase) if late else None
            if late and self._handing:
                self._pending = error
            self._over = late
            handing = self._handing
        if error is None:
            self._timer.set(due, self._ring)
            return
        self.upstream.dispose()
        if not handing:
            end_safely(self._observer, error)

    def _late(self, phase: str) -> StreamTimeoutError:
        partial = self._builder.snapshot()
        return StreamTimeoutError(self._limits.exceeded(phase), phase=phase, model=partial.model, partial=partial)
