"""
Leaving Rx: from an observable to a value, a loop, or an async loop.

A consumer may be as slow as it likes: what comes meanwhile waits here, added up, and the stream goes on.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from reactivex import Observable, abc
from reactivex.internal.exceptions import SequenceContainsNoElementsError

from rxollama._invalid_value import invalid_value
from rxollama._runtime._loop import call_on, running
from rxollama.errors import RunningLoopError
from rxollama.messages import Backlog

__all__ = ("AsyncIteration", "Iteration", "Overflow", "aiterate", "iterate", "run")

T = TypeVar("T")

Overflow: TypeAlias = Literal["sum", "keep", "latest"]
"""What a slow consumer finds: the sum of what waited, every item of it, or only the latest."""

# Windows does not interrupt a lock that waits for ever.
_SLICE = 0.5 if os.name == "nt" else None


def run(source: Observable[T]) -> T:
    """
    Block this thread until an observable completes, and return its last item.

    Ctrl-C disposes the subscription, which closes the request, and is raised as usual.

    Args:
        source: The observable, typically ending in `collect()`.

    Returns:
        The last item.

    Raises:
        RunningLoopError: Inside a running event loop, which it would block for ever: use `await source`.
        SequenceContainsNoElementsError: When it completes without an item, as `await` has it.
        Exception: Whatever error ends the observable.

    .. versionadded:: 0.1
    """
    _refuse_loop("run(...)", "`await source`")
    last: list[T] = []
    with Iteration(source, overflow="latest") as items:
        for item in items:
            last = [item]
    if not last:
        raise SequenceContainsNoElementsError
    return last[0]


def iterate(source: Observable[T], *, overflow: Overflow = "sum") -> Iteration[T]:
    """
    Iterate over an observable in a plain `for`, from any thread without an event loop.

    Subscribes at the first step. Leaving the loop disposes the subscription, which closes the request; so does
    Ctrl-C. For an exact moment use it in a `with`, or call `close()`.

    Args:
        source: The observable.
        overflow: What to find after being slow: `sum`, texts joined and chunks added up, never a lost word; `keep`,
            every item; `latest`, only the latest.

    Returns:
        An iterator, which is a context manager as well. It raises the error that ends the observable.

    Raises:
        RunningLoopError: Inside a running event loop, which it would block: use `aiterate`.
        InvalidValueError: When *overflow* is none of these.

    .. versionadded:: 0.1
    """
    _refuse_loop("iterate(...)", "`async for item in aiterate(source)`")
    return Iteration(source, overflow=overflow)


def aiterate(source: Observable[T], *, overflow: Overflow = "sum") -> AsyncIteration[T]:
    """
    Iterate over an observable in an `async for`.

    Subscribes at the first step, on the running loop. Leaving the loop disposes the subscription, which closes the
    request; so does cancelling the task. For an exact moment use it in an `async with`, or call `aclose()`.

    Args:
        source: The observable.
        overflow: What to find after being slow, see `iterate`.

    Returns:
        An async iterator, which is an async context manager as well. It raises the error that ends the observable.

    Raises:
        InvalidValueError: When *overflow* is none of these.

    .. versionadded:: 0.1
    """
    return AsyncIteration(source, overflow=overflow)


class _Waiting(Protocol[T]):
    def add(self, item: T, /) -> None: ...
    def take(self) -> list[T]: ...


class _Kept(Generic[T]):
    """Keep every item."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self.add = self._items.append

    def take(self) -> list[T]:
        taken = self._items.copy()
        self._items.clear()
        return taken


class _Latest(Generic[T]):
    """Keep the latest item."""

    def __init__(self) -> None:
        self._items: deque[T] = deque(maxlen=1)
        self.add = self._items.append

    def take(self) -> list[T]:
        taken = list(self._items)
        self._items.clear()
        return taken


_OVERFLOWS: dict[str, Callable[[], _Waiting[Any]]] = {"sum": Backlog, "keep": _Kept, "latest": _Latest}


