"""Shared fixtures: a desktop-like thread, quick switches of threads, and the errors that nobody handles."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from reactivex.scheduler import EventLoopScheduler

_PATIENCE = 10.0


@pytest.fixture
def reported(caplog: pytest.LogCaptureFixture) -> Callable[[], list[BaseException]]:
    """Return a function that returns the errors reported so far, on a loop or elsewhere."""

    def told() -> list[BaseException]:
        records = [record for record in caplog.records if record.name in {"asyncio", "rxollama"}]
        return [record.exc_info[1] for record in records if record.exc_info and record.exc_info[1]]

    return told


@pytest.fixture
def desktop() -> Iterator[EventLoopScheduler]:
    """Return a scheduler with its own thread, named `desktop`, like that of a desktop toolkit."""
    threads: list[threading.Thread] = []

    def thread(target: Callable[..., Any]) -> threading.Thread:
        threads.append(threading.Thread(target=target, name="desktop", daemon=True))
        return threads[-1]

    scheduler = EventLoopScheduler(thread)
    yield scheduler
    scheduler.dispose()
    for each in threads:
        each.join(_PATIENCE)


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Make threads take turns far more often."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
