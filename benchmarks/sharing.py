"""
What does `share` cost with more and more subscribers, and what does a late subscriber cost?

Item by item: a plain observable is shared by callbacks that do nothing, and the cost of one callback without sharing is
subtracted. In a batch: a chat decoded from memory is shared by `collect`, and the cost of one `collect` without sharing
is subtracted, so the further ones count. A late subscriber comes in the middle of an answer. reactivex's `share` hands
a late subscriber nothing, so its `replay` is the peer there.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any, TypeAlias

from _fast_server import AnswerPlan
from _harness import Aim, Spread, alternate_here, main, print_table, spread
from _sources import chat_in_memory, cpu_of, end_of, items_of, one_by_one, whole_of
from reactivex import Observable
from reactivex import operators as rx
from reactivex.subject import Subject

from rxollama import ChatChunk, Stream
from rxollama import operators as op

_CONSUMERS = (1, 4, 16)
_MANY = 4

Works: TypeAlias = dict[str, Callable[[], Awaitable[object]]]
Operator: TypeAlias = Callable[[Observable[Any]], Observable[Any]]


async def _end_of_each(source: Observable[Any], share: Operator, consumers: int) -> None:
    shared = source.pipe(share)
    await asyncio.gather(*(end_of(shared) for _ in range(consumers)))


async def _collect_of_each(chat: Stream[ChatChunk], consumers: int) -> None:
    shared = chat.pipe(op.share())
    await asyncio.gather(*(whole_of(shared.pipe(op.collect())) for _ in range(consumers)))


async def _costs(plan: AnswerPlan, items: list[Any], turns: int) -> dict[str, list[float]]:
    source, chat = one_by_one(items), chat_in_memory(plan)
    works: Works = {"source": lambda: end_of(source), "chat": lambda: whole_of(chat.pipe(op.collect()))}
    for count in _CONSUMERS:
        works[f"own {count}"] = partial(_end_of_each, source, op.share(), count)
        works[f"peer {count}"] = partial(_end_of_each, source, rx.share(), count)
        works[f"batch {count}"] = partial(_collect_of_each, chat, count)
    return await alternate_here({name: partial(cpu_of, work) for name, work in works.items()}, turns=turns)


def _show_consumers(plan: AnswerPlan, turns: int) -> Aim:
    items = items_of(plan)
    runs = asyncio.run(_costs(plan, items, turns))

    def above(name: str, base: str) -> Spread:
        return spread((one - other) / len(items) for one, other in zip(runs[name], runs[base], strict=True))

    found = {
        count: (above(f"own {count}", "source"), above(f"peer {count}", "source"), above(f"batch {count}", "chat"))
        for count in _CONSUMERS
    }
    print(f"µs of CPU per item, {plan.chunks:,} chunks of alternating kinds:")
    rows = ((str(count), *(cost.show() for cost in costs)) for count, costs in found.items())
    print_table(("subscribers", "item by item", "reactivex, share", "in a batch"), rows)
    return Aim(f"share with {_MANY} subscribers, µs per item of a batch", found[_MANY][-1].median, most=0.5)


def _late(operator: Operator, items: list[Any]) -> tuple[float, float]:
    """Return the microseconds of two late subscriptions, one after the other."""
    source = Subject[Any]()
    shared = source.pipe(operator)
    shared.subscribe(lambda _: None)
    for item in items:
        source.on_next(item)
    gc.collect()
    moments = [perf_counter()]
    for _ in range(2):
        shared.subscribe(lambda _: None)
        moments.append(perf_counter())
    return (moments[1] - moments[0]) * 1e6, (moments[2] - moments[1]) * 1e6


def _replayed(source: Observable[Any]) -> Observable[Any]:
    replayed: Any = rx.replay()  # It returns a connectable observable, or else an operator.
    return source.pipe(replayed, rx.ref_count())


def _show_late(sizes: tuple[int, ...], turns: int) -> Aim:
    rows: list[tuple[str, ...]] = []
    seconds: list[float] = []
    for size in sizes:
        items = items_of(AnswerPlan(size))[: size - 2]
        own = [_late(op.share(), items) for _ in range(turns)]
        peer, _ = _late(_replayed, items)
        first, second = (median(times) for times in zip(*own, strict=True))
        seconds.append(second)
        rows.append((f"{size:,}", f"{first:,.0f}", f"{second:,.0f}", f"{peer:,.0f}"))
    print("µs of a late subscription, after this many chunks:")
    print_table(("chunks", "the first", "the second", "reactivex, replay"), rows)
    what = f"a second late subscriber, growth from {sizes[-2]:,} to {sizes[-1]:,} chunks"
    return Aim(what, seconds[-1] / seconds[-2], most=2)


def measure(smoke: bool) -> list[Aim]:
    """Measure subscribers, and late subscribers."""
    plan, sizes, turns = (
        (AnswerPlan(500), (100, 1000), 1)
        if smoke
        else (AnswerPlan(5000, kind="alternating"), (1000, 10_000, 100_000), 5)
    )
    return [_show_consumers(plan, turns), _show_late(sizes, min(turns, 3))]


if __name__ == "__main__":
    main(measure, __doc__)
