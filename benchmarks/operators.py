"""
What does an operator cost per item, beside reactivex's own where it has one?

Item by item: a plain observable emits items to the operator and a callback that does nothing, and the same to the
callback alone, which is subtracted. In a batch: a chat is decoded from memory, passes the operator, and ends in
`collect` if the operator emits chunks. Operators on texts or snapshots stand behind `content` or `accumulate`. The
operator's part is the difference to the same chain without it. Schedulers are asyncio's on both sides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import reactivex
import structlog
from _fast_server import AnswerPlan
from _harness import Aim, Spread, alternate_here, main, print_table, spread
from _sources import chat_in_memory, cpu_of, end_of, items_of, one_by_one, whole_of
from reactivex import Observable, compose
from reactivex import operators as rx
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxollama import ChatChunk, ToolCall
from rxollama import operators as op

Build: TypeAlias = Callable[[], Callable[[Any], Any]]
"""Builds an operator, for one run."""

_SECONDS = 1 / 30
_QUIET = structlog.wrap_logger(structlog.ReturnLogger())
_TOOL = {"type": "function", "function": {"name": "get_time"}}


class _Row(NamedTuple):
    """
    An operator and its peer in reactivex.

    Args:
        name: The operator.
        build: Builds it.
        peer: The peer's name.
        build_peer: Builds the peer.
        before: Builds the operator before it, which makes its items.
        after: Builds the operator after it, if its items are chunks.
    """

    name: str
    build: Build
    peer: str = ""
    build_peer: Build | None = None
    before: Build | None = None
    after: Build | None = None


def _timed(operator: Callable[..., Any], seconds: float) -> Build:
    return lambda: operator(seconds, scheduler=AsyncIOScheduler(asyncio.get_running_loop()))


def _texts_of(field: str) -> Build:
    def text_of(chunk: ChatChunk) -> str:
        text: str = getattr(chunk.message, field)
        return text

    return lambda: compose(rx.map(text_of), rx.filter(bool))


def _joined() -> Callable[[Any], Any]:
    return compose(_timed(rx.buffer_with_time, _SECONDS)(), rx.map("".join))


def _watched() -> Callable[[Observable[ChatChunk]], Observable[ChatChunk]]:
    def ignore(_: ChatChunk) -> None:
        pass

    return rx.do_action(ignore)


def _scanned() -> Callable[[Observable[ChatChunk]], Observable[str]]:
    def added(text: str, chunk: ChatChunk) -> str:
        return text + chunk.message.content

    return rx.scan(added, "")


def _calls() -> Callable[[Observable[ChatChunk]], Observable[ToolCall]]:
    def has_calls(chunk: ChatChunk) -> bool:
        return bool(chunk.message.tool_calls)

    def calls_of(chunk: ChatChunk) -> Observable[ToolCall]:
        return reactivex.from_iterable(chunk.message.tool_calls)

    return compose(rx.filter(has_calls), rx.flat_map(calls_of))


def _gathered() -> Callable[[Observable[ChatChunk]], Observable[Any]]:
    return compose(_calls(), rx.to_list())


_ROWS = (
    _Row("content()", op.content, "map, filter", _texts_of("content")),
    _Row("thinking()", op.thinking, "map, filter", _texts_of("thinking")),
    _Row("coalesce(1 / 30)", partial(op.coalesce, _SECONDS), "buffer_with_time, map", _joined, before=op.content),
    _Row(
        "debounce(1 / 30)",
        partial(op.debounce, _SECONDS),
        "debounce",
        _timed(rx.debounce, _SECONDS),
        before=op.content,
    ),
    _Row(
        "throttle(1 / 30)",
        partial(op.throttle, _SECONDS),
        "sample",
        _timed(rx.sample, _SECONDS),
        before=op.accumulate,
    ),
    _Row("log()", partial(op.log, _QUIET), "do_action", _watched, after=op.collect),
    _Row("share()", op.share, "share", rx.share, after=op.collect),
    _Row(
        "timeouts(gap=9)",
        partial(op.timeouts, gap=9),
        "timeout",
        _timed(rx.timeout, 9),
        after=op.collect,
    ),
    _Row("retry()", op.retry, "retry", rx.retry, after=op.collect),
    _Row(
        "fallback(other)",
        partial(op.fallback, reactivex.never()),
        "catch",
        partial(rx.catch, reactivex.never()),
        after=op.collect,
    ),
    _Row(
        "hedge(other, after=9)",
        partial(op.hedge, reactivex.never(), after=9),
        "amb",
        partial(rx.amb, reactivex.never()),
        after=op.collect,
    ),
    _Row("extract_thinking()", op.extract_thinking, after=op.collect),
    _Row("extract_tool_calls([tool])", partial(op.extract_tool_calls, [_TOOL]), after=op.collect),
    _Row("stop_loops()", op.stop_loops, after=op.collect),
    _Row("accumulate()", op.accumulate, "scan, of the content", _scanned),
    _Row("collect()", op.collect, "to_list", rx.to_list),
    _Row(
        "gather_tool_calls()",
        op.gather_tool_calls,
        "filter, flat_map, to_list",
        _gathered,
    ),
    _Row("tool_calls()", op.tool_calls, "filter, flat_map", _calls),
    _Row("events()", op.events),
)


async def _costs(row: _Row, plan: AnswerPlan, items: list[Any], turns: int) -> dict[str, Spread]:
    """Return the microseconds per item of one operator in all ways, measured in alternation."""
    source = one_by_one(items)
    chat = chat_in_memory(plan)
    if row.before is not None:
        chat = chat.pipe(row.before())
    works: dict[str, Callable[[], Awaitable[object]]] = {
        "source": lambda: end_of(source),
        "own": lambda: end_of(source.pipe(row.build())),
        "chat": lambda: whole_of(chat.pipe(row.after()) if row.after else chat),
        "batch": lambda: whole_of(chat.pipe(row.build(), *([row.after()] if row.after else []))),
    }
    if row.build_peer is not None:
        build_peer = row.build_peer
        works["peer"] = lambda: end_of(source.pipe(build_peer()))
    runs = await alternate_here({name: partial(cpu_of, work) for name, work in works.items()}, turns=turns)

    def above(name: str, base: str) -> Spread:
        return spread((one - other) / len(items) for one, other in zip(runs[name], runs[base], strict=True))

    found = {name: above(name, "source") for name in runs if name in {"own", "peer"}}
    if row.before or row.after:
        found["part"] = above("batch", "chat")
    return {**found, "batch": spread(run / plan.chunks for run in runs["batch"])}


def measure(smoke: bool) -> list[Aim]:
    """Measure each operator."""
    plan, turns = (AnswerPlan(500), 1) if smoke else (AnswerPlan(5000, kind="alternating"), 5)
    rows: list[tuple[str, ...]] = []
    aims: list[Aim] = []
    for row in _ROWS:
        costs = asyncio.run(_costs(row, plan, items_of(plan, row.before), turns))
        shown = (costs[column].show() if column in costs else "" for column in ("own", "peer", "part", "batch"))
        rows.append((f"`{row.name}`", *shown, row.peer))
        if row.name.startswith("coalesce"):
            aims.append(Aim("coalesce, µs per item of a batch", costs["part"].median, most=0.2))
    print(f"µs of CPU per item, {plan.chunks:,} chunks of alternating kinds:")
    head = ("", "item by item", "reactivex", "in a batch", "whole chain from memory", "the operators of reactivex")
    print_table(head, rows)
    return aims


if __name__ == "__main__":
    main(measure, __doc__)
