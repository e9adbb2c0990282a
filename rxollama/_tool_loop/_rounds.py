"""The rounds: request an answer, run what it calls, and request again with the results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Literal

from msgspec.structs import replace
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rxollama._runtime import Sink, Stream, Streams, Subscription, batch_path, call_on, running
from rxollama._tool_loop._decision import was_cancelled
from rxollama._tool_loop._options import ToolLoopOptions
from rxollama._tool_loop._round_calls import RoundCalls, with_id
from rxollama._tool_loop._tool_call import ToolRunner
from rxollama.errors import ContextTruncatedError, InvalidValueError, StreamError, TooManyRoundsError
from rxollama.messages import ChatChunk, ChatRequest, ChatResponse, ChunkBatch, ResponseBuilder, ToolCall

__all__ = ("converse",)

Send = Callable[[ChatRequest], Observable[ChatChunk]]


def converse(
    request: ChatRequest, options: ToolLoopOptions, send: Send, streams: Streams, *, host: str = ""
) -> Stream[ChatChunk]:
    """
    Build the stream of a conversation.

    Args:
        request: The first request. Each further one adds the messages of the rounds before it.
        options: The options of the conversation.
        send: Builds the stream of a request.
        streams: The live streams of the client.
        host: The base URL of the server, for errors.

    Returns:
        A cold stream of deltas: each subscription is a conversation of its own.
    """

    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        loop = ToolLoop(observer, streams, request, options=options, send=send, host=host, scheduler=scheduler)
        loop.start()
        return Disposable(loop.dispose)

    return Stream(subscribe, items=ChatChunk, deltas=True)


class ToolLoop(Subscription[ChatChunk]):
    """The subscription of one conversation."""

    def __init__(
        self,
        observer: abc.ObserverBase[ChatChunk],
        streams: Streams,
        request: ChatRequest,
        *,
        options: ToolLoopOptions,
        send: Send,
        host: str,
        scheduler: abc.SchedulerBase | None,
    ) -> None:
        super().__init__(observer, streams, f"the conversation with model {request.model!r}")
        self._request = request
        self._options = options
        self._send = send
        self._host = host
        self._scheduler = scheduler
        self._builder = ResponseBuilder()
        self._is_failing = False
        self._calls: RoundCalls | None = None
        self._ready_below, self._absorb_below = batch_path(observer)

    def _fill_in(self, error: StreamError) -> None:
        error.model = error.model or self._request.model
        error.host = error.host or self._host
        error.endpoint = error.endpoint or "POST /api/chat"
        response = self._builder.snapshot()
        # It is not complete, whichever message came last, unless the error is only about what the model read.
        is_whole = isinstance(error, ContextTruncatedError) and response.done and not response.message.tool_calls
        error.partial = ChatResponse(
            message=response.message,
            messages=response.messages,
            metrics=response.metrics,
            done=is_whole,
            done_reason=response.done_reason if is_whole else "",
            model=response.model,
            logprobs=response.logprobs,
        )

    async def _stream(self) -> None:
        # The runner belongs to the loop on which it is made.
        runner = ToolRunner(self._options, self._emit_progress)
        request, rounds_left = self._request, self._options.max_rounds
        history = request.messages
        while True:
            rounds_left -= 1
            if not await self._round(request, runner, is_last=not rounds_left):
                return
            request = replace(request, messages=(*history, *self._builder.snapshot().messages))

    async def _round(self, request: ChatRequest, runner: ToolRunner, *, is_last: bool) -> bool:
        """Run one round, an answer and the results of its calls. Return whether there were calls."""
        try:
            async with asyncio.TaskGroup() as group:
                calls = self._calls = RoundCalls(group, partial(self._run_call, runner))

                def on_chunk(chunk: ChatChunk) -> None:
                    if chunk.restart is not None:
                        chunk = replace(chunk, restart=replace(chunk.restart, scope=self._scope(request)))
                        calls.begin_over()
                    self._emit(chunk)
                    for call in chunk.message.tool_calls:
                        # A tool does not run if the model will not be told its result.
                        calls.add(call, runs=not (is_last or self._over or self._is_failing))

                await self._receive(request, on_chunk)
                calls.end()
                if is_last and calls.calls:
                    raise TooManyRoundsError(_TOO_MANY.format(rounds=self._options.max_rounds))
                for call, result in calls.tasks():
                    self._emit(with_id(await _message(runner, call, result), call.id))
                    # Results that are there already do not make this task wait, and a model may call thousands.
                    await asyncio.sleep(0)
        except BaseExceptionGroup as several:
            [failure, *_] = several.exceptions
        else:
            return bool(calls.calls)
        raise failure

    def _scope(self, request: ChatRequest) -> Literal["answer", "message"]:
        """Return what begins over: the message, so that the rounds before it stand."""
        # An operator may begin over after the message is complete. A restart of the message would then keep it.
        is_complete = request is self._request and self._builder.snapshot().done
        return "answer" if is_complete else "message"

    def _sent(self, request: ChatRequest) -> Observable[ChatChunk]:
        try:
            return self._send(request)
        except InvalidValueError as error:
            if request is self._request:
                raise
            # The caller's own messages were sent before. Some arguments of calls can be decoded but not encoded.
            raise StreamError(f"the messages of the model cannot be sent back to it: {error}") from error

    async def _run_call(self, runner: ToolRunner, call: ToolCall) -> ChatChunk:
        try:
            return await runner.run(call)
        except Exception:
            # The group refuses further tasks from here on.
            self._is_failing = True
            raise

    def _emit(self, chunk: ChatChunk) -> None:
        if not self._over:
            self._builder.add(chunk)
            self._observer.on_next(chunk)

    def _emit_progress(self, chunk: ChatChunk) -> None:
        self._emit(chunk if self._calls is None else self._calls.progress(chunk))

    def _is_ready(self, batch: ChunkBatch) -> bool:
        return running() is self.loop and self._ready_below(batch)

    def _absorb(self, batch: ChunkBatch) -> None:
        if not self._over:
            self._builder.extend(batch)
            self._absorb_below(batch)

    async def _receive(self, request: ChatRequest, on_chunk: Callable[[ChatChunk], None]) -> None:
        """Receive the answer to a request on this loop, whichever thread its chunks come from."""
        loop, through = self.loop, self._options.through
        ended = asyncio.Event()
        failures: list[Exception] = []

        def on_next(chunk: ChatChunk) -> None:
            if running() is loop:
                on_chunk(chunk)
            else:
                call_on(loop, partial(on_foreign_chunk, chunk))

        def on_foreign_chunk(chunk: ChatChunk) -> None:
            if ended.is_set():
                # It was on its way when this round ended, and no task could run its calls.
                return
            try:
                on_chunk(chunk)
            except Exception as raised:  # noqa: BLE001 - A subscriber may raise anything, and is told.
                end(raised)

        def end(error: Exception | None = None) -> None:
            failures.extend([error] if error is not None else [])
            ended.set()

        def on_error(error: Exception) -> None:
            call_on(loop, partial(end, error))

        def on_completed() -> None:
            call_on(loop, end)

        stream = self._sent(request)
        answer = stream if through is None else through(stream)
        sink = Sink(on_next, on_error, on_completed, self._is_ready, self._absorb)
        subscription = answer.subscribe(sink, scheduler=self._scheduler)
        try:
            await ended.wait()
        finally:
            ended.set()
            subscription.dispose()
        if failures:
            raise failures[0]


async def _message(runner: ToolRunner, call: ToolCall, result: asyncio.Task[ChatChunk]) -> ChatChunk:
    try:
        return await result
    except asyncio.CancelledError:
        if was_cancelled():
            raise
        return runner.cancelled(call)


_TOO_MANY = (
    "the model called tools in round {rounds}, the last of max_rounds={rounds}; allow more rounds, or offer fewer tools"
)
