"""
A subscription that lives in a task of an event loop.

Any thread may begin and dispose it. It ends once, and its client ends it when the client closes.
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from reactivex import abc

from rxollama._runtime._end import end_failed, end_safely
from rxollama._runtime._loop import (
    Job,
    call_on,
    is_shutting_down,
    report_error,
    run_jobs,
    run_jobs_blocking,
    running,
    stream_loop,
)
from rxollama.errors import ClientClosedError, StreamError

__all__ = ("Streams", "Subscription")

T = TypeVar("T")

_LOST_SECONDS = 0.02
_CLOSING_SECONDS = 1.0


class Streams:
    """The open streams of a client, which end when the client closes."""

    def __init__(self) -> None:
        self.closed = False
        self._open: set[Subscription[Any]] = set()

    def add(self, stream: Subscription[Any]) -> None:
        """Add a stream that begins."""
        self._open.add(stream)

    def discard(self, stream: Subscription[Any]) -> None:
        """Remove a stream that ended."""
        self._open.discard(stream)

    def close(self) -> None:
        """End every stream with `ClientClosedError` and let no other begin; wait for it unless a loop runs here."""
        run_jobs_blocking(self._aborted())

    async def aclose(self) -> None:
        """End every stream with `ClientClosedError`, let no other begin, and wait for the end."""
        await run_jobs(self._aborted())

    def _aborted(self) -> list[Job]:
        self.closed = True
        # A forked child must not touch the streams of its parent.
        live = [stream for stream in self._open.copy() if stream.pid == os.getpid()]
        for stream in live:
            stream.abort()
        return [(stream.loop, stream.ended) for stream in live]


class Subscription(ABC, Generic[T]):
    """
    One subscription, on the loop that runs where it is made, or else on the background loop.

    Args:
        observer: The subscriber.
        streams: The open streams of the client.
        name: The stream's name in reports.
    """

    def __init__(self, observer: abc.ObserverBase[T], streams: Streams, name: str) -> None:
        self.loop = stream_loop()
        self.pid = os.getpid()
        self._observer = observer
        self._streams = streams
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._aborted = False
        # What a callback raised. A task cannot end with each exception: it would end with a `RuntimeError` in place of
        # a `StopIteration`, and seem to be cancelled by a `CancelledError`.
        self._raised: BaseException | None = None
        self._watch: asyncio.TimerHandle | None = None

    @abstractmethod
    async def _stream(self) -> None:
        """Emit the items; return for completion, raise for an error."""

    @abstractmethod
    def _fill_in(self, error: StreamError) -> None:
        """Fill in the error's model, endpoint, host and partial response."""

    def start(self) -> None:
        """Begin, on any thread."""
        self._streams.add(self)
        if self.loop is running():
            self._begin()
        else:
            self.loop.call_soon_threadsafe(self._begin)

    def dispose(self) -> None:
        """Emit nothing more, and end; on any thread."""
        if not self._over:
            self._over = True
            call_on(self.loop, self._cancel)

    def abort(self) -> None:
        """End with `ClientClosedError`; on any thread."""
        self._aborted = True
        call_on(self.loop, self._cancel)

    async def ended(self) -> None:
        """Wait for the end."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _begin(self) -> None:
        if self._over:
            self._streams.discard(self)
            return
        self._task = self.loop.create_task(self._run())
        # A task that is cancelled before its first step runs none of its code, so only a callback sees every end.
        self._task.add_done_callback(self._end)
        if self._aborted:
            self._cancel()

    async def _run(self) -> None:
        if self._streams.closed:
            raise ClientClosedError("the client was closed: make a new one")
        await self._stream()

    def _cancel(self) -> None:
        if self._task is not None and self._watch is None:
            self._task.cancel()
            self._watch = self.loop.call_later(_LOST_SECONDS, self._cancel_again, self._task, _LOST_SECONDS)

    def _cancel_again(self, task: asyncio.Task[None], waited: float) -> None:
        """
        Repeat a cancel that was lost.

        The law: after a cancel the task ends. Under a plain httpx client anyio may swallow a cancel that arrives as it
        connects, and mostly resets `cancelling()` as well (https://github.com/agronholm/anyio/issues/1214). Of 3,000
        cancels in a tight loop 193 were lost. While `cancelling()` is not reset, a second cancel would interrupt the
        closing that the first one began, so that closing is given time.
        """
        if not task.cancelling() or waited > _CLOSING_SECONDS:
            task.cancel()
        self._watch = self.loop.call_later(waited, self._cancel_again, task, 2 * waited)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._streams.discard(self)
        if self._watch is not None:
            self._watch.cancel()
        # The task's own error is looked at in any case: asyncio reports one that nobody looks at.
        ended = _error_of(task)
        error = self._raised or ended
        # It was cancelled because it was disposed, because its client closed, or because its loop is closing. Otherwise
        # code of the caller's raised a `CancelledError`, such as a hook that waits for a task that was cancelled.
        swept = self._raised is None and task.cancelled() and task.cancelling() > 0
        if swept:
            error = ClientClosedError(_CLOSED if self._aborted else _SWEPT)
        over, self._over = self._over, True
        if over or is_shutting_down(self.loop):
            if isinstance(error, Exception) and not isinstance(error, StreamError):
                report_error(f"a callback of {self._name} raised after it was disposed", error)
        elif error is None or isinstance(error, Exception):
            if isinstance(error, StreamError):
                self._fill_in(error)
            # A loop that closes under a stream is the end of a program, which needs no report.
            end_safely(self._observer, error, name=self._name, quietly=swept and not self._aborted)
        else:
            end_failed(self._observer, error, name=self._name)


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    try:
        return task.exception()
    except asyncio.CancelledError as cancelled:
        return cancelled


_CLOSED = "the client was closed while this stream was running"
_SWEPT = "the event loop of this stream was closed; subscribe from outside of it for a stream that outlives it"
