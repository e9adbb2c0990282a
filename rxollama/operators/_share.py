"""The sharing of one subscription by many subscribers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from .._runtime import Sink, Stream, WaitHub, current_listener, listening
from ..messages import Backlog, Batch, ChatChunk
from ._timing.outlet import Outlet

__all__ = ("share",)

T = TypeVar("T")

_MANY = 256


def share() -> Callable[[Observable[T]], Stream[T]]:
    """
    Let many subscribers share one subscription of the source, and with it one request.

    The first subscriber starts it. The last one to leave before its end disposes it. A late subscriber first receives
    what it missed as one merged item, then every item as it comes. After the end it receives the sum and the end, and
    no second request is made. Texts and chunks are added up; items that do not add up are repeated. An exception in one
    subscriber's callback ends the subscription of this one alone.

    .. marbles::

        --a--b--c--|
        share()
        --a--b--c--|

    Returns:
        The operator.

    Completes: every subscriber, with the source.
    Errors: every subscriber, with the source.
    Disposed: the subscriber leaves; the source is disposed when it was the last.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[T]) -> Stream[T]:
        return Stream.like(source, _Shared(source).subscribe)

    return apply


class _Shared(Generic[T]):
    """A source and the connection that new subscribers join."""

    def __init__(self, source: Observable[T]) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._connection: _Connection[T] | None = None

    def subscribe(
        self, observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        """Join the connection, or begin one."""

        def leave() -> None:
            with self._lock:
                abandoned = connection.leave(subscriber)
                if abandoned:
                    self._connection = None
            if abandoned:
                connection.outlet.close()

        # What it missed waits in it as a sum, and so does what arrives while it receives that.
        subscriber: Outlet[T] = Outlet(observer, leave, waiting=Backlog())
        with self._lock:
            begins = self._connection is None
            connection = self._connection = self._connection or _Connection()
            connection.join(subscriber)
        subscriber.flush()
        if (listener := current_listener()) is not None:
            connection.hub.add(listener)
        if begins:
            outlet = connection.outlet
            sink = Sink(outlet.on_next, outlet.end, outlet.end, outlet.ready, outlet.absorb)
            # Whoever comes later may wait for the same answer.
            with listening(connection.hub):
                connection.upstream.disposable = self._source.subscribe(sink, scheduler=scheduler)
        return Disposable(subscriber.close)


class _Connection(Generic[T]):
    """
    One subscription of the source, with its subscribers.

    An item reaches every subscriber in one turn, before the next item does. A subscriber's own outlet serves it while
    it catches up, which it does on its own thread; after that it only passes on.
    """

    def __init__(self) -> None:
        self.upstream = SingleAssignmentDisposable()
        self.hub = WaitHub()
        self._lock = threading.Lock()
        self._acquire, self._release = self._lock.acquire, self._lock.release
        self._past: _Past[T] = _Past()
        self._subscribers: tuple[Outlet[T], ...] = ()
        self._ended = False
        self._error: Exception | None = None
        everybody: Sink[T] = Sink(self._hand_out, self._end, self._end, self._are_ready, self._absorb)
        self.outlet: Outlet[T] = Outlet(everybody, self.upstream.dispose)

    def join(self, subscriber: Outlet[T]) -> None:
        """Add a subscriber, and let what it missed wait in it."""
        with self._lock:
            subscriber.put(*self._past.look())
            if self._ended:
                subscriber.put_end(self._error)
            else:
                self._subscribers = (*self._subscribers, subscriber)

    def leave(self, subscriber: Outlet[T]) -> bool:
        """Remove a subscriber, and return whether it was the last one."""
        with self._lock:
            if subscriber not in self._subscribers:
                return False
            self._subscribers = tuple(other for other in self._subscribers if other is not subscriber)
            return not self._subscribers

    def _hand_out(self, item: T) -> None:
        # Every item comes through here, and `with` would cost more than what it guards.
        self._acquire()
        try:
            self._past.add(item)
            subscribers = self._subscribers
        finally:
            self._release()
        for subscriber in subscribers:
            subscriber.pass_on(item)

    def _are_ready(self, batch: Batch[T]) -> bool:
        return all(subscriber.ready(batch) for subscriber in self._subscribers)

    def _absorb(self, batch: Batch[T]) -> None:
        with self._lock:
            self._past.extend(batch)
            subscribers = self._subscribers
        for subscriber in subscribers:
            # One may have joined since all of them were asked.
            if subscriber.ready(batch):
                subscriber.absorb(batch)
            else:
                for item in batch:
                    subscriber.pass_on(item)

    def _end(self, error: Exception | None = None) -> None:
        with self._lock:
            self._ended, self._error = True, error
            subscribers, self._subscribers = self._subscribers, ()
        for subscriber in subscribers:
            subscriber.end(error)


class _Past(Generic[T]):
    """
    The items so far, for late subscribers.

    The law: `look` gives what one backlog of all items would give. Batches in which thinking and content alternate are
    added to it when somebody looks: that costs as much as the rest of the chain, and mostly nobody does.
    """

    __slots__ = ("_later", "_seen", "_sum", "_tail")

    def __init__(self) -> None:
        self._sum: Backlog[T] = Backlog()
        # What comes after the sum: batches, and a backlog behind each of them.
        self._later: list[Batch[Any] | Backlog[T]] = []
        self._tail: Backlog[T] = self._sum
        self._seen: list[T] | None = None

    def add(self, item: T) -> None:
        """Add an item at the end."""
        self._seen = None
        if self._later and (_begins_over(item) or not (self._tail or _begins_apart(item))):
            self._add_up()
        self._tail.add(item)

    def extend(self, batch: Batch[T]) -> None:
        """Add a batch at the end."""
        self._seen = None
        if batch.has_one_kind:
            for item in batch.sums():
                self.add(item)
            return
        self._later.append(batch)
        self._tail = Backlog[T]()
        self._later.append(self._tail)
        if len(self._later) > _MANY:
            self._add_up()

    def look(self) -> list[T]:
        """Return all items, added up. Whoever looks next, while nothing came, gets the same list."""
        if self._seen is None:
            self._add_up()
            self._seen = self._sum.look()
        return self._seen

    def _add_up(self) -> None:
        """Add everything to the one backlog."""
        for part in self._later:
            if isinstance(part, Backlog):
                for item in part.take():
                    self._sum.add(item)
            else:
                self._sum.extend(part)
        self._later.clear()
        self._tail = self._sum


def _begins_over(item: object) -> bool:
    """Return whether an item absorbs what came before it, batches included."""
    return isinstance(item, ChatChunk) and item.restart is not None


def _begins_apart(item: object) -> bool:
    """
    Return whether an item behind a batch may be added up with those after it, before the batch is.

    The sum of an assistant's text and what follows continues the batch's message exactly if that text does. Of an item
    without a role or text this is not so: it continues the message whatever follows.
    """
    return isinstance(item, ChatChunk) and item.message.role == "assistant" and (item.visible or item.done)
