"""The keyboard: lines that are edited, where that is supported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial

__all__ = ("answer", "forget", "unchanged")

_REMEMBER: list[Callable[[bool], object]] = []
_FORGET: list[Callable[[], object]] = []
_KEEP: list[Callable[[], Callable[[], object]]] = []

with suppress(ImportError):
    # With it, `input` edits lines and remembers them.
    import readline

    _REMEMBER.append(readline.set_auto_history)

with suppress(ImportError):
    import termios

    _FORGET.append(lambda: termios.tcflush(sys.stdin, termios.TCIFLUSH))
    _KEEP.append(lambda: partial(termios.tcsetattr, sys.stdin, termios.TCSANOW, termios.tcgetattr(sys.stdin)))


def forget() -> None:
    """Forget what was typed and has not been read: it was not meant for what comes now."""
    for flush in _FORGET:
        flush()


@contextmanager
def unchanged() -> Generator[None, None, None]:
    """Leave the terminal as it was: what a tool made of it, to read from it, stays when the tool is left."""
    restores = [keep() for keep in _KEEP] if sys.stdin and sys.stdin.isatty() else []
    try:
        yield
    finally:
        for restore in restores:
            restore()


def answer(prompt: str) -> str:
    """Ask for a line that is not remembered as one to be repeated."""
    for remember in _REMEMBER:
        remember(False)
    try:
        return input(prompt)
    finally:
        for remember in _REMEMBER:
            remember(True)
