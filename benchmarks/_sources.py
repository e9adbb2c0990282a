"""Sources of chunks in this process: a chat whose body is in memory, and a plain observable."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from time import process_time
from typing import Any

from _fast_server import AnswerPlan, body_of
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rxollama import ChatChunk, Ollama, Stream, iterate
from rxollama.transport import Request

__all__ = ("InMemory", "chat_in_memory", "cpu_of", "end_of", "items_of", "one_by_one", "whole_of")

_READ = 400


class _Body:
    """A response whose body is in memory. The loop runs between its blocks, as it does between reads."""

    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, blocks: Iterable[bytes]) -> None:
        # One iterator, because iterating continues where `deliver` stopped.
        self._blocks = iter(blocks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for block in self._blocks:
            yield block
            await asyncio.sleep(0)

    async def deliver(self, take: Callable[[bytes], bool]) -> None:
        """Hand on the blocks, see `rxollama.transport.Response`."""
        for block in self._blocks:
            if take(block):
                return
            await asyncio.sleep(0)


class InMemory:
    """A transport whose responses all have the same body."""

    def __init__(self, blocks: list[bytes]) -> None:
        self._blocks = blocks

    @asynccontextmanager
    async def open(self, request: Request, /) -> AsyncGenerator[_Body]:
        del request
        yield _Body(self._blocks)


@cache
def chat_in_memory(plan: AnswerPlan) -> Stream[ChatChunk]:
    """Return a chat that is decoded from memory, so that it hands on whole reads to operators that take them."""
    return Ollama(transport=InMemory(body_of(plan))).chat("m", "x")


def items_of(plan: AnswerPlan, operator: Callable[[], Callable[[Any], Any]] | None = None) -> list[Any]:
    """Return the chunks of an answer, or what an operator makes of them. Call it outside a loop."""
    chat = chat_in_memory(plan)
    return list(iterate(chat.pipe(operator()) if operator else chat, overflow="keep"))


def one_by_one(items: list[Any], error: Exception | None = None) -> Observable[Any]:
    """
    Return an observable that emits items one by one, and then an error if there is one.

    The loop runs after some hundred items, as it does between reads.
    """

    def subscribe(observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        del scheduler
        loop, disposed = asyncio.get_running_loop(), asyncio.Event()
        emit = observer.on_next

        def read(start: int) -> None:
            for item in items[start : start + _READ]:
                emit(item)
            if start + _READ >= len(items):
                observer.on_error(error) if error else observer.on_completed()
            elif not disposed.is_set():
                loop.call_soon(read, start + _READ)

        loop.call_soon(read, 0)
        return Disposable(disposed.set)

    return Observable(subscribe)


def _ignore(_: object) -> None:
    pass


async def end_of(source: Observable[Any], on_next: Callable[[Any], None] = _ignore) -> None:
    """Subscribe a callback, which does nothing unless it is given, and wait for the end."""
    ended = asyncio.get_running_loop().create_future()
    source.subscribe(on_next, ended.set_exception, lambda: ended.set_result(None))
    await ended


async def whole_of(stream: Stream[Any]) -> None:
    """Wait for the whole of a stream."""
    await stream


async def cpu_of(work: Callable[[], Awaitable[object]]) -> float:
    """Return the microseconds of CPU of some work."""
    gc.collect()
    began = process_time()
    await work()
    return (process_time() - began) * 1e6
