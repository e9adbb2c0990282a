"""The whole of a stream: what `run` and `await` wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from rxollama._invalid_value import RxOllamaError
from rxollama._runtime._batches import Sink, always_ready
from rxollama.errors import EmptyStreamError
from rxollama.messages import Batch, StreamTotal

__all__ = ("Whole", "without_internals")

T = TypeVar("T")


class Whole(Generic[T]):
    """
    The whole of a stream, once it has ended: the sum of its deltas, or else its last item.

    Args:
        source: The stream.
        sums: Whether its items are deltas, which add up.
        empty: The sum of no deltas; None if there is none.
        wake: Called when the stream has ended, on any thread.
    """

    def __init__(self, source: Observable[T], *, sums: bool, empty: T | None, wake: Callable[[], None]) -> None:
        self.has_ended = False
        self.error: Exception | None = None
        self._source = source
        self._total: StreamTotal[T] | None = StreamTotal() if sums else None
        self._last: list[T] = [] if empty is None else [empty]
        self._wake = wake
        self._place = SingleAssignmentDisposable()

    def begin(self, scheduler: abc.SchedulerBase | None = None) -> None:
        """Subscribe."""
        on_next, absorb = self._keep, self._keep_last
        if self._total is not None:
            on_next, absorb = self._total.add, self._total.extend
        sink = Sink(on_next, self._on_error, self._on_completed, always_ready, absorb)
        self._place.disposable = self._source.subscribe(sink, scheduler=scheduler)

    def dispose(self) -> None:
        """Close the request, if it is still open."""
        self._place.dispose()

    def take(self) -> T:
        """
        Return the whole of a stream that completed.

        Raises:
            EmptyStreamError: If there was no item.
        """
        if self._total:
            return self._total.value
        if not self._last:
            raise EmptyStreamError(_EMPTY)
        return self._last[0]

    def _keep(self, item: T) -> None:
        self._last = [item]

    def _keep_last(self, batch: Batch[T]) -> None:
        self._last = [batch.last]

    def _on_error(self, error: Exception) -> None:
        self.error = without_internals(error)
        self._on_completed()

    def _on_completed(self) -> None:
        self.has_ended = True
        self._wake()


_EMPTY = (
    "the stream ended without an item: expected at least one; "
    "if it may be empty, use iterate(stream), or a default such as reactivex's operators.default_if_empty()"
)


def without_internals(error: Exception) -> Exception:
    """
    Return an error without the traceback of the library's own frames, which would hide the user's line.

    An exception that a user's callback or tool raised keeps its traceback, which ends with the user's line.
    """
    return error.with_traceback(None) if isinstance(error, RxOllamaError) else error
