"""
The execution of a call, on the event loop or on a thread of its own.

The law: a tool never holds the loop for longer than its own code takes there, and what waits between its thread and
the loop is bounded.

A function that is not async may block, so it runs on a thread. The thread is a daemon and belongs to no pool: the
interpreter joins the threads of a pool when it exits, and a tool that hangs would keep a place there. What the function
returns comes to the loop through a future. If that is an iterator, its steps run on the same thread, since many
iterators are bound to the thread that made them, such as the rows of a database.

The items of an iterator wait in a queue. It needs a limit: without one, an iterator that does not end fills the memory,
and the loop, which always finds another item, runs nothing else. A limit alone does not give the loop its turn, since
the thread refills the queue while the loop empties it. So the consumer also gives way by the clock, which async
generators that never wait need just as much. To ask the thread for one item at a time would be simpler, but costs two
changes of thread per item.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from time import monotonic
from typing import Any, TypeGuard

from reactivex import Observable

from rxollama._invalid_value import RxOllamaError
from rxollama._runtime import AsyncIteration, call_on

__all__ = ("ToolExitError", "run_call")

# Two changes of thread per item would cost more than the item; this many make them rare.
_MOST_WAITING = 256
# A millisecond is short for other streams that wait, and long beside the cost of one turn of the loop.
_TURN_SECONDS = 0.001
# A thread that waits for its consumer looks this often whether the loop of the consumer still exists.
_LOOK_SECONDS = 1.0

_END: Any = object()


class ToolExitError(RxOllamaError, RuntimeError):
    """
    The error of a tool that raised what would end a program, a task or a loop, such as `SystemExit`.

    The exception of the tool is the `__cause__`.

    .. versionadded:: 0.1
    """


async def run_call(
    call: Callable[[], Any], name: str, *, on_loop: bool, keep_none: bool = True
) -> AsyncGenerator[Any, None]:
    """
    Run a call, and yield its items.

    If the generator is closed early, awaitables are cancelled, observables are disposed, and async iterators are
    closed. A function on a thread goes on and its result is dropped; an iterator there is closed after its current
    step.

    Args:
        call: A function without arguments.
        name: The name of the call, for errors and for its thread.
        on_loop: Whether to call it in the task that iterates, rather than on a thread of its own.
        keep_none: Whether None is an item.

    Yields:
        What the call returns. If that is an awaitable its result, and if it is an observable or an iterator, async or
        not, its items.

    Raises:
        ToolExitError: If the call raises `SystemExit`, or on a thread anything that is not an `Exception`.
        Exception: Whatever the call raises.
    """
    worker = None if on_loop else _Worker(call, name)
    items: Any = None
    try:
        items = await _given(call, worker)
        if not _is_async_iterator(items):
            if items is not None or keep_none:
                yield items
            return
        began = monotonic()
        while (item := await _next(items)) is not _END:
            if item is not None or keep_none:
                yield item
            if monotonic() - began > _TURN_SECONDS:
                await asyncio.sleep(0)
                began = monotonic()
    except SystemExit as error:
        raise _exit_error(error, name) from error
    finally:
        if worker is not None:
            worker.leave()
        if _is_async_iterator(items):
            await _close(items)


async def _given(call: Callable[[], Any], worker: _Worker | None) -> Any:
    """Return the one item of a call, or the async iterator of its items."""
    value: Any = call() if worker is None else await worker.value
    # An observable and some iterators can be awaited as well, but that gives less.
    while _is_only_awaitable(value):
        value = await value
    return AsyncIteration(value, overflow="keep") if _is_observable(value) else value


async def _close(items: AsyncIterator[Any]) -> None:
    close = getattr(items, "aclose", None)
    if close is not None:
        await close()


async def _next(items: AsyncIterator[Any]) -> Any:
    cancels = _cancels()
    item = await anext(items, _END)
    _check_cancels(cancels)
    return item


def _cancels() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _check_cancels(before: int) -> None:
    """Cancel the call again if the tool caught its cancellation, after which it could go on without an end."""
    if _cancels() > before:
        raise asyncio.CancelledError


def _exit_error(error: BaseException, name: str) -> ToolExitError:
    return ToolExitError(f"{name} raised {type(error).__name__}")


def _is_observable(value: object) -> TypeGuard[Observable[Any]]:
    return isinstance(value, Observable)


def _is_only_awaitable(value: object) -> TypeGuard[Awaitable[Any]]:
    return isinstance(value, Awaitable) and not isinstance(value, (Observable, AsyncIterator))


def _is_async_iterator(value: object) -> TypeGuard[AsyncIterator[Any]]:
    return isinstance(value, AsyncIterator)


def _is_iterator(value: object) -> TypeGuard[Iterator[Any]]:
    return isinstance(value, Iterator)


def _close_unawaited(value: object) -> None:
    """Close a coroutine that nobody will await, which Python would warn of."""
    if iscoroutine(value) and getcoroutinestate(value) == CORO_CREATED:
        value.close()


class _Worker(AsyncIterator[Any]):
    """
    A thread that makes one call.

    Its future is for what the call returns. If that is an iterator, the worker itself takes its place: an async
    iterator of the items.
    """

    def __init__(self, call: Callable[[], Any], name: str) -> None:
        self._call = call
        self._name = name
        self._loop = asyncio.get_running_loop()
        self.value: asyncio.Future[Any] = self._loop.create_future()
        self._items: deque[Any] = deque()
        self._slots = threading.Semaphore(_MOST_WAITING)
        self._came = asyncio.Event()
        self._rung = False
        self._error: Exception | None = None
        self._left = False
        self._ends = False
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=name, daemon=True)
        self._thread.start()

    async def __anext__(self) -> Any:
        while not self._items:
            await self._came.wait()
            # Before the next look at the items: one that comes after that look rings again.
            self._came.clear()
            self._rung = False
        item = self._items.popleft()
        if item is _END:
            raise self._error or StopAsyncIteration
        self._slots.release()
        return item

    def leave(self) -> None:
        """Drop what is still to come, and wait for the thread if it has nothing left to do but to end."""
        self._left = True
        self._slots.release()
        if not self.value.cancel() and not self.value.cancelled() and self.value.exception() is None:
            _close_unawaited(self.value.result())
        if self._ends:
            self._thread.join()

    # From here on, everything but `_resolve` runs on the thread.

    def _run(self) -> None:
        try:
            value = self._call()
            if _is_iterator(value):
                self._tell(self, None)
                self._feed(value)
                self._end(None)
            else:
                self._ends = True
                self._tell(value, None)
        except (StopIteration, StopAsyncIteration) as error:
            # An async generator would turn them into a RuntimeError that does not name the tool.
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - A tool may raise anything, and its caller is told.
            self._end(error)
        except BaseException as error:  # noqa: BLE001 - Raised on the loop it would end the program or look cancelled.
            self._fail(error)

    def _feed(self, iterator: Iterator[Any]) -> None:
        for item in iterator:
            if not self._has_room():
                break
            self._items.append(item)
            self._ring()
        close = getattr(iterator, "close", None)
        if close is not None:
            close()

    def _has_room(self) -> bool:
        """Wait for room in the queue; return False if nobody will take another item."""
        # A loop that is closed without its generators never tells that it has left.
        has_room = False
        while not (has_room or self._left or self._loop.is_closed()):
            has_room = self._slots.acquire(timeout=_LOOK_SECONDS)
        return has_room and not self._left

    def _fail(self, error: BaseException) -> None:
        exit_error = _exit_error(error, self._name)
        exit_error.__cause__ = error
        self._end(exit_error)

    def _end(self, error: Exception | None) -> None:
        self._error = error
        self._ends = True
        self._items.append(_END)
        self._ring()
        if error is not None:
            # If the call itself raised, nothing has resolved the future yet.
            self._tell(None, error)

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            call_on(self._loop, self._came.set)

    def _tell(self, value: Any, error: Exception | None) -> None:
        if self._left:
            _close_unawaited(value)
        else:
            call_on(self._loop, partial(self._resolve, value, error))

    def _resolve(self, value: Any, error: Exception | None) -> None:
        if self.value.done():
            _close_unawaited(value)
        elif error is None:
            self.value.set_result(value)
        else:
            self.value.set_exception(error)
