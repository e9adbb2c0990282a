"""The places where a thread or task may wait for a stream, and those where it may not."""

from __future__ import annotations

import sys

from rxollama._runtime._loop import running
from rxollama.errors import RunningLoopError, UnsupportedRuntimeError

__all__ = ("check_asyncio", "check_no_loop")


def check_no_loop(call: str, instead: str) -> None:
    """
    Refuse a blocking call where it would block an event loop.

    Args:
        call: The call, as the user wrote it.
        instead: The call to use in its place.

    Raises:
        RunningLoopError: If an asyncio loop runs on this thread.
        UnsupportedRuntimeError: If trio runs on this thread.
    """
    if running() is not None:
        raise RunningLoopError(f"{call} would block the event loop that runs on this thread: use {instead}")
    if _in_trio():
        raise UnsupportedRuntimeError(f"{call} would block trio, which runs on this thread: {_TRIO}")


def check_asyncio(call: str) -> None:
    """
    Refuse to wait in a coroutine that another library than asyncio runs.

    Args:
        call: The call, as the user wrote it.

    Raises:
        UnsupportedRuntimeError: If trio runs on this thread.
    """
    if running() is None and _in_trio():
        raise UnsupportedRuntimeError(f"{call} needs asyncio, and this coroutine is run by trio: {_TRIO}")


def _in_trio() -> bool:
    # Trio is asked only if it is imported: it is not a dependency.
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_run())


_TRIO = "use `await trio.to_thread.run_sync(run, stream)`, or subscribe() with callbacks"
