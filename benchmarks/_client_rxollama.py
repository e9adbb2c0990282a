"""The clients with rxollama: the whole pipeline, and parts of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import structlog
from _clients import Chat, Received

from rxollama import ChatChunk, Ollama, Stream, aiterate, iterate
from rxollama import operators as op

__all__ = ("aiterate_every_chunk", "bare", "collect", "content", "iterate_in_thread", "pipeline", "whole_pipeline")

_FRAME = 1 / 30
_PROMPT = "Why is the sky blue?"


def _asked(client: Ollama, model: str) -> Stream[ChatChunk]:
    return client.chat(model, _PROMPT, think=True)


async def whole_pipeline(stream: Stream[ChatChunk], received: Received) -> None:
    """Follow a chat by the whole pipeline: log, share, split, pace, gather and collect."""
    answer = stream.pipe(op.log(structlog.get_logger()), op.share())
    answer.pipe(op.thinking(), op.coalesce(_FRAME)).subscribe(received.thinking.append)
    answer.pipe(op.content(), op.coalesce(_FRAME)).subscribe(received.content.append)
    answer.pipe(op.gather_tool_calls()).subscribe(lambda calls: setattr(received, "calls", len(calls)))
    response = await answer.pipe(op.collect())
    received.chunks = response.metrics.chunk_count
    shown, said = received.answer(), response.message
    if (shown.thinking, shown.content) != (said.thinking, said.content):
        raise ValueError("the callbacks and the collected response differ")


@asynccontextmanager
async def pipeline(url: str) -> AsyncGenerator[Chat]:
    """Use the whole pipeline, with a log that is written to nowhere."""
    with Path(os.devnull).open("wb") as sink:  # noqa: ASYNC230 - Opening it does not block.
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            logger_factory=structlog.BytesLoggerFactory(sink),
            cache_logger_on_first_use=True,
        )
        async with Ollama(url) as client:
            yield lambda model, received: whole_pipeline(_asked(client, model), received)


@asynccontextmanager
async def bare(url: str) -> AsyncGenerator[Chat]:
    """Subscribe one callback."""
    async with Ollama(url) as client:

        async def chat(model: str, received: Received) -> None:
            ended = asyncio.get_running_loop().create_future()
            _asked(client, model).subscribe(
                lambda chunk: received.add(chunk.message), ended.set_exception, lambda: ended.set_result(None)
            )
            await ended

        yield chat


@asynccontextmanager
async def content(url: str) -> AsyncGenerator[Chat]:
    """Share the chat, and subscribe one callback to its content and one to its end."""
    async with Ollama(url) as client:

        async def chat(model: str, received: Received) -> None:
            answer = _asked(client, model).pipe(op.share())
            answer.pipe(op.content()).subscribe(received.content.append)
            await answer.pipe(op.collect())

        yield chat


@asynccontextmanager
async def collect(url: str) -> AsyncGenerator[Chat]:
    """Await the collected response."""
    async with Ollama(url) as client:

        async def chat(model: str, received: Received) -> None:
            response = await _asked(client, model).pipe(op.collect())
            received.add(response.message)
            received.chunks = response.metrics.chunk_count

        yield chat


@asynccontextmanager
async def aiterate_every_chunk(url: str) -> AsyncGenerator[Chat]:
    """Iterate over every chunk in an `async for`."""
    async with Ollama(url) as client:

        async def chat(model: str, received: Received) -> None:
            async for chunk in aiterate(_asked(client, model), overflow="keep"):
                received.add(chunk.message)

        yield chat


@asynccontextmanager
async def iterate_in_thread(url: str) -> AsyncGenerator[Chat]:
    """Iterate over every chunk in a `for`, in a thread."""
    async with Ollama(url) as client:

        def follow(model: str, received: Received) -> None:
            for chunk in iterate(_asked(client, model), overflow="keep"):
                received.add(chunk.message)

        yield lambda model, received: asyncio.to_thread(follow, model, received)
