"""
The law of emission, for one subscriber.

The law. Emissions never overlap, also on several threads. Nothing is called downstream under a lock. An item
or an end that arrives within an emission, or meanwhile on another thread, waits for its turn; whoever is emitting emits
it next. A subscriber that raises ends its own subscription, and receives what it raised. After an end nothing is
emitted. Disposing drops what waits.

There is one turn. A call that does not get it leaves its item and returns, so nobody waits for a subscriber. The call
that has it looks once more when it gives it back, so no item is left unseen. An end keeps the turn. While nothing
waits, an item needs no lock.

Alternatives that were tried:

- A lock held while calling downstream, as in reactivex's `merge`. A callback that waits for another thread, which sends
  to the same subscriber, waits without end.
- A flag, set and cleared under a lock. It is the same law, at twice the cost for each item.
- Calling downstream directly, as a reactivex `Subject` does. Two threads made 442 overlapping calls. A callback that
  sends an item was called within itself, and the next subscriber received the second item before the first.
- A hop to a scheduler for each item. It costs as much as a timer, and every operator delays its items by a loop turn.

Without the law every callback needs a lock of its own, a screen shows words out of order, and one subscriber that
raises takes the items from the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from reactivex import abc

from ..._runtime import batch_path, end_failed, end_safely
from ...messages import Backlog, Batch, Queue

__all__ = ("Outlet",)

T = TypeVar("T")


class Outlet(Generic[T]):
    """
    The way out of an operator, to one subscriber. Any thread may use it, also within an emission.

    Args:
        observer: The subscriber.
        leave: Disposes the source. It is called as soon as the subscription is over, perhaps more than once.
        emit: Hands an item to the subscriber; None for its `on_next`.
        waiting: Where items wait for their turn; None for a queue.
    """

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        leave: Callable[[], object],
        *,
        emit: Callable[[T], object] | None = None,
        waiting: Backlog[T] | None = None,
    ) -> None:
        self._observer = observer
        self._leave = leave
        self._emit = observer.on_next if emit is None else emit
        self._ready_below, self._absorb_below = batch_path(observer)
        self._lock = threading.Lock()
        self._waiting: Backlog[T] | Queue[T] = Queue() if waiting is None else waiting
        # The turn is the one element of a list: `pop` takes it or raises. Trying a lock costs more than twice as much.
        self._turn = [None]
        self._take_turn = self.take_turn = self._turn.pop
        self._give_turn = self._turn.append
        # Whether something waits, an end included. It stays set once the subscription is over.
        self._behind = False
        self._ended = self._over = False
        self._error: Exception | None = None

    take_turn: Callable[[], None]
    """
    Take the turn, before `emit_in_turn`: for a caller that chooses its items under a lock of its own.

    Raises:
        IndexError: While another call emits, and once the subscription is over.
    """

    @property
    def is_free(self) -> bool:
        """Whether nothing waits or is being emitted, and the subscription is not over."""
        return not self._behind and bool(self._turn)

    def on_next(self, item: T) -> None:
        """Emit an item, or let it wait for its turn."""
        if self._behind:
            self._emit_later(item)
            return
        try:
            self._take_turn()
        except IndexError:
            self._emit_later(item)
            return
        try:
            self._emit(item)
        except BaseException as raised:  # noqa: BLE001 - It is raised again unless it is an `Exception`.
            self._fail(raised)
            return
        self._give_turn(None)
        if self._behind:
            # `_emit` and other threads may have set it, which mypy does not see.
            self.flush()  # type: ignore[unreachable]

    def pass_on(self, item: T) -> None:
        """
        Emit an item, or let it wait behind those that do: for a caller whose calls are in turn already.

        It costs half of `on_next`. Beside it only `put` and `flush` may be called.
        """
        if self._behind:
            self._emit_later(item)
            return
        try:
            self._emit(item)
        except BaseException as raised:  # noqa: BLE001 - It is raised again unless it is an `Exception`.
            self._fail(raised)

    def ready(self, batch: Batch[T]) -> bool:
        """Return whether a batch would emit nothing: nothing waits, and the subscriber is ready for it."""
        return self._over or (self.is_free and self._ready_below(batch))

    def absorb(self, batch: Batch[T]) -> None:
        """Let the subscriber absorb a batch, or let its items wait for their turn if that is taken meanwhile."""
        try:
            self._take_turn()
        except IndexError:
            self.put(*batch.items)
            self.flush()
            return
        try:
            if self._behind:
                self.put(*batch.items)
            else:
                self._absorb_below(batch)
        except BaseException as raised:  # noqa: BLE001 - It is raised again unless it is an `Exception`.
            self._fail(raised)
            return
        self._give_turn(None)
        self.flush()

    def emit_in_turn(self, items: Sequence[T]) -> None:
        """Emit items in the turn that was taken, then what waits behind them, and give the turn back."""
        if self._emit_each(items):
            self._give_turn(None)
            if self._behind:
                self.flush()

    def put(self, *items: T) -> None:
        """Let items wait, without emitting them: for a caller that holds a lock of its own. Call `flush` after it."""
        with self._lock:
            if self._ended:
                return
            for item in items:
                self._waiting.add(item)
            self._behind = True

    def put_end(self, error: Exception | None = None) -> None:
        """Let the end wait behind the items, without emitting it. No item is taken after it. Call `flush` after it."""
        with self._lock:
            if not self._ended:
                self._ended = self._behind = True
                self._error = error

    def flush(self) -> None:
        """Emit what waits, unless another call is emitting: then that one does it."""
        if self._behind:
            try:
                self._take_turn()
            except IndexError:
                return
            while self._emit_waiting():
                pass

    def end(self, error: Exception | None = None) -> None:
        """End after the items that wait."""
        self.put_end(error)
        self.flush()

    def fail(self, error: Exception) -> None:
        """Drop what waits, an end included, and end with an error."""
        with self._lock:
            self._waiting.take()
            self._ended = self._behind = True
            self._error = error
        self._leave()
        self.flush()

    def close(self) -> None:
        """Drop what waits, and emit nothing more."""
        with self._lock:
            self._over = self._ended = self._behind = True
            self._waiting.take()
        self._leave()

    def _emit_later(self, item: T) -> None:
        self.put(item)
        self.flush()

    def _emit_waiting(self) -> bool:
        """Emit what waits; return whether there may be more, or else give the turn back, unless it is over."""
        with self._lock:
            if self._over:
                return False
            items, ended = self._waiting.take(), self._ended
            if not (items or ended):
                self._behind = False
                self._give_turn(None)
                return False
        if not self._emit_each(items):
            return False
        if ended and not self._over:
            self._over = True
            self._leave()
            end_safely(self._observer, self._error)
        return True

    def _emit_each(self, items: Sequence[T]) -> bool:
        """Emit items, and return whether the subscriber raised for none of them."""
        try:
            for item in items:
                # It may have been closed before the first one, and by a callback.
                if not self._over:
                    self._emit(item)
        except BaseException as raised:  # noqa: BLE001 - It is raised again unless it is an `Exception`.
            self._fail(raised)
            return False
        return True

    def _fail(self, raised: BaseException) -> None:
        """End with what the subscriber raised."""
        self.close()
        end_failed(self._observer, raised)
        if not isinstance(raised, Exception):
            raise raised
