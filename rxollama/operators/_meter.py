"""The meter: live metrics of a chat, beside it."""

from __future__ import annotations

import math
import threading
from datetime import timedelta

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from .._checks import check_seconds
from .._runtime import Operator, Sink, Stream, WaitListener, chunks_of, listening
from ..messages import ChatChunk, ChunkBatch, MeterReading
from ._meter_state import MeterState
from ._timing.clock import Clock, clock_of, given_clock
from ._timing.outlet import Outlet
from ._timing.timer import EARLY, Timer

__all__ = ("meter",)


def meter(
    seconds: float | timedelta, *, scheduler: abc.SchedulerBase | None = None
) -> Operator[ChatChunk, MeterReading]:
    """
    Measure a chat while it runs: its phase, its speed, its silences; see `MeterReading`.

    A reading is emitted at once, at each change of phase, at the end of each further answer, when the expected wait
    becomes known or changes, and otherwise once per interval, also while the server is silent. The last reading has
    the phase `done` or `failed` and counts everything that came. Between two answers of one stream nothing is emitted.
    Use it beside the chat, over one request: `answer = chat.pipe(share())`, then `answer.pipe(meter(0.5))`.

    .. marbles::

        --t-c---------d----|
        lambda chat: meter(4)(chat).map(lambda reading: reading.phase)
        W-T-A---A---A-D----|

        t = ChatChunk(message=Message("assistant", thinking="Hm"))
        c = ChatChunk(message=Message("assistant", "Yes."))
        d = ChatChunk(message=Message("assistant"), done=True)
        W = "waiting"
        T = "thinking"
        A = "answering"
        D = "done"

    Args:
        seconds: The longest time between two readings.
        scheduler: The clock, and where to emit, such as a desktop toolkit's scheduler: each reading hops there. None
            takes the subscriber's scheduler, unless that waits by blocking, else the loop that the stream lives on.

    Returns:
        The operator.

    Raises:
        InvalidValueError: At this call if *seconds* is not a positive time.

    Completes: with the source, after a reading with the phase `done`.
    Errors: with the source, after a reading with the phase `failed`.
    Disposed: the source is disposed, and the timer is cancelled.

    .. versionadded:: 0.1
    """
    interval = check_seconds("seconds", seconds)

    def apply(source: Observable[ChatChunk]) -> Stream[MeterReading]:
        source = chunks_of(source, "meter()")

        def subscribe(
            observer: abc.ObserverBase[MeterReading], scheduler_: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            running = _Meter(observer, interval, given_clock(scheduler, scheduler_) or clock_of(None))
            sink = Sink(running.on_next, running.on_error, running.on_completed, running.ready, running.absorb)
            with listening(running.listener):
                running.upstream.disposable = source.subscribe(sink, scheduler=scheduler_)
            running.begin()
            return Disposable(running.dispose)

        return Stream(subscribe, items=MeterReading)

    return apply


class _Meter:
    """
    One metered subscription, with one timer.

    Chunks arrive on the source's thread, and readings are emitted on the clock's.
    """

    def __init__(self, observer: abc.ObserverBase[MeterReading], seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._now = clock.now
        self._timer = Timer(clock, self._ring)
        self._lock = threading.Lock()
        self._state = MeterState(clock.now(), seconds)
        self._goes_on = self._state.goes_on
        self.ready = self._state.goes_on_all
        self._read_at = -math.inf
        self._ended = False
        self._outlet: Outlet[MeterReading] = Outlet(observer, self._leave)
        self.dispose = self._outlet.close
        self.listener = WaitListener(self._expect)
        self.upstream = SingleAssignmentDisposable()

    def begin(self) -> None:
        """Emit the first reading, unless another was emitted already."""
        self._settle()

    def on_next(self, chunk: ChatChunk) -> None:
        """Count a chunk."""
        if not self._goes_on(chunk, self._now()):
            self._take(chunk)

    def absorb(self, batch: ChunkBatch) -> None:
        """Count the chunks of a batch."""
        self._state.extend(batch, self._now())

    def on_error(self, error: Exception) -> None:
        """Emit the last reading, then the error."""
        self._end(error)

    def on_completed(self) -> None:
        """Emit the last reading, then complete."""
        self._end(None)

    def _expect(self, seconds: float | None) -> None:
        """Emit a reading with an estimate, by way of the timer: the request that tells it must not see it fail."""
        with self._lock:
            if self._ended or not self._state.expect(seconds, self._now()):
                return
            self._read_at = -math.inf
        self._arm(self._now())

    def _take(self, chunk: ChatChunk) -> None:
        with self._lock:
            if self._ended:
                return
            now = self._now()
            if not self._state.take(chunk, now):
                return
            self._read(now)
        self._settle()

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
            now = self._now()
            if self._state.end(now, failed=error is not None):
                self._read(now)
            self._outlet.put_end(error)
        self._settle()

    def _read(self, now: float) -> None:
        self._outlet.put(self._state.read(now))
        self._read_at = now

    def _due(self, now: float) -> float:
        """Return when the next reading is due; if the clock is put back, nothing waits the longer for it."""
        self._read_at = min(self._read_at, now)
        return math.inf if self._state.phase == "done" else self._read_at + self._seconds

    def _settle(self) -> None:
        """Emit what waits, if this is the place for it, or set the timer."""
        if self._clock.is_here():
            self._ring()
        else:
            self._arm(self._now())

    def _arm(self, due: float) -> None:
        try:
            self._timer.set(due)
        except Exception as error:  # noqa: BLE001 - The loop is closed, or the scheduler cannot wait.
            self._outlet.fail(error)

    def _ring(self) -> None:
        """Emit what waits and what is due, then set the timer."""
        with self._lock:
            now = self._now()
            # One at most: a subscriber slower than the interval must not hold the loop.
            if self._outlet.is_free and self._due(now) - now <= EARLY:
                self._read(now)
        self._outlet.flush()
        with self._lock:
            if not self._outlet.is_free:
                # Whoever is emitting sets the timer afterwards, or it is over.
                return
            due = self._due(self._now())
        self._arm(due)

    def _leave(self) -> None:
        with self._lock:
            self._ended = True
        self._timer.put_off()
        self.listener.close()
        self.upstream.dispose()
