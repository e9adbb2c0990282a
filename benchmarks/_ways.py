"""
Ways of receiving a chat through own operators, which hand on whole reads as batches where they can.

The law: a way gives the same for a live chat as for the same chunks one by one. So each way returns what it observed,
and is compared with what it observes of a plain stream of the expected chunks.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import structlog
from _sources import one_by_one
from reactivex import Observable, abc
from reactivex import operators as rx

from rxollama import ChatChunk, Stream, aiterate
from rxollama import operators as op

__all__ = ("WAYS", "Way", "stream_of")

Observed: TypeAlias = list[Any]
"""What a way observed, as text, because NaN is not equal to itself."""

Way: TypeAlias = Callable[[Stream[ChatChunk]], Awaitable[Observed]]

_QUIET = structlog.wrap_logger(structlog.ReturnLogger())
# What the client adds to the last chunk.
_TIMES = re.compile(
    r"(?:, )?\b(?:client=(?:None|ClientTiming\([^)]*\))"
    r"|(?:wall_duration|time_to_first_\w+|chunk_count|context_length)=\w+|host='[^']*')"
)


def stream_of(records: list[ChatChunk], failure: str) -> Stream[ChatChunk]:
    """Return a plain stream of chunks that ends with an error of this name, or completes if the name is empty."""
    source = one_by_one(records, type(failure, (Exception,), {})() if failure else None)

    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        return source.subscribe(observer, scheduler=scheduler)

    return Stream(subscribe, items=ChatChunk, deltas=True)


def _as_text(item: object) -> str:
    return _TIMES.sub("", repr(item)).replace("(, ", "(")


async def _observed(*branches: Observable[Any]) -> Observed:
    """Subscribe to each of some observables, and return their items and their ends."""
    watched = [_Watched() for _ in branches]
    for one, branch in zip(watched, branches, strict=True):
        branch.subscribe(one.on_next, one.on_error, one.on_completed)
    return [(one.items, await one.end) for one in watched]


class _Watched:
    """The items of an observable as text, and the name of its end."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_next(self, item: object) -> None:
        self.items.append(_as_text(item))

    def on_error(self, error: Exception) -> None:
        self.end.set_result(type(error).__name__)

    def on_completed(self) -> None:
        self.end.set_result("completion")


def _through(*operators: Callable[[Any], Any]) -> Way:
    return lambda chat: _observed(chat.pipe(*operators))


async def _shared(chat: Stream[ChatChunk]) -> Observed:
    """Share a chat that is logged."""
    shared = chat.pipe(op.log(_QUIET), op.share())
    return await _observed(
        shared.pipe(op.content()), shared.pipe(op.collect()), shared.pipe(op.thinking()), shared.pipe(op.tool_calls())
    )


async def _shared_with_callback(chat: Stream[ChatChunk]) -> Observed:
    """Share a chat between a callback and operators that absorb."""
    shared = chat.pipe(op.share())
    return await _observed(shared.pipe(op.gather_tool_calls()), shared, shared.pipe(op.collect()))


async def _paced(chat: Stream[ChatChunk]) -> Observed:
    """Pace the content. Its parts depend on the time, but not their sum."""
    parts: list[str] = []
    end = await _observed(chat.pipe(op.content(), op.coalesce(0.001), rx.do_action(parts.append), rx.ignore_elements()))
    return ["".join(parts), end]


async def _ended(result: Awaitable[object]) -> str:
    try:
        return _as_text(await result)
    except Exception as error:  # noqa: BLE001 - An unexpected one differs from the expected one.
        return type(error).__name__


async def _awaited(chat: Stream[ChatChunk]) -> Observed:
    """Await the sum."""
    return [await _ended(chat)]


async def _iterated(chat: Stream[ChatChunk]) -> Observed:
    """Iterate over every chunk."""
    items: list[str] = []

    async def each() -> None:
        async for chunk in aiterate(chat, overflow="keep"):
            items.append(_as_text(chunk))  # noqa: PERF401 - A comprehension would lose the items before an error.

    return [items, await _ended(each())]


WAYS: Mapping[str, Way] = {
    "accumulate": _through(op.accumulate()),
    "aiterate": _iterated,
    "await": _awaited,
    "coalesce": _paced,
    "collect": _through(op.collect()),
    "content": _through(op.content()),
    "events": _through(op.events()),
    "extract_thinking": _through(op.extract_thinking()),
    "gather_tool_calls": _through(op.gather_tool_calls()),
    "log": _through(op.log(_QUIET)),
    "share": _shared,
    "share with a callback": _shared_with_callback,
    "thinking": _through(op.thinking()),
    "timeouts": _through(op.timeouts(gap=60), op.collect()),
    "tool_calls": _through(op.tool_calls()),
}
"""The ways by their names."""
