"""Keyboard input: lines that are edited, on systems that support it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial

__all__ = ("discard_typed", "read_unrecorded", "restored_terminal")

# Each list holds one function on systems that support it, and none elsewhere.
_SET_HISTORY: list[Callable[[bool], object]] = []
_DISCARD: list[Callable[[], object]] = []
_SAVE: list[Callable[[], Callable[[], object]]] = []

with suppress(ImportError):
    # Once it is imported, `input` edits lines and keeps a history.
    import readline

    _SET_HISTORY.append(readline.set_auto_history)

with suppress(ImportError):
    import termios

    _DISCARD.append(lambda: termios.tcflush(sys.stdin, termios.TCIFLUSH))
    _SAVE.append(lambda: partial(termios.tcsetattr, sys.stdin, termios.TCSANOW, termios.tcgetattr(sys.stdin)))


def discard_typed() -> None:
    """Discard what was typed and not yet read. It was not meant for the next question."""
    for discard in _DISCARD:
        discard()


@contextmanager
def restored_terminal() -> Generator[None, None, None]:
    """Restore the terminal's settings at the end, since a tool may change them and be interrupted."""
    restores = [save() for save in _SAVE] if sys.stdin and sys.stdin.isatty() else []
    try:
        yield
    finally:
        for restore in restores:
            restore()


def read_unrecorded(prompt: str) -> str:
    """Return a line from the keyboard without adding it to the history."""
    for set_history in _SET_HISTORY:
        set_history(False)
    try:
        return input(prompt)
    finally:
        for set_history in _SET_HISTORY:
            set_history(True)
