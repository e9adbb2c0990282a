"""The rounds: ask, run what is called, ask again with the results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rxollama._runtime import Stream, Streams, Subscription, call_on, running
from rxollama._tool_loop._options import ToolLoopOptions
from rxollama._tool_loop._tool_call import ToolRunner
from rxollama.errors import StreamError, TooManyRoundsError
from rxollama.messages import ChatChunk, ChatRequest, ChatResponse, ResponseBuilder, ToolCall, read_messages

__all__ = ("converse",)

Send = Callable[[ChatRequest], Observable[ChatChunk]]


def converse(
    request: ChatRequest, options: ToolLoopOptions, send: Send, streams: Streams, *, host: str = ""
) -> Stream[ChatChunk]:
    """
    Build the observable of a conversation.

    Args:
        request: The first request; the messages of each round are added for the next.
        options: Its options.
        send: Makes the observable of a request.
        streams: The live streams of the client.
        host: The base URL of the server, for errors.

    Returns:
        A cold observable: each subscription is a conversation of its own.
    """

    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        talk = ToolLoop(observer, streams, request, options=options, send=send, host=host, scheduler=scheduler)
        talk.start()
        return Disposable(talk.dispose)

    return Stream(subscribe, items=ChatChunk, deltas=True)


class ToolLoop(Subscription[ChatChunk]):
    """Be one conversation."""

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
        self._broken = False

    def _fill_in(self, error: StreamError) -> None:
        error.model = error.model or self._request.model
        error.host = error.host or self._host
        error.endpoint = error.endpoint or "POST /api/chat"
        said = self._builder.snapshot()
        error.partial = ChatResponse(
            message=said.message,
            messages=said.messages,
            metrics=said.metrics,
            model=said.model,
            logprobs=said.logprobs,
        )

    async def _stream(self) -> None:
        # The lock and the places of a runner belong to the loop that this runs on.
        runner = ToolRunner(self._options, self._emit)
        request, left = self._request, self._options.max_rounds
        asked = read_messages(request.messages)
        while True:
            left -= 1
            if not await self._round(request, runner, is_last=not left):
                return
            request = replace(request, messages=(*asked, *self._builder.snapshot().messages))

    async def _round(self, request: ChatRequest, runner: ToolRunner, *, is_last: bool) -> bool:
        """Play one round, the answer to a request and the results of what it calls; tell whether it called anything."""
        calls: list[ToolCall] = []
        running_calls: list[asyncio.Task[ChatChunk]] = []
        try:
            async with asyncio.TaskGroup() as group:

                def take(chunk: ChatChunk) -> None:
                    self._emit(chunk)
                    for call in chunk.message.tool_calls:
                        calls.append(call)
                        # Nothing is run whose result nobody will be told.
                        if not (is_last or self._over or self._broken):
                            running_calls.append(group.create_task(self._run_call(runner, call)))

                await self._hear(request, take)
                if is_last and calls:
                    raise TooManyRoundsError(_TOO_MANY.format(rounds=self._options.max_rounds))
                for ended in running_calls:
                    self._emit(await ended)
        except BaseExceptionGroup as several:
            [failure, *_] = several.exceptions
        else:
            return bool(calls)
        raise failure

    async def _run_call(self, runner: ToolRunner, call: ToolCall) -> ChatChunk:
        try:
            return await runner.run(call)
        except Exception:
            # From here on the group takes nothing in.
            self._broken = True
            raise

    def _emit(self, chunk: ChatChunk) -> None:
        if not self._over:
            self._builder.add(chunk)
            self._observer.on_next(chunk)

    async def _hear(self, request: ChatRequest, take: Callable[[ChatChunk], None]) -> None:
        """Take in the answer to a request, on this loop, from whichever thread it comes."""
        loop, through = self.loop, self._options.through
        ended = asyncio.Event()
        failures: list[Exception] = []

        def on_next(chunk: ChatChunk) -> None:
            if running() is loop:
                take(chunk)
            else:
                call_on(loop, partial(take_safely, chunk))

        def take_safely(chunk: ChatChunk) -> None:
            if ended.is_set():
                # It was on its way when this round ended, and its calls would find nobody to run them.
                return
            try:
                take(chunk)
            except Exception as raised:  # noqa: BLE001 - A subscriber may raise what it likes, and is told of it.
                end(raised)

        def end(error: Exception | None = None) -> None:
            failures.extend([error] if error is not None else [])
            ended.set()

        def on_error(error: Exception) -> None:
            call_on(loop, partial(end, error))

        def on_completed() -> None:
            call_on(loop, end)

        stream = self._send(request)
        heard = stream if through is None else through(stream)
        subscription = heard.subscribe(on_next, on_error, on_completed, scheduler=self._scheduler)
        try:
            await ended.wait()
        finally:
            ended.set()
            subscription.dispose()
        if failures:
            raise failures[0]


_TOO_MANY = (
    "the model still called tools in round {rounds}, the last of max_rounds={rounds}; "
    "allow more rounds, or ask for less at a time"
)
