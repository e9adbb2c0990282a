"""
The stream of a request: one subscription sends one request, and disposing it closes the request.

The body is read whenever the loop is free, and nothing waits for a slow consumer: a client that stops reading blocks
the model for every other client (https://github.com/ollama/ollama/issues/17131). Callbacks run on the same loop, so
nothing is read while one of them blocks. Such a callback is warned about, once per stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from time import monotonic, perf_counter_ns
from typing import Any, Generic, TypeVar

import msgspec
from reactivex import abc
from reactivex.disposable import Disposable

from rxollama._hosts import read_refusal
from rxollama._runtime import Sink, Stream, Streams, Subscription, batch_path, warn
from rxollama._wire import Decoder
from rxollama.client._answer_check import checked_reason
from rxollama.client._context_check import ContextCheck
from rxollama.client._waits import Waits
from rxollama.errors import SlowCallbackWarning, StreamError
from rxollama.messages import Batch, ChatChunk, ChatResponse, ChunkBatch, ClientTiming, ResponseBuilder
from rxollama.transport import Request, Response, Transport

__all__ = ("RequestPlan", "source")

T = TypeVar("T")

_SLOW_SECONDS = 0.25
_LINGER_SECONDS = 1.0


class RequestPlan(msgspec.Struct, Generic[T], frozen=True):
    """
    A request, with everything that a subscription needs to send it.

    Args:
        transport: The transport that sends it.
        request: The request.
        decoder: Makes the decoder of one answer.
        streams: The open streams of the client.
        model: The model, for errors and warnings.
        host: The base URL of the server, for errors. Empty if only the transport knows it.
        items: The type of the records, if known. Errors of a stream of chunks carry a partial response.
        context: The check of a chat's answer against the context window.
        waits: The waits for first tokens; None if none are measured.
        expects_answer: Whether an answer without content gets a `done_reason` of the client.
    """

    transport: Transport
    request: Request
    decoder: Callable[[], Decoder[T]]
    streams: Streams
    model: str
    host: str = ""
    items: type[T] | None = None
    context: ContextCheck | None = None
    waits: Waits | None = None
    expects_answer: bool = False

    @property
    def is_chat(self) -> bool:
        """Whether the records are chunks."""
        return self.items is ChatChunk

    @property
    def name(self) -> str:
        """The stream's name in warnings and reports."""
        return f"the stream of {self.request.path}" + (f" with model {self.model!r}" if self.model else "")


