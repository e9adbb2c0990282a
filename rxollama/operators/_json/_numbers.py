"""Numbers, which may be cut anywhere."""

from __future__ import annotations

from typing import final

from ._faults import JsonFault

__all__ = ("NUMBER_STARTS", "NumberScanner")

# A state is named by a shortest text that leads to it; from each the characters that may follow, and where to.
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
_WHOLE = {"0", "1", "1.1", "1e1"}
_INTEGERS = {"0", "1"}

NUMBER_STARTS = frozenset(_NEXT[""])
"""What a number may begin with."""


@final
class NumberScanner:
    """Read a number, whose end only shows by what follows."""

    __slots__ = ("_begun", "_parts", "_state")

    def __init__(self) -> None:
        self._begun = 0
        self._parts: list[str] = []
        self._state = ""

    def begin(self, position: int) -> None:
        """Start at a position of the whole text."""
        self._begun = position
        self._parts.clear()
        self._state = ""

    def read(self, text: str, at: int) -> int:
        """
        Read on.

        Args:
            text: The piece.
            at: Where to begin in it.

        Returns:
            The place of the first character that is no part of the number, or the end of the piece.

        Raises:
            JsonFault: When that character ends the number too early.
        """
        state, stop, end = self._state, at, len(text)
        while stop < end:
            follows = _NEXT[state].get(text[stop])
            if follows is None:
                if state not in _WHOLE:
                    raise JsonFault("a number goes on with a digit", stop)
                break
            state = follows
            stop += 1
        self._state = state
        self._parts.append(text[at:stop])
        return stop

    @property
    def is_whole(self) -> bool:
        """Whether it may end here."""
        return self._state in _WHOLE

    def end(self, offset: int) -> int | float:
        """
        Tell the number.

        Args:
            offset: Where in the whole text the piece begins.

        Returns:
            It, read as `json.loads` does.

        Raises:
            JsonFault: When it has more digits than Python reads.
        """
        number = "".join(self._parts)
        if self._state not in _INTEGERS:
            return float(number)
        try:
            return int(number)
        except ValueError:
            raise JsonFault("a number has too many digits", self._begun - offset) from None