class _Inbox(Generic[T]):
    """
    Take in items on the stream's thread, and hand them out on the consumer's.

    The stream holds on to this, the consumer to an iterator around it: so an iterator that is dropped can close it.
    """

    def __init__(self, source: Observable[T], overflow: Overflow, wake: Callable[[], None]) -> None:
        if overflow not in _OVERFLOWS:
            raise invalid_value("overflow", overflow, "'sum', 'keep' or 'latest'")
        self._source = source
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: _Waiting[T] = _OVERFLOWS[overflow]()
        self._ready: deque[T] = deque()
        self._subscription: abc.DisposableBase | None = None
        self._error: Exception | None = None
        self._ended = self._closed = self.begun = False

    def begin(self) -> None:
        """Subscribe."""
        self.begun = True
        self._subscription = self._source.subscribe(self._on_next, self._on_error, self._on_completed)
        if self._closed:
            # By another thread, or by the source itself.
            self.dispose()

    def _on_next(self, item: T) -> None:
        with self._lock:
            self._waiting.add(item)
        self._wake()

    def _on_error(self, error: Exception) -> None:
        self._error = error
        self._on_completed()

    def _on_completed(self) -> None:
        self._ended = True
        self._wake()

    def next(self, over: Exception) -> list[T]:
        """Return the next item in a list, or an empty list where it must be waited for; raise *over* at the end."""
        ready = self._ready
        if not ready and not self._closed:
            # Asked before the items are taken, since the end comes after the last of them.
            ended = self._ended
            with self._lock:
                ready.extend(self._waiting.take())
            if ended and not ready:
                self.dispose()
                if self._error is not None:
                    raise self._error
        if ready:
            return [ready.popleft()]
        if self._closed:
            raise over
        return []

    def dispose(self) -> None:
        """Close the request, and forget what waits."""
        self.begun = self._closed = True
        self._ready.clear()
        # A source that goes on all the same fills no memory.
        self._waiting = _Latest()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.dispose()
        self._wake()


class Iteration(Generic[T]):
    """
    Be the iterator that `iterate` returns.

    .. versionadded:: 0.1
    """

    def __init__(self, source: Observable[T], *, overflow: Overflow = "sum") -> None:
        self._event = threading.Event()
        self._inbox = _Inbox(source, overflow, self._event.set)

    def __iter__(self) -> Iteration[T]:
        """Return itself."""
        return self

    def __next__(self) -> T:
        """Wait for the next item."""
        inbox, event = self._inbox, self._event
        if not inbox.begun:
            _refuse_loop("iterate(...)", "`async for item in aiterate(source)`")
        try:
            if not inbox.begun:
                inbox.begin()
            while not (found := inbox.next(StopIteration())):
                event.wait(_SLICE)
                event.clear()
        except BaseException:
            # The end, an error, or Ctrl-C.
            inbox.dispose()
            raise
        return found[0]

    def close(self) -> None:
        """Dispose the subscription, which closes the request; nothing more is handed out."""
        self._inbox.dispose()

    def __enter__(self) -> Iteration[T]:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self._inbox.dispose()

    def __del__(self) -> None:
        """Close the request of a loop that was left."""
        if hasattr(self, "_inbox"):
            self._inbox.dispose()


class AsyncIteration(Generic[T]):
    """
    Be the async iterator that `aiterate` returns.

    .. versionadded:: 0.1
    """

    def __init__(self, source: Observable[T], *, overflow: Overflow = "sum") -> None:
        self._bell = _Bell()
        self._inbox = _Inbox(source, overflow, self._bell.ring)

    def __aiter__(self) -> AsyncIteration[T]:
        """Return itself."""
        return self

    async def __anext__(self) -> T:
        """Wait for the next item."""
        inbox, bell = self._inbox, self._bell
        try:
            if not inbox.begun:
                bell.loop = asyncio.get_running_loop()
                inbox.begin()
            while not (found := inbox.next(StopAsyncIteration())):
                await bell.wait()
        except BaseException:
            # The end, an error, or the task was cancelled.
            inbox.dispose()
            raise
        return found[0]

    async def aclose(self) -> None:
        """Dispose the subscription, which closes the request; nothing more is handed out."""
        self._inbox.dispose()

    async def __aenter__(self) -> AsyncIteration[T]:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        self._inbox.dispose()

    def __del__(self) -> None:
        """Close the request of a loop that was left."""
        if hasattr(self, "_inbox"):
            self._inbox.dispose()


class _Bell:
    """Be an event of one loop that may be set from any thread, which wakes the loop once for many items."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self._rung = False

    def ring(self) -> None:
        """Wake the one who waits."""
        if not self._rung and self.loop is not None:
            self._rung = True
            call_on(self.loop, self._event.set)

    async def wait(self) -> None:
        """Wait for the next ring."""
        await self._event.wait()
        self._event.clear()
        self._rung = False


def _refuse_loop(call: str, instead: str) -> None:
    if running() is not None:
        raise RunningLoopError(f"{call} would block the event loop that runs on this thread: use {instead}")