def source(plan: RequestPlan[T], *, wait: float = 0.0) -> Stream[T]:
    """
    Build the stream of a request.

    Args:
        plan: The request.
        wait: The seconds before it is sent. They are a part of the stream, so disposing or closing the client ends it.

    Returns:
        A cold stream: each subscription sends the request once, on the running loop or else on the background loop.
        Disposing, from any thread, closes the request at once. It completes, or ends with a `StreamError` that carries
        what arrived.
    """

    def subscribe(observer: abc.ObserverBase[T], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        stream = _Stream(plan, observer, wait)
        stream.start()
        return Disposable(stream.dispose)

    return Stream(subscribe, items=plan.items, deltas=plan.is_chat)


class _Stream(Subscription[T]):
    """A subscription that reads an answer and emits its records."""

    def __init__(self, plan: RequestPlan[T], observer: abc.ObserverBase[T], wait: float) -> None:
        super().__init__(observer, plan.streams, plan.name)
        self._plan = plan
        self._wait = wait
        self._received = _Received(plan.host, plan.context, expects_answer=plan.expects_answer)
        self._note: Callable[[Any], object] = self._received.add if plan.is_chat else _ignore
        self._has_warned = False
        self._on_next = observer.on_next
        self._absorbs = isinstance(observer, Sink)
        self._ready, self._absorb = batch_path(observer)

    def _fill_in(self, error: StreamError) -> None:
        plan = self._plan
        error.model = error.model or plan.model
        error.host = error.host or self._received.host
        error.endpoint = error.endpoint or f"{plan.request.method} {plan.request.path}"
        if error.partial is None and plan.is_chat:
            error.partial = self._received.partial()

    async def _stream(self) -> None:
        plan = self._plan
        if self._wait:
            await asyncio.sleep(self._wait)
        wait = None if plan.waits is None else plan.waits.begin(plan.model, plan.request.body or b"")
        try:
            await self._exchange(plan)
        finally:
            if wait is not None:
                wait.end(self._received.last)

    async def _exchange(self, plan: RequestPlan[T]) -> None:
        self._received.begin()
        async with plan.transport.open(plan.request) as response:
            # A transport with several hosts knows which of them answers.
            self._received.host = getattr(response, "host", "") or plan.host
            if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise await read_refusal(response)
            decoder = plan.decoder()
            body = await self._receive(response, decoder)
            if decoder.over:
                await _read_rest(body)
            else:
                self._emit_last(decoder.flush())
            # Within the `async with`, so that a transport with several hosts learns that this one failed.
            _raise(decoder.failure)
        last = self._received.last
        if plan.context is not None and last is not None:
            await plan.context.run(last)

    async def _receive(self, response: Response, decoder: Decoder[T]) -> AsyncIterator[bytes]:
        """Emit the records of a body, until the decoder needs no more of it, and return the rest of the body."""
        feed, emit = decoder.feed, self._emit

        def take(data: bytes) -> bool:
            try:
                emit(feed(data))
            except BaseException as error:  # noqa: BLE001 - It is raised below, where no transport sees it.
                self._raised = error
                return True
            return decoder.over

        # A response is iterated once: whoever begins again may begin at the start.
        body = aiter(response)
        # To ask whether it is a `DeliveringResponse` takes 20 times as long.
        deliver = getattr(response, "deliver", None)
        try:
            if deliver is not None:
                await deliver(take)
            else:
                async for data in body:
                    if take(data):
                        break
        finally:
            # A callback that disposes cancels this task before it raises.
            if self._raised is not None:
                raise self._raised
        return body

    def _emit(self, records: list[T] | Batch[T]) -> None:
        if not records:
            return
        self._note(records)
        began = monotonic()
        if self._absorbs and isinstance(records, ChunkBatch):
            self._emit_batch(records)
        else:
            self._emit_each(records)
        held = monotonic() - began
        if held > _SLOW_SECONDS and not self._has_warned:
            self._has_warned = True
            warn(_SLOW.format(name=self._plan.name, held=held), SlowCallbackWarning)

    def _emit_last(self, records: list[T] | Batch[T]) -> None:
        try:
            self._emit(records)
        except BaseException as error:
            self._raised = error
            raise

    def _emit_batch(self, batch: ChunkBatch) -> None:
        """Emit a batch as one if everybody is ready for it; else some of its items, and then the rest in this way."""
        count = 1
        while not self._ready(batch):
            self._emit_each(batch.head(count))
            if count >= len(batch) or self._over:
                return
            batch = batch.rest(count)
            count *= 4
        self._absorb(batch)

    def _emit_each(self, records: Iterable[Any]) -> None:
        on_next = self._on_next
        for record in records:
            if self._over:
                return
            on_next(record)


_SLOW = (
    "the callbacks of {name} blocked its event loop for {held:.1f} s, and with it every stream on that loop: "
    "for work that blocks use iterate() or run(), or emit on a scheduler of your own"
)


async def _read_rest(body: AsyncIterator[bytes]) -> None:
    """
    Read the rest of the body, so that the connection can serve the next request.

    The answer is complete, so the rest may be late or broken without harm.
    """
    with suppress(TimeoutError, StreamError):
        async with asyncio.timeout(_LINGER_SECONDS):
            async for _ in body:
                pass


class _Received:
    """
    The chunks that have arrived and their timing, for the last chunk and for errors.

    Args:
        host: The base URL of the host, as far as it is known before it answers.
        context: The check that knows the context window.
        expects_answer: Whether an answer without content gets a `done_reason` of the client.
    """

    __slots__ = (
        "_began",
        "_builder",
        "_content",
        "_context",
        "_count",
        "_expects_answer",
        "_first",
        "_token",
        "host",
        "last",
    )

    def __init__(self, host: str, context: ContextCheck | None, *, expects_answer: bool) -> None:
        self.host = host
        self._expects_answer = expects_answer
        self.last: ChatChunk | None = None
        self._context = context
        self._builder = ResponseBuilder()
        self._began = self._count = 0
        self._first: int | None = None
        self._token: int | None = None
        self._content: int | None = None

    def begin(self) -> None:
        """Start the clock: the request is being sent."""
        self._began = perf_counter_ns()

    def add(self, chunks: list[ChatChunk] | ChunkBatch) -> None:
        """Add the chunks of a read. The last chunk of the answer gets the client's timing."""
        self._count += len(chunks)
        if self._content is None:
            self._mark(chunks)
        # A batch has nothing but text.
        if isinstance(chunks, list) and chunks[-1].done:
            self.last = chunks[-1] = self._ended(chunks)
        self._builder.extend(chunks)

    def _ended(self, chunks: list[ChatChunk]) -> ChatChunk:
        """Return the last chunk of an answer, with the client's timing and its word for an answer without content."""
        last = chunks[-1]
        reason = last.done_reason
        if self._content is None and self._expects_answer:
            messages = (*self._builder.snapshot().messages, *(chunk.message for chunk in chunks))
            reason = checked_reason(reason, messages)
        return msgspec.structs.replace(last, client=self._timing(), done_reason=reason)

    def partial(self) -> ChatResponse:
        """Return the response so far."""
        return self._builder.snapshot(self._timing())

    def _mark(self, chunks: list[ChatChunk] | ChunkBatch) -> None:
        now = perf_counter_ns() - self._began
        if self._first is None:
            self._first = now
        if self._token is None and _is_visible(chunks):
            self._token = now
        if _has_content(chunks):
            self._content = now

    def _timing(self) -> ClientTiming:
        return ClientTiming(
            time_to_first_chunk=self._first,
            time_to_first_token=self._token,
            time_to_first_content=self._content,
            wall_duration=perf_counter_ns() - self._began,
            chunk_count=self._count,
            host=self.host,
            context_length=None if self._context is None else self._context.window(self.host),
        )


def _raise(failure: StreamError | None) -> None:
    if failure is not None:
        raise failure


def _is_visible(chunks: list[ChatChunk] | ChunkBatch) -> bool:
    if isinstance(chunks, ChunkBatch):
        return bool(chunks.thinking or chunks.content)
    return any(chunk.visible for chunk in chunks)


def _has_content(chunks: list[ChatChunk] | ChunkBatch) -> bool:
    if isinstance(chunks, ChunkBatch):
        return bool(chunks.content)
    # As long as the model thinks, this runs for every read, and a generator costs twice as much.
    return any([chunk.message.content for chunk in chunks])  # noqa: C419 - See above.


def _ignore(_: object) -> None:
    """Ignore records that are not chunks: no error carries them."""
