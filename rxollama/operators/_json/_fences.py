"""The Markdown fence that some models put around JSON."""

from __future__ import annotations

import re
from typing import final

from ._faults import JsonFault

__all__ = ("FenceScanner",)

_TICKS = 3
_INFO = re.compile(r"[0-9A-Za-z \t\r]*")


@final
class FenceScanner:
    """Pass over a line of three backticks, with or without the name of a language, and the three that close it."""

    __slots__ = ("_ticks", "is_open")

    is_open: bool
    """Whether there is a fence to be closed."""

    def __init__(self) -> None:
        self._ticks = 0
        self.is_open = False

    def open(self, text: str, at: int) -> int:
        """Pass over what belongs to the line that opens it."""
        if self._ticks < _TICKS:
            return self._tick(text, at)
        info = _INFO.match(text, at)
        stop = at if info is None else info.end()
        if stop == len(text):
            return stop
        if text[stop] != "\n":
            raise JsonFault("the end of the line was expected behind a fence", stop)
        self._ticks = 0
        self.is_open = True
        return stop + 1

    def close(self, text: str, at: int) -> int:
        """Pass over a backtick that closes it; what is none stays."""
        if self._ticks or (self.is_open and text[at] == "`"):
            at = self._tick(text, at)
            if self._ticks == _TICKS:
                self._ticks = 0
                self.is_open = False
        return at

    def _tick(self, text: str, at: int) -> int:
        if text[at] != "`":
            raise JsonFault("a fence of three backticks was expected", at)
        self._ticks += 1
        return at + 1
