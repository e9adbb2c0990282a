"""
Batches: the items of one read, which travel between own operators as one.

The law. Nobody outside can see a batch. Whoever receives items is asked whether it is ready for a batch: whether it
would emit nothing for all of these items. If it is, it absorbs the batch, and emits nothing. If not, it gets the items
one by one, as every other observer does. To ask changes nothing, so an operator is ready if all that it emits to are
ready: either a whole chain absorbs a batch, or none of it. So the order of items across the subscribers of a `share`, a
dispose in the middle of a read and an error in the middle of a read are what they were without batches.

Whoever is not ready for a whole read often is after its first items, as a pacing operator that was due. So the source
hands on 1, 4, 16 ... items, and asks again about the rest.

How to take part. An operator subscribes with a `Sink`, which has the two functions beside the three of an observer. It
asks what is downstream through `batch_path`. That is all: `Stream.subscribe` does the rest.

Alternatives that were tried:

- Absorb what can be absorbed and return whether it was: an operator with several subscribers cannot ask all of them
  first, so some are ahead of the others, and a dispose in the middle shows different counts in the log.
- Lists of items through `on_next`: every operator of reactivex, and every callback, would see them.
- The path found through reactivex's observers: their attributes are private.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, final

from reactivex import abc
from reactivex.disposable import Disposable

__all__ = ("Absorb", "Ready", "Sink", "always_ready", "batch_path", "subscribe_sink")

T = TypeVar("T")

# The kind of a batch follows from the items: chunks come in a `ChunkBatch`, texts in a `TextBatch`.
Ready = Callable[[Any], bool]
"""Returns whether nothing would be emitted for a batch. It may look at its size and texts, and must not build items."""
Absorb = Callable[[Any], object]
"""Adds a batch without emitting anything. It is called only after `Ready` returned True for this batch."""


@final
class Sink(abc.ObserverBase[T]):
    """
    An observer that may absorb batches.

    Args:
        on_next: Called for an item.
        on_error: Called at the end with the error.
        on_completed: Called at the end.
        ready: See `Ready`.
        absorb: See `Absorb`.
    """

    __slots__ = ("_on_completed", "_on_error", "_on_next", "absorb", "ready")

    def __init__(
        self,
        on_next: Callable[[T], object],
        on_error: Callable[[Exception], object],
        on_completed: Callable[[], object],
        ready: Ready,
        absorb: Absorb,
    ) -> None:
        self._on_next, self._on_error, self._on_completed = on_next, on_error, on_completed
        self.ready, self.absorb = ready, absorb

    # Properties, so that no call of a method stands before each of these.
    @property
    def on_next(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - See above.
        """What is called for an item."""
        return self._on_next

    @property
    def on_error(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - See above.
        """What is called for an error."""
        return self._on_error

    @property
    def on_completed(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - See above.
        """What is called for the completion."""
        return self._on_completed


def batch_path(observer: abc.ObserverBase[Any]) -> tuple[Ready, Absorb]:
    """Return how an observer is asked and how it absorbs; one that cannot is never ready."""
    if isinstance(observer, Sink):
        return observer.ready, observer.absorb
    return _never_ready, _refuse


def subscribe_sink(
    subscribe: abc.Subscription[T], sink: Sink[T], scheduler: abc.SchedulerBase | None
) -> abc.DisposableBase:
    """
    Subscribe a sink, and show its batch path to the source.

    Args:
        subscribe: The source's function, see `Stream`.
        sink: The subscriber.
        scheduler: The subscriber's scheduler.
    """
    link = _Link(sink)
    path: Sink[T] = Sink(sink.on_next, link.on_error, link.on_completed, sink.ready, sink.absorb)
    try:
        link.hold(subscribe(path, scheduler))
    except Exception as error:
        if not link.fail(error):
            raise
    return link


@final
class _Link(abc.DisposableBase):
    """
    The subscription of a sink.

    The law is that of reactivex's guard, which costs three times as much for each subscription: there is one end,
    then the source is disposed; a source that is still being subscribed is disposed as soon as it is. An item that
    comes after the dispose, until the source sees it, is emitted to whoever is guarded or drops it: a guard for each
    item at each operator was a tenth of a chunk's cost. Without a lock, since disposing twice does no harm.

    Reactivex also begins a trampoline here. A subscriber without a sink has begun one; a source of reactivex's does.
    """

    __slots__ = ("_is_over", "_sink", "_subscription")

    def __init__(self, sink: Sink[Any]) -> None:
        self._sink = sink
        self._is_over = False
        self._subscription: abc.DisposableBase | None = None

    def hold(self, subscription: abc.DisposableBase | Callable[[], None] | None) -> None:
        """Hold the subscription of the source, or dispose it if this is over."""
        # A stream of a user's may return less than a disposable, as reactivex allows.
        held = subscription if isinstance(subscription, abc.DisposableBase) else Disposable(subscription)
        self._subscription = held
        if self._is_over:
            held.dispose()

    def on_error(self, error: Exception) -> None:
        """End with an error, unless it is over."""
        if not self._is_over:
            self._is_over = True
            try:
                self._sink.on_error(error)
            finally:
                self.dispose()

    def on_completed(self) -> None:
        """Complete, unless it is over."""
        if not self._is_over:
            self._is_over = True
            try:
                self._sink.on_completed()
            finally:
                self.dispose()

    def fail(self, error: Exception) -> bool:
        """End with what subscribing raised, and return whether it was not over before."""
        if self._is_over:
            return False
        self._is_over = True
        self._sink.on_error(error)
        return True

    def dispose(self) -> None:
        """Dispose the source."""
        self._is_over = True
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.dispose()


def always_ready(_: object) -> bool:
    """Return True, as for whoever only adds up."""
    return True


def _never_ready(_: object) -> bool:
    return False


def _refuse(_: object) -> None:
    """Do nothing: it was not ready."""
