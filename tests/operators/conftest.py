"""What the tests of operators share: a thread as of a desktop, and an ear for errors that nobody handles."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from reactivex.scheduler import EventLoopScheduler

_PATIENCE = 10.0


@pytest.fixture
def reported(caplog: pytest.LogCaptureFixture) -> Callable[[], list[BaseException]]:
    """Tell which errors were told to nobody in particular, on a loop or away from it."""

    def told() -> list[BaseException]:
        records = [record for record in caplog.records if record.name in {"asyncio", "rxollama"}]
        return [record.exc_info[1] for record in records if record.exc_info and record.exc_info[1]]

    return told


@pytest.fixture
def desktop() -> Iterator[EventLoopScheduler]:
    """Run a scheduler on a thread of its own, named `desktop`, as a desktop toolkit's is."""
    threads: list[threading.Thread] = []

    def thread(target: Callable[..., Any]) -> threading.Thread:
        threads.append(threading.Thread(target=target, name="desktop", daemon=True))
        return threads[-1]

    scheduler = EventLoopScheduler(thread)
    yield scheduler
    scheduler.dispose()
    for each in threads:
        each.join(_PATIENCE)
