"""
The event loop that a stream lives on.

Subscribed from a coroutine, a stream lives on that running loop. Subscribed from anywhere else it lives on the one
background loop, whose thread starts on first use and ends with the interpreter.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from types import SimpleNamespace

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop

__all__ = ("background", "home", "is_leaving", "report", "running")

_PATIENCE = 5.0


def running() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs on this thread, if one does."""
    return asyncio._get_running_loop()  # noqa: SLF001 - asyncio exports it; the other way costs an exception.


def home() -> asyncio.AbstractEventLoop:
    """Return the loop that a stream subscribed here lives on."""
    return running() or background()


def background() -> asyncio.AbstractEventLoop:
    """Return the background loop, which is started if it is not running yet."""
    return _background.loop()


def is_leaving(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether a loop is the background loop, on its way out with the interpreter."""
    return _background.is_leaving(loop)


def report(message: str, error: BaseException) -> None:
    """
    Tell somebody of an error that has no subscriber to be told.

    On a loop that is its exception handler, elsewhere `sys.unraisablehook`.

    Args:
        message: What happened.
        error: The error.
    """
    loop = running()
    if loop is not None:
        loop.call_exception_handler({"message": message, "exception": error})
        return
    told = SimpleNamespace(
        exc_type=type(error), exc_value=error, exc_traceback=error.__traceback__, err_msg=message, object=None
    )
    sys.unraisablehook(told)  # type: ignore[arg-type] # The interpreter's own type cannot be made by hand.


class _Background:
    """Hold the one background loop of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._leaving = False
        self._abandoned: list[object] = []

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="rxollama", daemon=True)
                self._thread.start()
            return self._loop

    def is_leaving(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._leaving and loop is self._loop

    def forget(self) -> None:
        """Start anew in a forked child, where the thread is gone, and keep the parent's loop from being torn down."""
        self._abandoned.append((self._loop, self._thread))
        self._lock = threading.Lock()
        self._loop = self._thread = None

    def stop(self) -> None:
        """End every stream, close what is open, and join the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            if loop is None or thread is None:
                return
            self._leaving = True
        asyncio.run_coroutine_threadsafe(_wind_down(loop), loop).result(_PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE)
        loop.close()
        with self._lock:
            self._loop = self._thread = None
            self._leaving = False


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
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_background.forget)
