"""
A finder of phrases that repeat at the end of a text, which arrives in parts; without chunks and Rx.

The law. With *size* characters as the measure, a text loops at a position if the characters before it are one phrase
again and again, exactly and without a gap: a phrase of at most *size* characters, at least four times, and over at
least *size* characters. A phrase with fewer than four different letters has to fill four times *size*. The text is
looked at after each quarter of *size* and nowhere between, so the result does not depend on how the text is cut.

Why four letters: lines of dashes, rows of numbers, base64 of zeros, `null, null` and `ha ha ha` have fewer. Good
answers hold such stretches, and they may be long. Prose and code that goes in circles has more, in every script.

How the phrase is found. Read backwards, a looping text begins with its phrase. Take its first *reach* characters and
find the next place where they occur: that distance is the period. For they are at least one whole phrase, so they occur
one period further on. If they occurred nearer, the overlap would have both distances as periods, and by the theorem of
Fine and Wilf their common divisor: the phrase itself would be a shorter one, repeated. That needs the overlap within
the loop, *reach* plus one period. So a quarter, a half and the whole of *size* are tried as *reach*, each for the
periods that are longer than a half of it. One comparison then shows how far the loop goes back.

The cost. A look reads a tail of at most four times *size* with a few searches and comparisons of `str`, which are
linear (`find` uses the two-way algorithm where a naive search could be slow). It comes once in a quarter of *size*
characters, so a character is read a constant number of times, about 25, at the speed of C. That tail is the memory.

The alternatives. The failure function of the reversed tail, or its Z function, is linear too, but takes Python about a
microsecond for each character of each look. Hashes of lines or sentences miss phrases that are neither, and find a
phrase that stands in a text often, but not in a row. A rolling hash for each period costs as many steps as periods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

__all__ = ("Loop", "LoopFinder", "loop_at_end")

_FEWEST_TIMES = 4
_FEWEST_LETTERS = 4


class Loop(NamedTuple):
    """
    A phrase that repeats.

    Args:
        period: The length of the phrase, in characters.
        times: How often the phrase stands in a row, at least.
    """

    period: int
    times: int


@final
class LoopFinder:
    """
    A finder of loops in one text.

    Args:
        size: The number of characters that a loop has to fill.
        look: The function that looks at the end of a text. A test may count its work.
    """

    __slots__ = ("_count", "_due", "_look", "_parts", "_size", "_step")

    def __init__(self, size: int, look: Callable[[str, int], Loop | None] | None = None) -> None:
        self._size = size
        self._look = look or loop_at_end
        self._step = max(1, size // _FEWEST_TIMES)
        self.restart()

    def restart(self) -> None:
        """Forget everything: another text begins."""
        self._parts: list[str] = []
        self._count = 0
        self._due = self._size

    def look_ahead(self, more: str) -> Loop | None:
        """Return the loop that would be complete within the next part of the text, and change nothing."""
        count = self._count + len(more)
        if count < self._due:
            return None
        text, length = "".join((*self._parts, more)), _FEWEST_TIMES * self._size
        for place in range(self._due, count + 1, self._step):
            end = len(text) - (count - place)
            if loop := self._look(text[max(0, end - length) : end], self._size):
                return loop
        return None

    def add(self, more: str) -> Loop | None:
        """
        Add the next part of the text.

        Args:
            more: The part, cut anywhere.

        Returns:
            The loop that is complete within this part; None if there is none.
        """
        loop = self.look_ahead(more)
        self.extend(more)
        return loop

    def extend(self, more: str) -> None:
        """Add the next part of the text, at which somebody looked ahead."""
        self._parts.append(more)
        self._count += len(more)
        if self._count >= self._due:
            self._due += ((self._count - self._due) // self._step + 1) * self._step
            self._parts = ["".join(self._parts)[-_FEWEST_TIMES * self._size :]]


def loop_at_end(text: str, size: int) -> Loop | None:
    """
    Return the loop with which a text ends.

    Args:
        text: The text; its last four times *size* characters are enough.
        size: The number of characters that a loop has to fill.

    Returns:
        The loop; None if there is none.
    """
    backwards = text[::-1]
    for reach in (max(1, size // 4), max(1, size // 2), size):
        if len(backwards) < 2 * reach:
            break
        period = backwards.find(backwards[:reach], 1, 2 * reach)
        if period < 0:
            continue
        letters = sum(map(str.isalpha, set(backwards[:period])))
        length = max(_FEWEST_TIMES * period, size if letters >= _FEWEST_LETTERS else _FEWEST_TIMES * size)
        if length <= len(backwards) and backwards.startswith(backwards[period:length]):
            return Loop(period, length // period)
    return None
