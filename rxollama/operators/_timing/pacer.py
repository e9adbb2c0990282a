"""
The engine of the pacing operators: items wait, and are emitted when their rhythm says so.

The law. An item waits until its rhythm says that it is due, or until nothing more can be added to it. A due item is
emitted on the clock's thread only: within the call that brought it where that is the clock's thread, and otherwise by
the timer. An item that is due again after an emission gets a turn of its own, so that a slow callback does not hold a
loop. Items that arrive while the subscriber is called go on adding up. The end follows the buffered items, without
waiting for the rhythm. Everything else is the law of emission, see `outlet`.

One lock guards what waits and when it is due. Whoever emits takes the outlet's turn under it, together with the items,
so that two threads cannot exchange their order. It emits outside of the lock. An item that arrives during an emission
finds the turn taken, and waits; after the emission what waits is settled.

The quick way is a branch of the same way. Nearly all items are texts that arrive while the timer is set: under the lock
they are appended to a list, and that is all. The list is joined when it is due, or moved into the backlog before an
item of another kind. The first item of a window enters a frame of the loop under the same lock, without the `Timer`. An
item of a paced stream, of which two are emitted as one, costs 5 calls of Python functions before the subscriber's.

A batch emits nothing, so it is absorbed only where each of its items would only wait: while the timer is set. It must
not set the timer: of several subscribers of one chat, the one whose item comes first sets its timer first.

Alternatives that were tried:

- A timer for each item, as in reactivex's `debounce`: 8 µs an item on an event loop, 125 µs and a thread on the default
  scheduler, and 39 of 40 slow callbacks overlapped.
- Emitting on the thread that brings the item: a desktop toolkit does not allow calls from other threads.
- A periodic timer, as in `sample`: it wakes the loop while nothing comes, and the first item waits for it.
- A second engine for texts on the loop's own thread, which hands over to this one for all else. It saves 1 µs
  for each paced item, and has no turns: items and ends from within an emission, or from two threads, are lost.
- A rhythm that is asked for each moment: five calls for each emission.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from reactivex import abc
from reactivex.disposable import SingleAssignmentDisposable

from ...messages import Backlog, Batch, Latest, TextBatch
from .clock import ASAP, Cancel, Clock, clock_of
from .outlet import Outlet
from .timer import EARLY, Timer

__all__ = ("Pacer", "QuietTime")

T = TypeVar("T")

# So many texts wait as they are; more are added up, so that memory is bounded by the text.
_MOST_TEXTS = 256


class QuietTime:
    """The rhythm of emissions after a quiet time, but not later than the longest wait."""

    def __init__(self, seconds: float, max_wait: float | None) -> None:
        self._seconds = seconds
        self._max_wait = math.inf if max_wait is None else max_wait
        self._first = math.inf
        self._last = 0.0

    def arrived(self, now: float) -> float:
        """Begin the quiet time again at an item; return the moment at which it is due."""
        self._last = now
        self._first = min(self._first, now)
        return self._due()

    def emitted(self, now: float, *, rest: bool) -> float:
        """Begin the longest wait of the rest, or of the next item; return the moment at which the rest is due."""
        self._first = now if rest else math.inf
        return self._due()

    def _due(self) -> float:
        return min(self._last + self._seconds, self._first + self._max_wait)


class Pacer(Generic[T]):
    """
    One paced subscription. Items arrive on any thread.

    An item that cannot wait with the others ends the subscription with its error, after what waits.

    Args:
        observer: The subscriber.
        waiting: Where items wait. Texts wait in front of a `Backlog`, as long as nothing is in it.
        seconds: The window: one emission comes at once, then one for each window.
        clock: The clock; None for that of the loop on which the first item arrives.
        quiet: The quiet time of *seconds*, if emissions wait for it instead.
    """

    def __init__(
        self,
        observer: abc.ObserverBase[T],
        waiting: Backlog[T] | Latest[T],
        seconds: float,
        clock: Clock | None,
        *,
        quiet: QuietTime | None = None,
    ) -> None:
        self._waiting = waiting
        self._texts: list[Any] = []
        # How many texts may wait in the list: none as long as the backlog holds anything.
        self._room = self._most_texts = _MOST_TEXTS if isinstance(waiting, Backlog) else 0
        self._waits = False
        self._seconds = seconds
        self._quiet = quiet
        # When what waits is due. If the clock is put back, nothing waits for longer than *seconds* from then on.
        self._due = ASAP
        self._clock = clock
        self._now: Callable[[], float] = float
        # Whether the timer or a frame will see to what waits, and what cancels the latter.
        self._armed = False
        self._leave_frame: Cancel | None = None
        self._lock = threading.Lock()
        self._acquire, self._release = self._lock.acquire, self._lock.release
        self._timer: Timer | None = None
        self._ended = False
        self._error: Exception | None = None
        self._outlet: Outlet[T] = Outlet(observer, self._leave)
        self.dispose = self._outlet.close
        self.upstream = SingleAssignmentDisposable()

    def on_next(self, item: T) -> None:
        """Let an item wait, or emit it."""
        try:
            # Every item comes through here, and `with` would cost more than what it guards.
            self._acquire()
            try:
                if self._ended:
                    return
                timer = self._timer or self._begin()
                if item.__class__ is str and len(self._texts) < self._room:
                    self._texts.append(item)
                else:
                    self._backlog().add(item)
                self._waits = True
                if self._quiet is not None:
                    self._due = self._quiet.arrived(self._now())
                if not self._waiting.has_finished:
                    if self._armed:
                        return
                    if EARLY < self._due - self._now() <= self._seconds:
                        self._leave_frame = timer.clock.enter_frame(self._due, self._fire)
                        self._armed = self._leave_frame is not None
                        if self._armed:
                            return
            finally:
                self._release()
        except Exception as error:  # noqa: BLE001 - Whatever it is, the subscriber receives it.
            self.upstream.dispose()
            self.on_error(error)
            return
        self._settle(timer, may_emit=True)

    def ready(self, batch: Batch[T]) -> bool:
        """Return whether nothing would be emitted for a batch."""
        with self._lock:
            if self._ended:
                return True
            return self._armed and self._fits(batch)

    def absorb(self, batch: Batch[T]) -> None:
        """Let a batch wait."""
        text = _text_of(batch)
        with self._lock:
            if self._ended:
                return
            timer = self._timer or self._begin()
            if text is not None and len(self._texts) < self._room:
                self._texts.append(text)
            else:
                self._backlog().extend(batch)
            self._waits = True
            if self._quiet is not None:
                self._due = self._quiet.arrived(self._now())
            # Another thread may have emitted since `ready`, or finished an item.
            is_settled = self._armed and not self._waiting.has_finished
        if not is_settled:
            self._settle(timer, may_emit=False)

    def on_error(self, error: Exception) -> None:
        """Emit what waits, then the error."""
        self._end(error)

    def on_completed(self) -> None:
        """Emit what waits, then complete."""
        self._end(None)

    def _begin(self) -> Timer:
        clock = self._clock = self._clock or clock_of(None)
        self._now = clock.now
        timer = self._timer = Timer(clock, self._ring)
        return timer

    def _backlog(self) -> Backlog[T] | Latest[T]:
        """Move the texts to where items wait, and return that."""
        waiting, texts = self._waiting, self._texts
        self._room = 0
        if texts:
            one: Any = texts[0] if len(texts) == 1 else "".join(texts)
            waiting.add(one)
            texts.clear()
        return waiting

    def _fits(self, batch: Batch[T]) -> bool:
        """Return whether a batch can wait with what waits."""
        if self._room and isinstance(batch, TextBatch):
            return True
        return not self._texts and self._waiting.fits(batch)

    def _end(self, error: Exception | None) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended, self._error = True, error
            timer = self._timer
        if timer is None:
            self._outlet.end(error)
        else:
            self._settle(timer, may_emit=True)

    def _settle(self, timer: Timer, *, may_emit: bool) -> None:
        """Emit what is due, if this is the place for it, or set the timer."""
        with self._lock:
            now, due = self._now(), self._due
            if due - now <= EARLY or self._ended or self._waiting.has_finished:
                if not self._outlet.is_free:
                    # Whoever is emitting settles afterwards.
                    return
                due = ASAP
            elif due - now > self._seconds:
                due = self._due = now + self._seconds
            inline = due == ASAP and may_emit and timer.clock.is_here()
            self._armed = not inline
        if inline:
            self._ring()
            return
        try:
            timer.set(due)
        except Exception as error:  # noqa: BLE001 - The loop is closed, or the scheduler cannot wait.
            self._outlet.fail(error)

    def _ring(self) -> None:
        """Emit what is due, other than at the end of a frame."""
        self._leave_the_frame()
        self._fire()

    def _fire(self) -> None:
        """Emit what is due, unless another call emits, and settle the rest."""
        with self._lock:
            self._armed, self._leave_frame = False, None
            now = self._now()
            try:
                self._outlet.take_turn()
            except IndexError:
                return
            texts = self._texts
            if self._due - now > EARLY and not self._ended:
                items = self._waiting.take_finished()
            elif texts:
                one: Any = texts[0] if len(texts) == 1 else "".join(texts)
                items = [one]
                texts.clear()
                self._waits = False
            else:
                items, self._room = self._waiting.take(), self._most_texts
                self._waits = False
            if items:
                quiet = self._quiet
                self._due = now + self._seconds if quiet is None else quiet.emitted(now, rest=self._waits)
            timer, ended = self._timer, self._ended
            if ended:
                self._outlet.put_end(self._error)
        self._outlet.emit_in_turn(items)
        # Read without the lock: a thread that adds an item from now on finds the outlet free, and settles it.
        if timer is not None and (self._waits or self._ended):
            self._settle(timer, may_emit=False)

    def _leave(self) -> None:
        with self._lock:
            self._ended = True
            self._texts.clear()
            self._waiting.take()
            timer = self._timer
        self._leave_the_frame()
        if timer is not None:
            timer.put_off()
        self.upstream.dispose()

    def _leave_the_frame(self) -> None:
        with self._lock:
            leave, self._leave_frame = self._leave_frame, None
        if leave is not None:
            leave()


def _text_of(batch: Batch[Any]) -> str | None:
    return batch.text if isinstance(batch, TextBatch) else None
