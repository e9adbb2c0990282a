"""The functions that consume a stream: `run`, `iterate` and `aiterate`."""

from __future__ import annotations

from typing import TypeVar

from reactivex import Observable

from rxollama._invalid_value import invalid_value
from rxollama._runtime._blocking import check_no_loop
from rxollama._runtime._iterate import AsyncIteration, Iteration, Overflow
from rxollama._runtime.stream import overflow_of, wait_for_whole

__all__ = ("aiterate", "iterate", "run")

T = TypeVar("T")


def run(source: Observable[T]) -> T:
    """
    Block this thread until a stream completes, and return the whole of it.

    Ctrl-C disposes the subscription, which closes the request, and is raised as usual.

    Args:
        source: The stream, or any observable.

    Returns:
        The sum, if the items are deltas: of a chat one `ChatChunk` with the whole message and the metrics, of a
        conversation the final message, of `content()` and `thinking()` the whole text. Otherwise the last item.

    Raises:
        InvalidValueError: If *source* is not an observable.
        RunningLoopError: Inside a running event loop, which it would block: use `await stream`.
        UnsupportedRuntimeError: Inside trio, which it would block.
        EmptyStreamError: If it completes without an item, except that the sum of no texts is `""`.
        Exception: The error that ends the stream.

    .. versionadded:: 0.1
    """
    _check_observable("run()", source)
    whole = wait_for_whole(source, "run(...)")
    if whole.error is not None:
        raise whole.error
    return whole.take()


def iterate(source: Observable[T], *, overflow: Overflow | None = None) -> Iteration[T]:
    """
    Iterate over a stream in a plain `for`, from any thread without an event loop.

    It subscribes at the first step. Leaving the loop disposes the subscription, which closes the request; so does
    Ctrl-C. For an exact moment use it in a `with`, or call `close()`.

    Args:
        source: The stream, or any observable.
        overflow: The items that a slow loop body finds next: `"sum"`, one merged item, if they add up; `"keep"`, every
            item; `"latest"`, the latest. None means `"sum"` for deltas, and `"keep"` for everything else.

    Returns:
        An iterator, which is also a context manager. It raises the error that ends the stream.

    Raises:
        RunningLoopError: Inside a running event loop, which it would block: use `aiterate`.
        UnsupportedRuntimeError: Inside trio, which it would block.
        InvalidValueError: If *source* is not an observable, or *overflow* none of these.

    .. versionadded:: 0.1
    """
    _check_observable("iterate()", source)
    check_no_loop("iterate(...)", "`async for item in aiterate(stream)`")
    return Iteration(source, overflow=overflow_of(source) if overflow is None else overflow)


def aiterate(source: Observable[T], *, overflow: Overflow | None = None) -> AsyncIteration[T]:
    """
    Iterate over a stream in an `async for`.

    It subscribes at the first step, on the running loop. Leaving the loop disposes the subscription, which closes the
    request; so does cancelling the task. For an exact moment use it in an `async with`, or call `aclose()`.

    Args:
        source: The stream, or any observable.
        overflow: The items that a slow loop body finds next, see `iterate`.

    Returns:
        An async iterator, which is also an async context manager. It raises the error that ends the stream.

    Raises:
        UnsupportedRuntimeError: At the first step, if trio runs the coroutine.
        InvalidValueError: If *source* is not an observable, or *overflow* none of these.

    .. versionadded:: 0.1
    """
    _check_observable("aiterate()", source)
    return AsyncIteration(source, overflow=overflow_of(source) if overflow is None else overflow)


def _check_observable(call: str, source: object) -> None:
    if not isinstance(source, Observable):
        raise invalid_value(call, source, "a stream, such as ollama.chat(...), or an observable", show=False)
