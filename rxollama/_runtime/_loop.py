"""
The event loop that a stream lives on.

Subscribed from a coroutine, a stream lives on that running loop. Subscribed from anywhere else it lives on the one
background loop, whose thread starts on first use and ends with the interpreter.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec

from rxollama._runtime._loop_factory import new_loop

__all__ = (
    "Job",
    "background",
    "call_on",
    "is_shutting_down",
    "never_collect",
    "report_error",
    "run_jobs",
    "run_jobs_blocking",
    "running",
    "stream_loop",
)

_PATIENCE = 5.0

_logger = logging.getLogger("rxollama")

Job: TypeAlias = tuple[asyncio.AbstractEventLoop, Callable[[], Coroutine[Any, Any, None]]]
"""Work that has to be done on a loop, and does not raise."""


def running() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs on this thread, if one does."""
    return asyncio._get_running_loop()  # noqa: SLF001 - asyncio exports it; the other way costs an exception.


def stream_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that a stream subscribed here lives on."""
    return running() or background()


def background() -> asyncio.AbstractEventLoop:
    """Return the background loop, which is started if it is not running yet."""
    return _background.loop()


def is_shutting_down(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether a loop is the background loop, on its way out with the interpreter."""
    return _background.is_shutting_down(loop)


def call_on(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Call something on a loop, from whichever thread: at once where that is here, and not at all once it is closed."""
    if loop is running():
        callback()
    else:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(callback)


async def run_jobs(jobs: Iterable[Job]) -> None:
    """
    Do work on the loops it belongs to, and wait for it, though not for ever.

    Args:
        jobs: The work; what belongs to a loop that does not run is left out.
    """
    sent = [asyncio.wrap_future(future) for future in _sent(jobs)]
    if sent:
        await asyncio.wait(sent, timeout=_PATIENCE)


def run_jobs_blocking(jobs: Iterable[Job]) -> None:
    """
    Do work on the loops it belongs to, and wait for it where that blocks no loop, though not for ever.

    Args:
        jobs: The work; what belongs to a loop that does not run is left out.
    """
    sent = _sent(jobs)
    if running() is None:
        concurrent.futures.wait(sent, timeout=_PATIENCE)


def _sent(jobs: Iterable[Job]) -> list[concurrent.futures.Future[None]]:
    sent: list[concurrent.futures.Future[None]] = []
    for loop, job in jobs:
        # A loop that does not run may never again, and what lives there ends with it.
        if loop.is_running():
            work = job()
            try:
                sent.append(asyncio.run_coroutine_threadsafe(work, loop))
            except RuntimeError:
                # It was closed at this moment.
                work.close()
    return sent


def report_error(message: str, error: BaseException) -> None:
    """
    Tell somebody of an error that has no subscriber to be told.

    On a loop that is its exception handler, elsewhere a log, as asyncio does it when nobody has said otherwise.

    Args:
        message: What happened.
        error: The error.
    """
    loop = running()
    if loop is not None:
        loop.call_exception_handler({"message": message, "exception": error})
        return
    _logger.error(message, exc_info=error)


class _Forever(msgspec.Struct, gc=False):
    """Be a part of a cycle that no garbage collector sees."""

    things: list[object]


def never_collect(*things: object) -> None:
    """
    Keep things for as long as the process lives, its very end included.

    A forked child inherits its parent's loops and connections, which share the parent's sockets: to tear them down
    there would reach into the parent.

    Args:
        things: What to keep.
    """
    forever = _Forever([*things])
    forever.things.append(forever)


class _Background:
    """Hold the one background loop of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._leaving = False

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = new_loop()
                self._thread = threading.Thread(target=_live, args=(self._loop,), name="rxollama", daemon=True)
                self._thread.start()
            return self._loop

    def is_shutting_down(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._leaving and loop is self._loop

    def forget(self) -> None:
        """Start anew in a forked child, where the thread is gone, and keep the parent's loop from being torn down."""
        never_collect(self._loop, self._thread)
        self._lock = threading.Lock()
        self._loop = self._thread = None

    def stop(self) -> None:
        """End every stream, close what is open, and join the thread, unless a callback holds it."""
        with self._lock:
            loop, thread = self._loop, self._thread
            if loop is None or thread is None:
                return
            self._leaving = True
        with suppress(OSError, RuntimeError):
            asyncio.run_coroutine_threadsafe(_wind_down(loop), loop).result(_PATIENCE)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_PATIENCE)
            loop.close()
            with self._lock:
                self._loop = self._thread = None
                self._leaving = False


def _live(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - A callback's sys.exit() must not end everybody's streams.
            report_error("a callback raised, on the thread that all streams share, what would end the program", error)
        else:
            return


async def _wind_down(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # The HTTP clients of this loop close here: each waits in an async generator for the end of its loop.
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


_background = _Background()
atexit.register(_background.stop)
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks.
    os.register_at_fork(after_in_child=_background.forget)
