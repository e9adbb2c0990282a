"""A subscriber that records, for tests that subscribe outside of any event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from reactivex import Observable, abc

from rxollama._runtime import background
from rxollama.messages import ChatChunk

T = TypeVar("T")

PATIENCE = 10.0


class Heard(Generic[T]):
    """
    A subscriber that records every item and the end.

    Args:
        source: The observable to subscribe to; None if the caller subscribes.
        each: A function that is called with each item, after it is recorded.
    """

    def __init__(self, source: Observable[T] | None = None, each: Callable[[T], object] | None = None) -> None:
        self.items: list[T] = []
        self.threads: set[str] = set()
        self.completed = False
        self.error: Exception | None = None
        self.over = threading.Event()
        self._each = each
        self._came = threading.Condition()
        self.subscription: abc.DisposableBase | None = None
        if source is not None:
            self.subscription = source.subscribe(self.on_next, self.on_error, self.on_completed)

    def on_next(self, item: T) -> None:
        """Record an item."""
        with self._came:
            self.items.append(item)
            self.threads.add(threading.current_thread().name)
            self._came.notify_all()
        if self._each is not None:
            self._each(item)

    def on_error(self, error: Exception) -> None:
        """Record the error."""
        self.error = error
        self._end()

    def on_completed(self) -> None:
        """Record the completion."""
        self.completed = True
        self._end()

    def _end(self) -> None:
        self.threads.add(threading.current_thread().name)
        assert not self.over.is_set(), "a stream ended twice"
        self.over.set()

    def dispose(self) -> None:
        """Dispose."""
        assert self.subscription is not None
        self.subscription.dispose()

    def wait(self) -> Self:
        """Block until the stream ends."""
        assert self.over.wait(PATIENCE), "the stream did not end"
        return self

    def wait_items(self, count: int) -> Self:
        """Block until that many items were received."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.items) >= count, PATIENCE), "the items did not come"
        return self

    @property
    def failure(self) -> Exception:
        """The error of the stream that ended."""
        self.wait()
        assert self.error is not None, "the stream completed"
        return self.error


def text_of(chunks: list[ChatChunk]) -> str:
    """Return the joined content of chunks."""
    return "".join(chunk.message.content for chunk in chunks)


def settle() -> None:
    """Block until the background loop has run everything that is scheduled by now."""

    async def turn() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run_coroutine_threadsafe(turn(), background()).result(PATIENCE)
