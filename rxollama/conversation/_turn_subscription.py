"""The subscription to one answer of a conversation."""

from __future__ import annotations

import threading
from collections.abc import Callable

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from rxollama._runtime import Sink, batch_path
from rxollama.conversation._turn import is_whole
from rxollama.errors import StreamError
from rxollama.messages import ChatChunk, ChatResponse, ChunkBatch, ResponseBuilder

__all__ = ("AddTurn", "EndTurn", "TurnSubscription")

AddTurn = Callable[[ChatResponse, bool], None]
"""Adds an answer to the history. The flag is whether the stream completed."""

EndTurn = Callable[[], StreamError | None]
"""Is called before the completion is passed on. It may return an error to end with instead."""


# The law: *add_turn* is called at most once, and before anybody can see that the answer is over. So it is called before
# the last chunk of a whole answer is passed on, otherwise before the error or the completion is passed on, and always
# before `dispose` returns. The lock is held during that call: a thread that disposes meanwhile waits until the history
# is written. Nothing downstream is called under the lock, so a subscriber may use the conversation as it likes.
class TurnSubscription:
    """
    The subscription to one answer, which adds the answer to the history.

    Args:
        observer: The subscriber.
        add_turn: A function that adds the answer to the history. It is not called if no chunk arrived.
        end_turn: A function that may turn the completion into an error.
    """

    def __init__(self, observer: abc.ObserverBase[ChatChunk], add_turn: AddTurn, end_turn: EndTurn) -> None:
        self._observer = observer
        self._ready_below, self._absorb_below = batch_path(observer)
        self._add_turn = add_turn
        self._end_turn = end_turn
        self._lock = threading.Lock()
        self._builder: ResponseBuilder | None = ResponseBuilder()
        self._has_begun = False
        self._source = SingleAssignmentDisposable()

    def subscribe(self, source: Observable[ChatChunk], scheduler: abc.SchedulerBase | None) -> None:
        """Subscribe to the answer."""
        sink = Sink(self._on_next, self._on_error, self._on_completed, self._ready_below, self._absorb)
        self._source.disposable = source.subscribe(sink, scheduler=scheduler)

    def dispose(self) -> None:
        """Close the request and add to the history what arrived."""
        self._source.dispose()
        self._finish(completed=False)

    def _on_next(self, chunk: ChatChunk) -> None:
        with self._lock:
            builder = self._builder
            if builder is not None:
                builder.add(chunk)
                self._has_begun = True
                if chunk.done and is_whole(response := builder.snapshot()):
                    self._builder = None
                    self._add_turn(response, False)
        self._observer.on_next(chunk)

    def _absorb(self, batch: ChunkBatch) -> None:
        with self._lock:
            if self._builder is not None:
                self._builder.extend(batch)
                self._has_begun = True
        self._absorb_below(batch)

    def _on_error(self, error: Exception) -> None:
        self._finish(completed=False)
        self._observer.on_error(error)

    def _on_completed(self) -> None:
        self._finish(completed=True)
        error = self._end_turn()
        if error is None:
            self._observer.on_completed()
        else:
            self._observer.on_error(error)

    def _finish(self, *, completed: bool) -> None:
        with self._lock:
            builder, self._builder = self._builder, None
            if builder is not None and self._has_begun:
                self._add_turn(builder.snapshot(), completed)
