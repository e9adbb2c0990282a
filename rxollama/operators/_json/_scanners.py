"""
The scanners of the JSON reader: escapes, numbers and the Markdown fence, each of which may be cut anywhere.

Each scanner keeps its state between pieces and looks at a character once. Positions are those within the piece; the
reader turns them into positions within the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias, final

__all__ = ("NUMBER_STARTS", "EscapeScanner", "FenceScanner", "JsonFault", "NumberScanner")

_EscapeStep: TypeAlias = "Callable[[EscapeScanner, str, int], tuple[str, int]]"

_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX = frozenset("0123456789abcdefABCDEF")
_HEX_DIGITS = 4
_HIGH_SURROGATE = re.compile("[\ud800-\udbff]")
_LOW_SURROGATE = re.compile("[\udc00-\udfff]")

# The automaton of a number. A state is named by a shortest text that leads to it; it has the characters that may
# follow and the states to which they lead.
_DIGITS = "0123456789"
_EXPONENT = {"e": "1e", "E": "1e"}
_NEXT: dict[str, dict[str, str]] = {
    "": {"-": "-", "0": "0", **dict.fromkeys("123456789", "1")},
    "-": {"0": "0", **dict.fromkeys("123456789", "1")},
    "0": {".": "1.", **_EXPONENT},
    "1": {".": "1.", **_EXPONENT, **dict.fromkeys(_DIGITS, "1")},
    "1.": dict.fromkeys(_DIGITS, "1.1"),
    "1.1": {**_EXPONENT, **dict.fromkeys(_DIGITS, "1.1")},
    "1e": {"+": "1e+", "-": "1e+", **dict.fromkeys(_DIGITS, "1e1")},
    "1e+": dict.fromkeys(_DIGITS, "1e1"),
    "1e1": dict.fromkeys(_DIGITS, "1e1"),
}
_COMPLETE = {"0", "1", "1.1", "1e1"}
_INTEGERS = {"0", "1"}

NUMBER_STARTS = frozenset(_NEXT[""])
"""The characters with which a number may begin."""

_TICKS = 3
_INFO = re.compile(r"[0-9A-Za-z \t\r]*")


class JsonFault(ValueError):  # noqa: N818 - Private: `JsonAnswer` turns it into a public error.
    """
    The place where a text stops being JSON.

    Args:
        reason: The fault, in one line that quotes nothing of the text.
        position: The number of correct characters before the fault. For a number that is too long, where it starts.
        early: Whether nothing is wrong except that the text ends too early.
    """

    reason: str
    position: int
    early: bool

    def __init__(self, reason: str, position: int, *, early: bool = False) -> None:
        super().__init__(reason, position, early)
        self.reason = reason
        self.position = position
        self.early = early


@final
class EscapeScanner:
    """
    A scanner of what follows a backslash in a string.

    A high surrogate is held back until the next character shows whether a low one follows. A surrogate without the
    other half stays as it is, as in `json.loads`.
    """

    __slots__ = ("_digits", "_high", "_step", "is_over")

    is_over: bool
    """Whether the escape is complete."""

    def __init__(self) -> None:
        self._high = ""
        self._step: _EscapeStep = EscapeScanner._kind
        self.begin()

    def begin(self) -> None:
        """Start after a backslash."""
        self._digits = ""
        self._step = EscapeScanner._kind
        self.is_over = False

    def read(self, char: str, at: int) -> tuple[str, int]:
        """
        Read a character.

        Args:
            char: The character.
            at: Its position.

        Returns:
            The text that is decided by now, and the position of the next character to read.

        Raises:
            JsonFault: If it is not an escape.
        """
        return self._step(self, char, at)

    def _kind(self, char: str, at: int) -> tuple[str, int]:
        if char == "u":
            self._step = EscapeScanner._hex
            return "", at + 1
        if char not in _ESCAPES:
            raise JsonFault("there is no such escape", at)
        return self._complete(_ESCAPES[char]), at + 1

    def _hex(self, char: str, at: int) -> tuple[str, int]:
        if char not in _HEX:
            raise JsonFault("expected four hexadecimal digits", at)
        self._digits += char
        if len(self._digits) < _HEX_DIGITS:
            return "", at + 1
        unescaped = chr(int(self._digits, 16))
        if _HIGH_SURROGATE.match(unescaped):
            unpaired, self._high = self._high, unescaped
            self._step = EscapeScanner._after_high
            return unpaired, at + 1
        if self._high and _LOW_SURROGATE.match(unescaped):
            pair, self._high = self._high + unescaped, ""
            unescaped = pair.encode("utf-16", "surrogatepass").decode("utf-16")
        return self._complete(unescaped), at + 1

    def _after_high(self, char: str, at: int) -> tuple[str, int]:
        if char == "\\":
            self.begin()
            return "", at + 1
        return self._complete(""), at

    def _complete(self, unescaped: str) -> str:
        unpaired, self._high = self._high, ""
        self.is_over = True
        return unpaired + unescaped


@final
class NumberScanner:
    """A scanner of a number, whose end shows only by what follows it."""

    __slots__ = ("_parts", "_start", "_state")

    def __init__(self) -> None:
        self._start = 0
        self._parts: list[str] = []
        self._state = ""

    def begin(self, position: int) -> None:
        """Start at a position of the whole text."""
        self._start = position
        self._parts.clear()
        self._state = ""

    def read(self, text: str, at: int) -> int:
        """
        Read as much of a piece as belongs to the number.

        Args:
            text: The piece.
            at: Where to begin in it.

        Returns:
            The position of the first character after the number, or the end of the piece.

        Raises:
            JsonFault: If that character ends the number too early.
        """
        state, stop, end = self._state, at, len(text)
        while stop < end:
            follows = _NEXT[state].get(text[stop])
            if follows is None:
                if state not in _COMPLETE:
                    raise JsonFault("expected a digit of the number", stop)
                break
            state = follows
            stop += 1
        self._state = state
        self._parts.append(text[at:stop])
        return stop

    @property
    def is_complete(self) -> bool:
        """Whether the number may end here."""
        return self._state in _COMPLETE

    def end(self, offset: int) -> int | float:
        """
        Return the number, as `json.loads` reads it.

        Args:
            offset: The position of the piece in the whole text.

        Raises:
            JsonFault: If it has more digits than Python reads.
        """
        number = "".join(self._parts)
        if self._state not in _INTEGERS:
            return float(number)
        try:
            return int(number)
        except ValueError:
            raise JsonFault("a number has too many digits", self._start - offset) from None


@final
class FenceScanner:
    """
    A scanner of the Markdown fence that some models put around JSON.

    It skips a line of three backticks, with or without the name of a language, and the three that close it.
    """

    __slots__ = ("_ticks", "is_open")

    is_open: bool
    """Whether a fence waits to be closed."""

    def __init__(self) -> None:
        self._ticks = 0
        self.is_open = False

    def open(self, text: str, at: int) -> int:
        """Skip what belongs to the opening line, and return the position after it."""
        if self._ticks < _TICKS:
            return self._tick(text, at)
        info = _INFO.match(text, at)
        stop = at if info is None else info.end()
        if stop == len(text):
            return stop
        if text[stop] != "\n":
            raise JsonFault("expected the end of the line after a fence", stop)
        self._ticks = 0
        self.is_open = True
        return stop + 1

    def close(self, text: str, at: int) -> int:
        """Skip a backtick of the closing line, and return the position after it; *at* if there is none."""
        if self._ticks or (self.is_open and text[at] == "`"):
            at = self._tick(text, at)
            if self._ticks == _TICKS:
                self._ticks = 0
                self.is_open = False
        return at

    def _tick(self, text: str, at: int) -> int:
        if text[at] != "`":
            raise JsonFault("expected a fence of three backticks", at)
        self._ticks += 1
        return at + 1
