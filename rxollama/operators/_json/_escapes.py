"""Escapes in a text, which may be cut anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias, final

from ._faults import JsonFault

__all__ = ("EscapeScanner",)

_Step: TypeAlias = "Callable[[EscapeScanner, str, int], tuple[str, int]]"

_MEANT = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX = frozenset("0123456789abcdefABCDEF")
_HEX_DIGITS = 4
_HIGH = re.compile("[\ud800-\udbff]")
_LOW = re.compile("[\udc00-\udfff]")


@final
class EscapeScanner:
    """
    Read what stands behind a backslash.

    Half a surrogate pair is held back until it is known whether the other half follows; one that stays alone is
    written as such, as `json.loads` does.
    """

    __slots__ = ("_digits", "_high", "_step", "is_over")

    is_over: bool
    """Whether the text goes on as it is."""

    def __init__(self) -> None:
        self._high = ""
        self._step: _Step = EscapeScanner._kind
        self.begin()

    def begin(self) -> None:
        """Start behind a backslash."""
        self._digits = ""
        self._step = EscapeScanner._kind
        self.is_over = False

    def read(self, char: str, at: int) -> tuple[str, int]:
        """
        Read a character.

        Args:
            char: The character.
            at: Where it stands.

        Returns:
            What is to be written, and where to go on.

        Raises:
            JsonFault: When it is no escape.
        """
        return self._step(self, char, at)

    def _kind(self, char: str, at: int) -> tuple[str, int]:
        if char == "u":
            self._step = EscapeScanner._hex
            return "", at + 1
        if char not in _MEANT:
            raise JsonFault("there is no such escape", at)
        return self._written(_MEANT[char]), at + 1

    def _hex(self, char: str, at: int) -> tuple[str, int]:
        if char not in _HEX:
            raise JsonFault("four hexadecimal digits were expected", at)
        self._digits += char
        if len(self._digits) < _HEX_DIGITS:
            return "", at + 1
        meant = chr(int(self._digits, 16))
        if _HIGH.match(meant):
            lonely, self._high = self._high, meant
            self._step = EscapeScanner._after_high
            return lonely, at + 1
        if self._high and _LOW.match(meant):
            pair, self._high = self._high + meant, ""
            meant = pair.encode("utf-16", "surrogatepass").decode("utf-16")
        return self._written(meant), at + 1

    def _after_high(self, char: str, at: int) -> tuple[str, int]:
        if char == "\\":
            self.begin()
            return "", at + 1
        return self._written(""), at

    def _written(self, meant: str) -> str:
        lonely, self._high = self._high, ""
        self.is_over = True
        return lonely + meant
