"""
The iterators: a stream as a plain `for` or an `async for`.

The consumer may be slow. Items that arrive meanwhile wait in an inbox, and the stream goes on: the socket must be
drained whatever the consumer does, and a sum keeps the memory bounded by the text itself.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from reactivex import Observable, abc

from rxollama._invalid_value import invalid_value
from rxollama._runtime._batches import Sink
from rxollama._runtime._blocking import check_asyncio, check_no_loop
from rxollama._runtime._loop import call_on, running
from rxollama._runtime._whole import without_internals
from rxollama.messages import Backlog, Batch, Latest, Queue

__all__ = ("AsyncIteration", "Iteration", "Overflow")

T = TypeVar("T")

Overflow: TypeAlias = Literal["sum", "keep", "latest"]
"""The items that a slow consumer finds: their sum, each of them, or only the latest."""

# Windows does not interrupt a lock that waits without a limit.
_SLICE = 0.5 if os.name == "nt" else None


_Waiting: TypeAlias = Backlog[T] | Queue[T] | Latest[T]

_OVERFLOWS: dict[str, Callable[[], _Waiting[Any]]] = {"sum": Backlog, "keep": Queue, "latest": Latest}


class _Inbox(Generic[T]):
    """
    A queue from the stream's thread to the consumer's.

    The stream refers to the inbox, and only the consumer to the iterator around it. So the garbage collector finds an
    iterator that was dropped, and closes the request.

    Args:
        source: The stream.
        overflow: The items that a slow consumer finds.
        wake: Wakes the consumer.
        is_awake: Returns whether another `wake` would change nothing.
    """

    def __init__(
        self, source: Observable[T], overflow: Overflow, wake: Callable[[], None], is_awake: Callable[[], bool]
    ) -> None:
        if overflow not in _OVERFLOWS:
            raise invalid_value("overflow", overflow, "'sum', 'keep' or 'latest'")
        self._source = source
        self._wake, self._is_awake = wake, is_awake
        self._lock = threading.Lock()
        self._waiting: _Waiting[T] = _OVERFLOWS[overflow]()
        self.ready: deque[T] = deque()
        """The items that the consumer finds without a lock. Only the consumer takes them."""
        self._subscription: abc.DisposableBase | None = None
        self._error: Exception | None = None
        self._ended = self._closed = self.begun = False

    def begin(self) -> None:
        """Subscribe."""
        self.begun = True
        sink = Sink(self._on_next, self._on_error, self._on_completed, self._is_ready, self._absorb)
        self._subscription = self._source.subscribe(sink)
        if self._closed:
            # Another thread closed it meanwhile, or the source did.
            self.dispose()

    def _on_next(self, item: T) -> None:
        with self._lock:
            self._waiting.add(item)
        self._wake()

    def _is_ready(self, _: Batch[T]) -> bool:
        # Of the consumers of one `share` the one wakes first whose item comes first, so a batch must not wake any.
        return self._is_awake()

    def _absorb(self, batch: Batch[T]) -> None:
        with self._lock:
            self._waiting.extend(batch)
        self._wake()

    def _on_error(self, error: Exception) -> None:
        self._error = error
        self._on_completed()

    def _on_completed(self) -> None:
        self._ended = True
        self._wake()

    def fill(self, over: Exception) -> bool:
        """Let what came be ready, and return whether something is; raise *over* or the stream's error at the end."""
        ready = self.ready
        if not self._closed:
            # Read before the items are taken, since the end comes after the last of them.
            ended = self._ended
            with self._lock:
                ready.extend(self._waiting.take())
            if ended and not ready:
                self.dispose()
                if self._error is not None:
                    raise without_internals(self._error)
        if not ready and self._closed:
            raise over
        return bool(ready)

    def dispose(self) -> None:
        """Close the request, drop the items that wait, and wake the consumer."""
        self._close()
        self._wake()

    def drop(self) -> None:
        """
        Close the request, from a finalizer.

        The garbage collector may run it anywhere, even while this very thread holds a lock of the stream or of the
        consumer's event. So it takes no lock on the thread of a loop: the loop does it later. Nobody has to be woken.
        """
        loop = running()
        if loop is None:
            self._close()
        else:
            loop.call_soon(self._close)

    def _close(self) -> None:
        self.begun = self._closed = True
        self.ready.clear()
        # A source that ignores its disposal must not fill the memory.
        self._waiting = Latest()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.dispose()


class Iteration(Generic[T]):
    """
    The iterator that `iterate` and `for item in stream` use.

    .. versionadded:: 0.1
    """

    def __init__(self, source: Observable[T], *, overflow: Overflow) -> None:
        self._event = threading.Event()
        self._inbox = _Inbox(source, overflow, self._event.set, self._event.is_set)

    def __iter__(self) -> Iteration[T]:
        """Return itself."""
        return self

    def __next__(self) -> T:
        """Wait for the next item."""
        inbox, event = self._inbox, self._event
        if inbox.ready:
            return inbox.ready.popleft()
        if not inbox.begun:
            check_no_loop("iterate(...)", "`async for item in aiterate(stream)`")
        try:
            if not inbox.begun:
                inbox.begin()
            while not inbox.fill(StopIteration()):
                event.wait(_SLICE)
                event.clear()
        except BaseException:
            # The end, an error, or Ctrl-C.
            inbox.dispose()
            raise
        return inbox.ready.popleft()

    def close(self) -> None:
        """Dispose the subscription, which closes the request. The next step ends the iteration."""
        self._inbox.dispose()

    def __enter__(self) -> Iteration[T]:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self._inbox.dispose()

    def __del__(self) -> None:
        """Close the request if the loop was left early."""
        if hasattr(self, "_inbox"):
            self._inbox.drop()


class AsyncIteration(Generic[T]):
    """
    The async iterator that `aiterate` and `async for item in stream` use.

    .. versionadded:: 0.1
    """

    def __init__(self, source: Observable[T], *, overflow: Overflow) -> None:
        self._bell = _Bell()
        self._inbox = _Inbox(source, overflow, self._bell.ring, self._bell.is_rung)

    def __aiter__(self) -> AsyncIteration[T]:
        """Return itself."""
        return self

    async def __anext__(self) -> T:
        """Wait for the next item."""
        inbox, bell = self._inbox, self._bell
        if inbox.ready:
            return inbox.ready.popleft()
        try:
            if not inbox.begun:
                check_asyncio("aiterate(...)")
                bell.loop = asyncio.get_running_loop()
                inbox.begin()
            while not inbox.fill(StopAsyncIteration()):
                await bell.wait()
        except BaseException:
            # The end, an error, or the task was cancelled.
            inbox.dispose()
            raise
        return inbox.ready.popleft()

    async def aclose(self) -> None:
        """Dispose the subscription, which closes the request. The next step ends the iteration."""
        self._inbox.dispose()

    async def __aenter__(self) -> AsyncIteration[T]:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        self._inbox.dispose()

    def __del__(self) -> None:
        """Close the request if the loop was left early."""
        if hasattr(self, "_inbox"):
            self._inbox.drop()


class _Bell:
    """An event of one loop that any thread may set. It wakes the loop once for many items."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self._rung = False

    def ring(self) -> None:
        """Wake the waiting task."""
        if not self._rung and self.loop is not None:
            self._rung = True
            call_on(self.loop, self._event.set)

    def is_rung(self) -> bool:
        """Return whether the task is being woken."""
        return self._rung

    async def wait(self) -> None:
        """Wait for the next ring."""
        await self._event.wait()
        self._event.clear()
        self._rung = False
