"""
Running a tool: in a thread or on the loop, until it ends or is left.

A function that is not async may block, so it runs on a thread of its own. That is a daemon, and of no pool: what hangs
in a pool keeps the interpreter from exiting, which joins a pool's threads, and it keeps a place from the next call.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from typing import Any, TypeGuard

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rxollama._runtime import AsyncIteration

__all__ = ("run_here", "run_in_thread", "was_cancelled", "without_none")


async def run_here(call: Callable[[], Any], name: str) -> AsyncGenerator[Any, None]:
    """
    Call an async function in the task that iterates, and bring what it brings.

    Args:
        call: The function, bound to its arguments.
        name: What to call it in an error.

    Yields:
        What it returns, or what is yielded or emitted by what it returns.
    """
    try:
        async with aclosing(_brought(call())) as items:
            async for item in items:
                yield item
    except SystemExit as error:
        raise _harmless(error, name) from error


async def run_in_thread(call: Callable[[], Any], name: str) -> AsyncGenerator[Any, None]:
    """
    Call a function on a thread of its own, and bring here what it brings.

    Closed early, what the function returns is dropped, and an iterator is closed after the step that it is at.

    Args:
        call: The function, bound to its arguments.
        name: What to call it in an error, and its thread.

    Yields:
        What it returns, or what is yielded or emitted by what it returns.
    """
    work = _Work(call, name)
    try:
        async with AsyncIteration(Observable(work.subscribe), overflow="keep") as found:
            async for value in found:
                async with aclosing(_brought(value)) as items:
                    async for item in items:
                        yield item
    except SystemExit as error:
        raise _harmless(error, name) from error
    finally:
        work.leave()


def was_cancelled() -> bool:
    """Tell whether it is this task that was cancelled, rather than something that it waits for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _harmless(error: BaseException, name: str) -> RuntimeError:
    """Name what would end the program, a task or a loop over items in an error that is told like any other."""
    return RuntimeError(f"{name} raised {type(error).__name__}")


async def without_none(items: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """Leave out what a function returns that returns nothing."""
    async with aclosing(items):
        async for item in items:
            if item is not None:
                yield item


def _is_observable(value: object) -> TypeGuard[Observable[Any]]:
    return isinstance(value, Observable)


def _is_async_iterator(value: object) -> TypeGuard[AsyncIterator[Any]]:
    return isinstance(value, AsyncIterator)


def _is_iterator(value: object) -> TypeGuard[Iterator[Any]]:
    return isinstance(value, Iterator)


async def _brought(value: Any) -> AsyncGenerator[Any, None]:
    """Wait for what has to be waited for."""
    if _is_observable(value):
        async with AsyncIteration(value, overflow="keep") as items:
            async for item in items:
                yield item
    elif _is_async_iterator(value):
        try:
            async for item in value:
                yield item
        finally:
            close = getattr(value, "aclose", None)
            if close is not None:
                await close()
    elif isinstance(value, Awaitable):
        async with aclosing(_brought(await value)) as items:
            async for item in items:
                yield item
    else:
        yield value


class _Work:
    """Be one call on one thread, as an observable that is subscribed once."""

    def __init__(self, call: Callable[[], Any], name: str) -> None:
        self._call = call
        self._context = contextvars.copy_context()
        self._left = self._dropped = self._ended = False
        self._value: Any = None
        self._thread: threading.Thread | None = None
        self._name = name

    def subscribe(self, observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        """Start the thread."""
        self._thread = threading.Thread(
            target=self._context.run, args=(self._run, observer), name=self._name, daemon=True
        )
        self._thread.start()
        return Disposable(self._stop)

    def leave(self) -> None:
        """Take nothing more, and wait for the thread where it has nothing left to do but to end."""
        self._dropped = True
        self._close_unawaited()
        if self._ended and self._thread is not None:
            self._thread.join()

    def _stop(self) -> None:
        self._left = True

    def _close_unawaited(self) -> None:
        """Close a coroutine that nobody will await any more, whichever comes later, it or the leaving."""
        if self._dropped and iscoroutine(self._value) and getcoroutinestate(self._value) == CORO_CREATED:
            self._value.close()

    def _run(self, observer: abc.ObserverBase[Any]) -> None:
        try:
            self._step(observer)
        except (StopIteration, StopAsyncIteration) as error:
            # They would be taken for the end of whoever iterates. Python's generators do the same.
            self._fail(observer, error)
        except Exception as error:  # noqa: BLE001 - A tool may raise what it likes, and its caller is told of it.
            self._ended = True
            observer.on_error(error)
        except BaseException as error:  # noqa: BLE001 - See below.
            # Raised on the loop it would end the program, or look like a cancellation. A thread it only ends.
            self._fail(observer, error)
        else:
            self._ended = True
            observer.on_completed()

    def _fail(self, observer: abc.ObserverBase[Any], error: BaseException) -> None:
        told = _harmless(error, self._name)
        told.__cause__ = error
        self._ended = True
        observer.on_error(told)

    def _step(self, observer: abc.ObserverBase[Any]) -> None:
        self._value = value = self._call()
        if not _is_iterator(value):
            # Whoever gets this may leave at once, and can wait for the little that is left to do.
            self._ended = True
            self._close_unawaited()
            observer.on_next(value)
            return
        for item in value:
            observer.on_next(item)
            if self._left:
                break
        close = getattr(value, "close", None)
        if close is not None:
            close()
