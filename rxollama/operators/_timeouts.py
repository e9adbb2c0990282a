"""The limits on how long a stream takes to begin, to continue and to end."""

from __future__ import annotations

import math
import threading
from datetime import timedelta

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from .._checks import check_seconds
from .._invalid_value import invalid_value
from .._runtime import Operator, Sink, Stream, batch_path, chunks_of, is_answer
from ..errors import StreamTimeoutError
from ..messages import ChatChunk, ChunkBatch, ResponseBuilder
from ._timing.clock import Clock, clock_of, given_clock
from ._timing.outlet import Outlet
from ._timing.timer import EARLY, Timer

__all__ = ("timeouts",)


def timeouts(
    *,
    first_chunk: float | timedelta | None = None,
    gap: float | timedelta | None = None,
    total: float | timedelta | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Operator[ChatChunk, ChatChunk]:
    """
    Fail when a stream takes too long to begin, to continue or to end, and close its request.

    Loading the model, waiting for a free slot and reading the prompt all come before the first chunk. They may take
    minutes where a gap between two chunks takes a moment, so each phase has its own limit. Be generous with
    `first_chunk`. A client that leaves while the model is being loaded makes the server stop loading
    (https://github.com/ollama/ollama/issues/8006), so a short limit followed by a `retry` never gets a big model
    loaded. `Ollama.load` loads it beforehand.

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
        gap: Seconds between two chunks, empty ones included, once the answer has begun. It counts from the moment at
            which the subscriber has received a chunk, so a slow callback is not counted as silence of the server. It
            does not count after a `done` chunk and after a tool's result, until the next chunk comes.
        total: Seconds from the subscription to the end.
        scheduler: The clock. None takes the subscriber's scheduler, else the loop that the stream lives on.

    Returns:
        The operator. It passes every chunk on as it is.

    Raises:
        InvalidValueError: At this call if no limit is given, or one that is not a positive time.

    Completes: with the source.
    Errors: with the source; or with a `StreamTimeoutError` whose `phase` is `first_chunk`, `gap` or `total`, and whose
        `partial` is what arrived, after the source was disposed.
    Disposed: the source is disposed, and the timer is cancelled.

    .. versionadded:: 0.1
    """
    given = {"first_chunk": first_chunk, "gap": gap, "total": total}
    limits = {phase: check_seconds(phase, seconds) for phase, seconds in given.items() if seconds is not None}
    if not limits:
        raise invalid_value("timeouts()", None, "at least one of first_chunk=, gap= and total=")

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "timeouts()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler_: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            clock = given_clock(scheduler, scheduler_) or clock_of(None)
            watch = _Watch(observer, _Limits(limits, clock.now()), clock)
            watch.begin()
            sink = Sink(watch.on_next, watch.on_error, watch.on_completed, watch.ready, watch.absorb)
            watch.upstream.disposable = source.subscribe(sink, scheduler=scheduler_)
            return Disposable(watch.dispose)

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


class _Limits:
    """The limits of a stream, and the moments at which they are exceeded. All moments are of one clock, in seconds."""

    __slots__ = ("_answered", "_began", "_first_chunk", "_gap", "_last", "_total")

    def __init__(self, limits: dict[str, float], now: float) -> None:
        self._first_chunk = limits.get("first_chunk", math.inf)
        self._gap = limits.get("gap", math.inf)
        self._total = limits.get("total", math.inf)
        self._began = now
        self._last: float | None = None
        self._answered = False

    def came(self, *, is_answer: bool) -> None:
        """Note that a chunk came, and whether an answer has begun with it. No gap counts while it is handed on."""
        self._answered = self._answered or is_answer
        self._last = None

    def handed_on(self, now: float, *, pauses: bool) -> float:
        """
        Count a gap from now.

        Args:
            now: The moment.
            pauses: Whether a message ended or a tool returned: what comes next may take its time.

        Returns:
            When the next chunk must have come; the other limits are as they were.
        """
        if not self._answered or pauses:
            return math.inf
        self._last = now
        return now + self._gap

    def due(self, now: float) -> tuple[float, str]:
        """Return the next limit and its phase. If the clock is put back, no limit moves by more than its length."""
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
        """Return what took too long, and what to do."""
        seconds = {"first_chunk": self._first_chunk, "gap": self._gap, "total": self._total}[phase]
        return _EXCEEDED[phase].format(seconds=seconds)


_EXCEEDED = {
    "first_chunk": "no answer began within {seconds:g} s: the model may still be loading, or waiting for its turn; "
    "give first_chunk= more time, or load the model beforehand",
    "gap": "nothing came for {seconds:g} s in mid-answer: the server or its model may hang; ask again, or give gap= "
    "more time",
    "total": "the answer was not complete after {seconds:g} s: give total= more time, or ask for a shorter answer with "
    "the option num_predict",
}


class _Watch:
    """
    One subscription with limits.

    Chunks come from the source's thread, and the end of a limit from the clock's.
    """

    def __init__(self, observer: abc.ObserverBase[ChatChunk], limits: _Limits, clock: Clock) -> None:
        self._emit = observer.on_next
        ready_below, self._absorb_below = batch_path(observer)
        self._limits = limits
        self._clock = clock
        self._timer = Timer(clock, self._ring)
        self._lock = threading.Lock()
        self._acquire, self._release = self._lock.acquire, self._lock.release
        self._builder = ResponseBuilder()
        # Chunks that came and are not yet handed on.
        self._handing = 0
        self._over = False
        below = Sink(self._hand_on, observer.on_error, observer.on_completed, ready_below, self._hand_batch_on)
        self._outlet: Outlet[ChatChunk] = Outlet(below, self._leave)
        self.ready = self._outlet.ready
        self.dispose = self._outlet.close
        self.upstream = SingleAssignmentDisposable()

    def begin(self) -> None:
        """Set the timer; raise what prevents it."""
        due, _ = self._limits.due(self._clock.now())
        self._timer.set(due)

    def on_next(self, chunk: ChatChunk) -> None:
        """Hand a chunk on."""
        # Every chunk comes through here, and `with` would cost more than what it guards.
        self._acquire()
        try:
            if self._over:
                return
            self._builder.add(chunk)
            self._limits.came(is_answer=is_answer(chunk))
            self._handing += 1
        finally:
            self._release()
        self._outlet.on_next(chunk)

    def on_error(self, error: Exception) -> None:
        """End with the source."""
        self._end(error)

    def on_completed(self) -> None:
        """End with the source."""
        self._end(None)

    def absorb(self, batch: ChunkBatch) -> None:
        """Hand a batch on."""
        with self._lock:
            if self._over:
                return
            self._builder.extend(batch)
            self._limits.came(is_answer=bool(batch.thinking or batch.content))
            self._handing += 1
        self._outlet.absorb(batch)

    def _hand_on(self, chunk: ChatChunk) -> None:
        self._emit(chunk)
        self._handed_on(pauses=chunk.done or chunk.message.role == "tool")

    def _hand_batch_on(self, batch: ChunkBatch) -> None:
        self._absorb_below(batch)
        self._handed_on(pauses=False)

    def _handed_on(self, *, pauses: bool) -> None:
        now = self._clock.now()
        self._acquire()
        try:
            self._handing -= 1
            if self._over or self._handing:
                return
            due = self._limits.handed_on(now, pauses=pauses)
        finally:
            self._release()
        self._timer.set(due)

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            if self._over:
                return
            self._over = True
        self._outlet.end(error)

    def _ring(self) -> None:
        """End if a limit is exceeded, or set the timer for the next one."""
        now = self._clock.now()
        with self._lock:
            if self._over:
                return
            due, phase = self._limits.due(now)
            error = self._late(phase) if due - now <= EARLY else None
            self._over = error is not None
        if error is None:
            self._timer.set(due)
            return
        # The request is closed at once, however long the subscriber takes.
        self.upstream.dispose()
        self._outlet.end(error)

    def _late(self, phase: str) -> StreamTimeoutError:
        partial = self._builder.snapshot()
        return StreamTimeoutError(self._limits.exceeded(phase), phase=phase, model=partial.model, partial=partial)

    def _leave(self) -> None:
        with self._lock:
            self._over = True
        self._timer.put_off()
        self.upstream.dispose()
