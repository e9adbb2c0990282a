"""One turn on its way: the answer is handed on, and remembered."""

from __future__ import annotations

import threading
from collections.abc import Callable

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from rxollama.conversation._turn import is_whole
from rxollama.messages import ChatChunk, ChatResponse, ResponseBuilder

__all__ = ("Join", "Sending")

Join = Callable[[ChatResponse, bool], None]
"""Takes what came of a prompt, and whether its stream completed."""


class Sending:
    """
    Drive one subscription.

    What came is handed over once: when the answer is whole, before its last chunk is handed on; or else at the end,
    before this is told, and before `dispose` returns. While that is done the lock is held, so that whoever disposes
    finds it done; nothing is called downstream meanwhile.

    Args:
        observer: The subscriber.
        join: Takes what came; not called where nothing did.
    """

    def __init__(self, observer: abc.ObserverBase[ChatChunk], join: Join) -> None:
        self._observer = observer
        self._join = join
        self._lock = threading.Lock()
        self._builder: ResponseBuilder | None = ResponseBuilder()
        self._has_begun = False
        self._place = SingleAssignmentDisposable()

    def begin(self, source: Observable[ChatChunk], scheduler: abc.SchedulerBase | None) -> None:
        """Subscribe to the answer."""
        self._place.disposable = source.subscribe(
            self._on_next, self._on_error, self._on_completed, scheduler=scheduler
        )

    def dispose(self) -> None:
        """Close the request, and remember what came."""
        self._place.dispose()
        self._settle(completed=False)

    def _on_next(self, chunk: ChatChunk) -> None:
        with self._lock:
            builder = self._builder
            if builder is not None:
                builder.add(chunk)
                self._has_begun = True
                if chunk.done and is_whole(said := builder.snapshot()):
                    self._builder = None
                    self._join(said, False)
        self._observer.on_next(chunk)

    def _on_error(self, error: Exception) -> None:
        self._settle(completed=False)
        self._observer.on_error(error)

    def _on_completed(self) -> None:
        self._settle(completed=True)
        self._observer.on_completed()

    def _settle(self, *, completed: bool) -> None:
        with self._lock:
            builder, self._builder = self._builder, None
            if builder is not None and self._has_begun:
                self._join(builder.snapshot(), completed)
