"""
Do `accumulate` and `collect` cost the same per chunk, however long the answer is?

A chat is decoded from memory. Of `accumulate`, no snapshot is read, or the message of each tenth one, as behind
`throttle(1 / 30)` at 300 chunks per second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any

from _fast_server import AnswerPlan
from _harness import Aim, alternate_here, main, print_table, spread
from _sources import chat_in_memory, cpu_of, end_of, items_of, one_by_one, whole_of

from rxollama import ChatResponse
from rxollama import operators as op

_EVERY = 10
_FLAT = 1.5


def _reader() -> Callable[[ChatResponse], None]:
    """Return a callback that reads each tenth snapshot."""
    numbers = count(1)

    def read(snapshot: ChatResponse) -> None:
        if next(numbers) % _EVERY == 0:
            _ = snapshot.message

    return read


def _works(size: int) -> dict[str, Callable[[], Awaitable[Any]]]:
    plan = AnswerPlan(size)
    chat, source = chat_in_memory(plan), one_by_one(items_of(plan))
    return {
        "decoding, `collect`": lambda: whole_of(chat.pipe(op.collect())),
        "decoding, `accumulate`": lambda: whole_of(chat.pipe(op.accumulate())),
        "`collect`, item by item": lambda: end_of(source.pipe(op.collect())),
        "`accumulate`, item by item": lambda: end_of(source.pipe(op.accumulate())),
        "`accumulate`, each tenth read": lambda: end_of(source.pipe(op.accumulate()), _reader()),
    }


def measure(smoke: bool) -> list[Aim]:
    """Measure each size."""
    sizes, turns = ((100, 1000), 1) if smoke else ((1000, 10_000, 50_000, 200_000), 3)
    columns: dict[str, list[float]] = {}
    for size in sizes:
        works = {name: partial(cpu_of, work) for name, work in _works(size).items()}
        largest = size == sizes[-1]
        runs = asyncio.run(alternate_here(works, turns=1 if largest else turns, warm_up=not largest))
        for name, own in runs.items():
            columns.setdefault(name, []).append(spread(own).median / size)
    print("µs of CPU per chunk:")
    rows = ((name, *(f"{cost:.2f}" for cost in own), f"{own[-1] / own[1]:.2f}") for name, own in columns.items())
    print_table(("chunks", *(f"{size:,}" for size in sizes), "growth from the second"), rows)
    return [
        Aim(f"{name}, growth from {sizes[1]:,} to {sizes[-1]:,}", own[-1] / own[1], most=_FLAT)
        for name, own in columns.items()
        if "tenth" not in name
    ]


if __name__ == "__main__":
    main(measure, __doc__)
