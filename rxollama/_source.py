"""
From a request to a cold observable: one subscription, one request; dispose, and it is closed.

The body is read as fast as it comes, whatever the subscribers do: a client that stops reading wedges the model for
everybody (https://github.com/ollama/ollama/issues/17131). So a callback that holds the loop is told about.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from http import HTTPStatus
from time import monotonic, perf_counter_ns
from typing import Any, Generic, TypeVar, cast

import msgspec
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rxollama._loop import Job, finish, finish_now, home, is_leaving, report, running, tell
from rxollama._wire import Decoder, status_error
from rxollama.errors import ClientClosedError, SlowCallbackWarning, StreamError
from rxollama.messages import ChatChunk, ChatResponse, ClientTiming
from rxollama.messages._response import ResponseBuilder
from rxollama.transport import Call, Reply, Transport

__all__ = ("Plan", "Streams", "source")

T = TypeVar("T")

_SLOW_SECONDS = 0.25
_LINGER_SECONDS = 1.0
_LOST_SECONDS = 0.02
_CLOSING_SECONDS = 1.0
_REFUSAL_SECONDS = 5.0
_REFUSAL_LENGTH = 1024 * 1024


class Streams:
    """Know the live streams of a client, so that closing it ends them."""

    def __init__(self) -> None:
        self.closed = False
        self._live: set[_Stream[Any]] = set()

    def add(self, stream: _Stream[Any]) -> None:
        """Remember a stream that begins."""
        self._live.add(stream)

    def discard(self, stream: _Stream[Any]) -> None:
        """Forget a stream that ended."""
        self._live.discard(stream)

    def close(self) -> None:
        """End every stream with `ClientClosedError`, let no other begin, and wait for it where that blocks no loop."""
        finish_now(self._aborted())

    async def aclose(self) -> None:
        """End every stream with `ClientClosedError`, let no other begin, and wait for it."""
        await finish(self._aborted())

    def _aborted(self) -> list[Job]:
        self.closed = True
        # A forked child has no part in the streams of its parent.
        live = [stream for stream in self._live.copy() if stream.pid == os.getpid()]
        for stream in live:
            stream.abort()
        return [(stream.loop, stream.ended) for stream in live]


class Plan(msgspec.Struct, Generic[T], frozen=True):
    """
    Say what a subscription does.

    Args:
        transport: Where to send the request.
        call: The request.
        decoder: Makes the decoder of one answer.
        streams: The live streams of the client.
        model: The model, for errors and warnings.
        is_chat: Whether the records are chunks, so that errors carry what arrived.
    """

    transport: Transport
    call: Call
    decoder: Callable[[], Decoder[T]]
    streams: Streams
    model: str
    is_chat: bool = False

    @property
    def name(self) -> str:
        """What to call the stream in a warning."""
        return f"the stream of {self.call.path}" + (f" with model {self.model!r}" if self.model else "")


def source(plan: Plan[T]) -> Observable[T]:
    """
    Build the observable of a request.

    Args:
        plan: What a subscription does.

    Returns:
        A cold observable: each subscription sends the request once, on the running loop or else on the background
        loop. Disposing, from any thread, closes the request at once. It ends with completion, or with a
        `StreamError` that carries what arrived.
    """

    def subscribe(observer: abc.ObserverBase[T], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        stream = _Stream(plan, observer, home())
        stream.start()
        return Disposable(stream.dispose)

    return Observable(subscribe)


class _Stream(Generic[T]):
    """Be one subscription: a task that reads the answer and hands on its records."""

    def __init__(self, plan: Plan[T], observer: abc.ObserverBase[T], loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pid = os.getpid()
        self._plan = plan
        self._observer = observer
        self._tally = _Tally()
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._aborted = False
        self._told_slow = False
        self._watch: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, from whichever thread."""
        self._plan.streams.add(self)
        if self.loop is running():
            self._begin()
        else:
            self.loop.call_soon_threadsafe(self._begin)

    def dispose(self) -> None:
        """Hand on nothing more, and close the request, from whichever thread."""
        if not self._over:
            self._over = True
            tell(self.loop, self._cancel)

    def abort(self) -> None:
        """Tell the subscriber that the client was closed, and close the request."""
        self._aborted = True
        tell(self.loop, self._cancel)

    async def ended(self) -> None:
        """Wait for the end."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _begin(self) -> None:
        if self._over:
            self._plan.streams.discard(self)
            return
        self._task = self.loop.create_task(self._read())
        # A task that is cancelled before its first step runs nothing of its own: only this hears of every end.
        self._task.add_done_callback(self._end)
        if self._aborted:
            self._cancel()

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
        self._plan.streams.discard(self)
        if self._watch is not None:
            self._watch.cancel()
        swept = task.cancelled()
        # Cancelled, that is disposed, closed with its client, or swept away with its loop.
        error = ClientClosedError(_CLOSED if self._aborted else _SWEPT) if swept else task.exception()
        over, self._over = self._over, True
        if over or is_leaving(self.loop):
            if isinstance(error, Exception) and not isinstance(error, StreamError):
                report(f"a callback of {self._plan.name} raised after it was disposed", error)
        elif error is None or isinstance(error, Exception):
            # Other exceptions, such as SystemExit, the task has let through already.
            self._tell_end(error, quietly=swept)

    def _tell_end(self, error: Exception | None, *, quietly: bool) -> None:
        try:
            if error is None:
                self._observer.on_completed()
            else:
                self._complete(error)
                self._observer.on_error(error)
        except Exception as raised:  # noqa: BLE001 - There is nobody else to be told.
            if not (quietly and raised is error):
                report(f"the subscriber of {self._plan.name} does not handle its end", raised)

    def _complete(self, error: Exception) -> None:
        plan = self._plan
        if isinstance(error, StreamError):
            error.model = error.model or plan.model
            error.endpoint = error.endpoint or f"{plan.call.method} {plan.call.path}"
            if error.partial is None and plan.is_chat:
                error.partial = self._tally.partial()

    async def _read(self) -> None:
        plan = self._plan
        if plan.streams.closed:
            raise ClientClosedError("the client was closed: make a new one")
        self._tally.begin()
        async with plan.transport.open(plan.call) as reply:
            if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise status_error(reply.status, reply.headers, await _refusal(reply))
            decoder = plan.decoder()
            body = aiter(reply)
            async for data in body:
                self._hand_on(decoder.feed(data))
                if decoder.over:
                    await _linger(body)
                    break
            else:
                self._hand_on(decoder.flush())
        if decoder.failure is not None:
            raise decoder.failure

    def _hand_on(self, records: list[T]) -> None:
        if not records:
            return
        if self._plan.is_chat:
            self._tally.take(cast("list[ChatChunk]", records))
        on_next = self._observer.on_next
        began = monotonic()
        for record in records:
            if self._over:
                return
            on_next(record)
        held = monotonic() - began
        if held > _SLOW_SECONDS and not self._told_slow:
            self._told_slow = True
            warnings.warn(_SLOW.format(name=self._plan.name, held=held), SlowCallbackWarning, stacklevel=1)


_CLOSED = "the client was closed while this stream was running"
_SWEPT = "the event loop of this stream was closed; subscribe from outside of it for a stream that outlives it"
_SLOW = (
    "the callbacks of {name} held its event loop for {held:.1f} s, and with it every stream that lives there; "
    "use iterate(), run() or a scheduler of your own for work that blocks"
)


async def _refusal(reply: Reply) -> bytes:
    """Read the body of an error, but not for ever; the status counts, also where the body breaks off."""
    pieces: list[bytes] = []
    with suppress(TimeoutError, StreamError):
        async with asyncio.timeout(_REFUSAL_SECONDS):
            async for data in reply:
                pieces.append(data)
                if sum(map(len, pieces)) > _REFUSAL_LENGTH:
                    break
    return b"".join(pieces)


async def _linger(body: AsyncIterator[bytes]) -> None:
    """
    Read on to the end of the body, so that the connection can serve the next request.

    Nothing more is wanted from it, so that it may neither take long nor fail.
    """
    with suppress(TimeoutError, StreamError):
        async with asyncio.timeout(_LINGER_SECONDS):
            async for _ in body:
                pass


class _Tally:
    """Keep what arrived, and when, for the last chunk and for errors."""

    __slots__ = ("_began", "_builder", "_content", "_count", "_first", "_token")

    def __init__(self) -> None:
        self._builder = ResponseBuilder()
        self._began = self._count = 0
        self._first: int | None = None
        self._token: int | None = None
        self._content: int | None = None

    def begin(self) -> None:
        """Take notice that the request is being sent."""
        self._began = perf_counter_ns()

    def take(self, chunks: list[ChatChunk]) -> None:
        """Take in the chunks of a read, and put into the last one, if it is that of the answer, what the client saw."""
        self._builder.extend(chunks)
        self._count += len(chunks)
        if self._content is None:
            self._mark(chunks)
        if chunks[-1].done:
            chunks[-1] = msgspec.structs.replace(chunks[-1], client=self._timing())

    def partial(self) -> ChatResponse:
        """Tell what has arrived."""
        return self._builder.snapshot(self._timing())

    def _mark(self, chunks: list[ChatChunk]) -> None:
        now = perf_counter_ns() - self._began
        if self._first is None:
            self._first = now
        if self._token is None and any(chunk.visible for chunk in chunks):
            self._token = now
        if any(chunk.message.content for chunk in chunks):
            self._content = now

    def _timing(self) -> ClientTiming:
        return ClientTiming(
            time_to_first_chunk=self._first,
            time_to_first_token=self._token,
            time_to_first_content=self._content,
            wall_duration=perf_counter_ns() - self._began,
            chunk_count=self._count,
        )
