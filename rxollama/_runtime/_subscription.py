"""
A subscription that lives in a task of an event loop.

It begins and is disposed from any thread, ends once, and is known to its client, which ends it when it closes.
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from reactivex import abc

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
    """Know the live streams of a client, so that closing it ends them."""

    def __init__(self) -> None:
        self.closed = False
        self._open: set[Subscription[Any]] = set()

    def add(self, stream: Subscription[Any]) -> None:
        """Remember a stream that begins."""
        self._open.add(stream)

    def discard(self, stream: Subscription[Any]) -> None:
        """Forget a stream that ended."""
        self._open.discard(stream)

    def close(self) -> None:
        """End every stream with `ClientClosedError`, let no other begin, and wait for it where that blocks no loop."""
        run_jobs_blocking(self._aborted())

    async def aclose(self) -> None:
        """End every stream with `ClientClosedError`, let no other begin, and wait for it."""
        await run_jobs(self._aborted())

    def _aborted(self) -> list[Job]:
        self.closed = True
        # A forked child has no part in the streams of its parent.
        live = [stream for stream in self._open.copy() if stream.pid == os.getpid()]
        for stream in live:
            stream.abort()
        return [(stream.loop, stream.ended) for stream in live]


class Subscription(ABC, Generic[T]):
    """
    Be one subscription.

    It lives on the loop that runs where it is made, or else on the background loop.

    Args:
        observer: Who subscribed.
        streams: The live streams of the client.
        name: What to call the stream in a report.
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
        self._watch: asyncio.TimerHandle | None = None

    @abstractmethod
    async def _stream(self) -> None:
        """Emit; return for completion, raise for an error."""

    @abstractmethod
    def _fill_in(self, error: StreamError) -> None:
        """Put into an error what it has to carry."""

    def start(self) -> None:
        """Begin, from whichever thread."""
        self._streams.add(self)
        if self.loop is running():
            self._begin()
        else:
            self.loop.call_soon_threadsafe(self._begin)

    def dispose(self) -> None:
        """Hand on nothing more, and end, from whichever thread."""
        if not self._over:
            self._over = True
            call_on(self.loop, self._cancel)

    def abort(self) -> None:
        """Tell the subscriber that the client was closed, and end."""
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
        # A task that is cancelled before its first step runs nothing of its own: only this hears of every end.
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
        See to it that the cancel was not lost.

        Under a plain httpx client anyio may swallow one that comes just as it connects, and mostly it takes away the
        count of it as well (https://github.com/agronholm/anyio/issues/1214). While the count stands, another cancel
        would interrupt the closing that the first began, so that this is given time.
        """
        if not task.cancelling() or waited > _CLOSING_SECONDS:
            task.cancel()
        self._watch = self.loop.call_later(waited, self._cancel_again, task, 2 * waited)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._streams.discard(self)
        if self._watch is not None:
            self._watch.cancel()
        swept = task.cancelled()
        # Cancelled, that is disposed, closed with its client, or swept away with its loop.
        error = ClientClosedError(_CLOSED if self._aborted else _SWEPT) if swept else task.exception()
        over, self._over = self._over, True
        if over or is_shutting_down(self.loop):
            if isinstance(error, Exception) and not isinstance(error, StreamError):
                report_error(f"a callback of {self._name} raised after it was disposed", error)
        elif error is None or isinstance(error, Exception):
            self._tell_end(error, quietly=swept)
        else:
            # What ends a program the task has let through already; who waits for the stream has to hear of it as well.
            told = RuntimeError(f"{self._name} was ended by {type(error).__name__}")
            told.__cause__ = error
            self._tell_end(told, quietly=isinstance(error, (KeyboardInterrupt, SystemExit)))

    def _tell_end(self, error: Exception | None, *, quietly: bool) -> None:
        try:
            if error is None:
                self._observer.on_completed()
            else:
                if isinstance(error, StreamError):
                    self._fill_in(error)
                self._observer.on_error(error)
        except Exception as raised:  # noqa: BLE001 - There is nobody else to be told.
            if not (quietly and raised is error):
                report_error(f"the subscriber of {self._name} does not handle its end", raised)


_CLOSED = "the client was closed while this stream was running"
_SWEPT = "the event loop of this stream was closed; subscribe from outside of it for a stream that outlives it"
