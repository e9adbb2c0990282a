"""
What does each way out of Rx cost per chunk?

A chat is decoded from memory. The cost of a callback that does nothing is in the first row, and contained in the
others. `run` and `iterate` need another thread, because they block: the cost is that of both threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from _fast_server import AnswerPlan
from _harness import Aim, alternate_here, main, print_table, ratio, spread
from _sources import chat_in_memory, cpu_of, end_of, whole_of

from rxollama import Stream, aiterate, iterate, run
from rxollama import operators as op

_CALLBACK = "`subscribe`, one callback"


async def _each(stream: Stream[Any], overflow: Any) -> None:
    async for _ in aiterate(stream, overflow=overflow):
        pass


def _each_here(stream: Stream[Any], overflow: Any) -> None:
    for _ in iterate(stream, overflow=overflow):
        pass


def measure(smoke: bool) -> list[Aim]:
    """Measure each way."""
    plan, turns = (AnswerPlan(500), 1) if smoke else (AnswerPlan(20_000), 7)
    chat = chat_in_memory(plan)
    works: dict[str, Callable[[], Awaitable[Any]]] = {
        _CALLBACK: lambda: end_of(chat),
        "`await`": lambda: whole_of(chat),
        "`await`, `collect`": lambda: whole_of(chat.pipe(op.collect())),
        "`run`": lambda: asyncio.to_thread(run, chat),
        '`aiterate`, `"sum"`': lambda: _each(chat, "sum"),
        '`aiterate`, `"keep"`': lambda: _each(chat, "keep"),
        '`iterate`, `"sum"`': lambda: asyncio.to_thread(_each_here, chat, "sum"),
        '`iterate`, `"keep"`': lambda: asyncio.to_thread(_each_here, chat, "keep"),
    }
    runs = asyncio.run(alternate_here({name: partial(cpu_of, work) for name, work in works.items()}, turns=turns))
    print(f"{plan.chunks:,} chunks:")
    rows = (
        (name, spread(cost / plan.chunks for cost in own).show(), ratio(own, runs[_CALLBACK]).show())
        for name, own in runs.items()
    )
    print_table(("", "µs of CPU per chunk", "by the callback"), rows)
    return []


if __name__ == "__main__":
    main(measure, __doc__)
