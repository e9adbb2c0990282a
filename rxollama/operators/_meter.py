"""Live metrics of a chat, beside it."""

from __future__ import annotations

import math
import threading

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from .._runtime import Operator, Stream, chunks_of
from ..messages import ChatChunk, MeterReading
from ._ending import end_safely
from ._meter_state import MeterState
from ._timing.clock import Clock, clock_of, given_clock
from ._timing.timer import EARLY, Timer, check_seconds

__all__ = ("meter",)


def meter(seconds: float, *, scheduler: abc.SchedulerBase | None = None) -> Operator[ChatChunk, MeterReading]:
    """
    Tell how a chat goes while it goes: its phase, its pace, its silences; see `MeterReading`.

    A reading comes at once, whenever the phase changes or another answer is done, and else each interval, also while
    the server is silent; the last one says `done` or `failed`, and holds all that came. Between two answers of one
    stream nothing is told. It is used beside the chat, over one request: `answer = chat.pipe(share())`, and then
    `answer.pipe(meter(0.5))`.

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
            takes the subscriber's scheduler, unless that can only wait by blocking, else the loop that the stream
            lives on.

    Returns:
        The operator.

    Raises:
        InvalidValueError: At this call, when *seconds* is no positive number.

    Completes: with the source, after a reading that says `done`.
    Errors: with the source, after a reading that says `failed`.
    Disposed: the source is disposed, and the timer is cancelled.

    .. versionadded:: 0.1
    """
    check_seconds("seconds", seconds)

    def apply(source: Observable[ChatChunk]) -> Stream[MeterReading]:
        source = chunks_of(source, "meter()")

        def subscribe(
            observer: abc.ObserverBase[MeterReading], scheduler_: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            running = _Meter(observer, seconds, given_clock(scheduler, scheduler_) or clock_of(None))
            running.upstream.disposable = source.subscribe(
                running.on_next, running.on_error, running.on_completed, scheduler=scheduler_
            )
            running.begin()
            return Disposable(running.dispose)

        return Stream(subscribe, items=MeterReading)

    return apply


class _Meter:
    """
    Drive one subscription, with one timer.

    Chunks come from the source's thread; readings go out on the clock's, one at a time. Nothing is called downstream
    while the lock is held. A subscriber that fails is told so, and ends its own subscription.
    """

    def __init__(self, observer: abc.ObserverBase[MeterReading], seconds: float, clock: Clock) -> None:
        now = clock.now()
        self._observer = observer
        self._seconds = seconds
        self._clock = clock
        self._now = clock.now
        self._timer = Timer(clock)
        self._lock = threading.Lock()
        self._state = MeterState(now, seconds)
        self._goes_on = self._state.goes_on
        self._ready: list[MeterReading] = []
        self._told = -math.inf
        self._emitting = self._ended = self._over = False
        self._error: Exception | None = None
        self.upstream = SingleAssignmentDisposable()

    def begin(self) -> None:
        """Emit the first reading, unless another was emitted already."""
        self._settle()

    def on_next(self, chunk: ChatChunk) -> None:
        """Count a chunk."""
        if not self._goes_on(chunk, self._now()):
            self._take(chunk)

    def on_error(self, error: Exception) -> None:
        """Tell the last reading, then the error."""
        self._end(error)

    def on_completed(self) -> None:
        """Tell the last reading, then complete."""
        self._end(None)

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
            self._ended, self._error = True, error
            now = self._now()
            if self._state.end(now, failed=error is not None):
                self._read(now)
        self._settle()

    def _read(self, now: float) -> None:
        self._ready.append(self._state.read(now))
        self._told = now

    def _due(self, now: float) -> float:
        """Tell when the next reading is due; a clock on the wall may be put back, and nothing waits the longer."""
        self._told = min(self._told, now)
        return math.inf if self._state.phase == "done" else self._told + self._seconds

    def _settle(self) -> None:
        """Emit what is ready, if that may be here and now, or see to it that it will be."""
        if self._clock.is_here():
            self._ring()
        else:
            self._arm(self._now())

    def _arm(self, due: float) -> None:
        try:
            self._timer.set(due, self._ring)
        except Exception as error:  # noqa: BLE001 - A loop that is closed, a scheduler that cannot wait.
            self._break(error)

    def _ring(self) -> None:
        """Emit what is ready or due, here and now, and see to it that the next will be."""
        with self._lock:
            now = self._now()
            if not (self._emitting or self._ended or self._ready) and self._due(now) - now <= EARLY:
                self._read(now)
        # What is due after that has a turn of its own: a subscriber that is slow must not hold the loop for ever.
        while self._emit_ready():
            pass

    def _emit_ready(self) -> bool:
        """Emit what is ready, and tell whether there may be more."""
        with self._lock:
            if self._emitting or self._over:
                return False
            ready, self._ready = self._ready, []
            ended = self._over = self._ended
            self._emitting = bool(ready)
            due = self._due(self._now())
        if not self._hand_out(ready):
            return False
        if ended:
            self._timer.put_off()
            end_safely(self._observer, self._error)
        elif not ready:
            self._arm(due)
        return bool(ready) and not ended

    def _hand_out(self, ready: list[MeterReading]) -> bool:
        if not ready:
            return True
        try:
            for reading in ready:
                self._observer.on_next(reading)
        except Exception as error:  # noqa: BLE001 - A subscriber may raise what it likes, and is told of it.
            self._break(error)
            return False
        except BaseException:
            self.dispose()
            raise
        with self._lock:
            self._emitting = False
        return True

    def dispose(self) -> None:
        """Emit nothing more, and dispose the source."""
        with self._lock:
            self._ended = self._over = True
            self._ready = []
        self._timer.put_off()
        self.upstream.dispose()

    def _break(self, error: Exception) -> None:
        self.dispose()
        end_safely(self._observer, error)
