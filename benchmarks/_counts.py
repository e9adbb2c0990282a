"""What a process holds, counted, so that a program can show that it gives everything back."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import psutil  # type: ignore[import-untyped] # psutil brings no types of its own.

__all__ = ("Held", "held", "memory", "more", "settle", "table")

_STEP_SECONDS = 0.05


class Held(NamedTuple):
    """Be what is held: by this process, and last by the server for it."""

    tasks: int
    timers: int
    threads: int
    files: int
    sockets: int
    server_connections: int


def held(open_connections: Callable[[], int], *, collect: bool = True) -> Held:
    """
    Count what is held now, on whichever loop.

    Args:
        open_connections: Counts the connections that the server has open.
        collect: Whether to collect garbage before, which takes a while.
    """
    if collect:
        gc.collect()
    process = psutil.Process()
    current = _current_task()
    objects = gc.get_objects()
    return Held(
        tasks=sum(isinstance(one, asyncio.Task) and one is not current and not one.done() for one in objects),
        timers=sum(type(one).__name__ == "TimerHandle" and not one.cancelled() for one in objects),
        threads=threading.active_count(),
        files=process.num_fds() if hasattr(process, "num_fds") else 0,
        sockets=len(process.net_connections(kind="inet")),
        server_connections=open_connections(),
    )


def _current_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def memory() -> int:
    """Measure the memory that this process has in use, in bytes."""
    used: int = psutil.Process().memory_info().rss
    return used


def settle(count: Callable[[], Held], before: Held, turn: Callable[[float], None], patience: float) -> Held:
    """
    Count until nothing is held any more that was not held before, or the patience is over.

    Args:
        count: Counts.
        before: What was held before.
        turn: Passes some seconds, and lets the loops do what they have to.
        patience: Seconds.

    Returns:
        The last count.
    """
    until = time.monotonic() + patience
    while more(now := count(), before) and time.monotonic() < until:
        turn(_STEP_SECONDS)
    return now


def more(now: Held, before: Held) -> list[str]:
    """Name what more is held now than before."""
    pairs = zip(Held._fields, now, before, strict=True)
    return [f"{field.replace('_', ' ')}: {last:,} instead of {first:,}" for field, last, first in pairs if last > first]


def table(columns: dict[str, Held]) -> str:
    """Lay out counts, a moment in a column."""
    lines = [f"{'':20}" + "".join(f"{name:>16}" for name in columns)]
    for index, field in enumerate(Held._fields):
        lines.append(f"{field.replace('_', ' '):20}" + "".join(f"{one[index]:16,}" for one in columns.values()))
    return "\n".join(lines)
