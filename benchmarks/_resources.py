"""The resources of a process, counted, to show that all of them are released."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import psutil  # type: ignore[import-untyped] # psutil brings no types of its own.

__all__ = ("Resources", "count_resources", "increases", "memory_in_use", "table", "wait_until_released")

_STEP_SECONDS = 0.05


class Resources(NamedTuple):
    """The numbers of open resources of this process, and of the server's connections."""

    tasks: int
    timers: int
    threads: int
    files: int
    sockets: int
    server_connections: int


def count_resources(open_connections: Callable[[], int], *, collect: bool = True) -> Resources:
    """
    Return the resources that are open now, on all loops.

    Args:
        open_connections: A function that returns the number of the server's open connections.
        collect: Whether to collect garbage first, which takes some time.
    """
    if collect:
        gc.collect()
    process = psutil.Process()
    current = _current_task()
    objects = gc.get_objects()
    return Resources(
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


def memory_in_use() -> int:
    """Return the memory of this process, in bytes."""
    used: int = psutil.Process().memory_info().rss
    return used


def wait_until_released(
    count: Callable[[], Resources], before: Resources, turn: Callable[[float], None], patience: float
) -> Resources:
    """
    Count until nothing is open that was not open before, or the time is over.

    Args:
        count: The function that counts.
        before: The earlier count.
        turn: A function that lets the loops run for some seconds.
        patience: The longest time, in seconds.

    Returns:
        The last count.
    """
    until = time.monotonic() + patience
    while increases(now := count(), before) and time.monotonic() < until:
        turn(_STEP_SECONDS)
    return now


def increases(now: Resources, before: Resources) -> list[str]:
    """Return a description of each resource of which more are open than before."""
    pairs = zip(Resources._fields, now, before, strict=True)
    return [f"{field.replace('_', ' ')}: {last:,} instead of {first:,}" for field, last, first in pairs if last > first]


def table(columns: dict[str, Resources]) -> str:
    """Return a table of counts with one column per moment."""
    lines = [f"{'':20}" + "".join(f"{name:>16}" for name in columns)]
    for index, field in enumerate(Resources._fields):
        lines.append(f"{field.replace('_', ' '):20}" + "".join(f"{one[index]:16,}" for one in columns.values()))
    return "\n".join(lines)
