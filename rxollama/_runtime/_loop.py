"""
The event loop that a stream lives on.

A stream that is subscribed from a coroutine lives on the running loop. Subscribed from anywhere else, it lives on the
background loop, whose thread starts on first use and ends with the interpreter.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec

from rxollama._runtime._loop_factory import new_loop
from rxollama.errors import UnsupportedRuntimeError

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
    "start_jobs",
    "stream_loop",
)

_PATIENCE = 5.0

_logger = logging.getLogger("rxollama")

Job: TypeAlias = tuple[asyncio.AbstractEventLoop, Callable[[], Coroutine[Any, Any, None]]]
"""A loop, and a coroutine function to run on it, which must not raise."""


def running() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs on this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def stream_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that a stream lives on if it is subscribed here."""
    return running() or background()


def background() -> asyncio.AbstractEventLoop:
    """
    Return the background loop, and start it if necessary.

    Raises:
        UnsupportedRuntimeError: If gevent has patched `threading`, under which no thread of ours would run.
    """
    return _background.loop()


def is_shutting_down(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether a loop is the background loop, and the interpreter is shutting down."""
    return _background.is_shutting_down(loop)


def call_on(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Call a function on a loop: at once if the loop runs here, not at all if it is closed."""
    if loop is running():
        callback()
    else:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(callback)


async def run_jobs(jobs: Iterable[Job]) -> None:
    """
    Run jobs on their loops, and wait up to five seconds for them.

    Args:
        jobs: The jobs. A job whose loop does not run is left out.
    """
    sent = [asyncio.wrap_future(future) for future in start_jobs(jobs)]
    if sent:
        await asyncio.wait(sent, timeout=_PATIENCE)


def run_jobs_blocking(jobs: Iterable[Job]) -> None:
    """
    Run jobs on their loops. Wait up to five seconds for them, unless a loop runs on this thread.

    Args:
        jobs: The jobs. A job whose loop does not run is left out.
    """
    sent = start_jobs(jobs)
    if running() is None:
        concurrent.futures.wait(sent, timeout=_PATIENCE)


def start_jobs(jobs: Iterable[Job]) -> list[concurrent.futures.Future[None]]:
    """
    Start jobs on their loops.

    Args:
        jobs: The jobs. A job whose loop does not run is left out.

    Returns:
        Their futures.
    """
    sent: list[concurrent.futures.Future[None]] = []
    for loop, job in jobs:
        # A loop that does not run may never run again, and its streams end with it.
        if loop.is_running():
            work = job()
            try:
                sent.append(asyncio.run_coroutine_threadsafe(work, loop))
            except RuntimeError:
                # The loop was closed meanwhile.
                work.close()
    return sent


def report_error(message: str, error: BaseException) -> None:
    """
    Report an error that no subscriber can be given.

    On a loop the loop's exception handler gets it. Elsewhere it is logged, as asyncio's default handler does.

    Args:
        message: The event.
        error: The error.
    """
    loop = running()
    if loop is not None:
        loop.call_exception_handler({"message": message, "exception": error})
        return
    _logger.error(message, exc_info=error)


class _Forever(msgspec.Struct, gc=False):
    """A part of a reference cycle that the garbage collector does not track."""

    things: list[object]


def never_collect(*things: object) -> None:
    """
    Keep objects alive until the process has ended, so that nothing finalizes them.

    A forked child inherits its parent's loops and connections, which share the parent's sockets. To finalize them in
    the child would disturb the parent.

    Args:
        things: The objects.
    """
    forever = _Forever([*things])
    forever.things.append(forever)


class _Background:
    """
    The background loop of this process.

    The law of forks: no process forks while the loop is made. The first loop of a process sets up asyncio's policy
    under a lock of asyncio's, which a forked child would inherit locked.
    """

    def __init__(self) -> None:
        # Held by who makes the loop, and by who forks. What is called within may fork, so a thread may take it twice.
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._leaving = False

    def loop(self) -> asyncio.AbstractEventLoop:
        _check_threads()
        with self._lock:
            if self._loop is None:
                loop = new_loop()
                thread = threading.Thread(target=_run_forever, args=(loop,), name="rxollama", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    # The system has no thread left. The next stream tries it again.
                    loop.close()
                    raise
                self._loop, self._thread = loop, thread
            return self._loop

    def is_shutting_down(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._leaving and loop is self._loop

    def before_fork(self) -> None:
        """Wait for a loop that is being made on another thread, which may need a lock that the forking thread holds."""
        self._lock.acquire(timeout=_PATIENCE)

    def after_fork_in_parent(self) -> None:
        """Let loops be made again."""
        # It was not acquired if the wait was given up.
        with suppress(RuntimeError):
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Drop the loop, whose thread the child does not have, and never finalize the parent's loop."""
        never_collect(self._loop, self._thread)
        self._lock = threading.RLock()
        self._loop = self._thread = None

    def stop(self) -> None:
        """End every stream, close the connections, and join the thread, unless a callback blocks it."""
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


def _check_threads() -> None:
    # Gevent is asked only if it is imported: it is not a dependency.
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        raise UnsupportedRuntimeError(
            "gevent has patched threading: expected real threads, which a stream needs outside of asyncio; "
            "call gevent.monkey.patch_all(thread=False), or use rxollama in a process of its own"
        )


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a callback must not end other streams.
            report_error(f"a callback raised {type(error).__name__} on the thread that all streams share", error)
        else:
            return


async def _wind_down(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # The HTTP clients of this loop close here: each waits in an async generator for its loop to end.
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


_background = _Background()
atexit.register(_background.stop)
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks.
    os.register_at_fork(
        before=_background.before_fork,
        after_in_parent=_background.after_fork_in_parent,
        after_in_child=_background.after_fork_in_child,
    )
