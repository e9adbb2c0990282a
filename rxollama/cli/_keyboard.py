"""The keyboard: lines that are edited, where that is supported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

__all__ = ("answer", "forget")

_REMEMBER: list[Callable[[bool], object]] = []
_FORGET: list[Callable[[], object]] = []

with suppress(ImportError):
    # With it, `input` edits lines and remembers them.
    import readline

    _REMEMBER.append(readline.set_auto_history)

with suppress(ImportError):
    import termios

    _FORGET.append(lambda: termios.tcflush(sys.stdin, termios.TCIFLUSH))


def forget() -> None:
    """Forget what was typed and has not been read: it was not meant for what comes now."""
    for flush in _FORGET:
        flush()


def answer(prompt: str) -> str:
    """Ask for a line that is not remembered as one to be repeated."""
    for remember in _REMEMBER:
        remember(False)
    try:
        return input(prompt)
    finally:
        for remember in _REMEMBER:
            remember(True)
