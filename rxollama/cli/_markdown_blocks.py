"""Markdown cut into blocks as it grows, so that what is finished is laid out once and never again."""

from __future__ import annotations

import re

__all__ = ("Blocks", "recent")

# What begins a block of its own after a blank line. A number or a dash may go on with a list, an indented line
# belongs to what is above; a line that has only begun must have told which it is.
_BEGINS = re.compile(r"[^\s\d*+-]|\*\*|\d+[^\d.)]")
_FENCE = re.compile(r"\s*(?:[-*+]\s+|\d+[.)]\s+)*(`{3,}(?=[^`]*$)|~{3,})")


def recent(text: str, room: int) -> str:
    """Return the end of a text, at least *room* characters; it begins at the same place for a while, and so is calm."""
    return text[max(0, (len(text) // room - 1) * room) :]


class Blocks:
    """
    Take in a growing Markdown text, and hand out the blocks that nothing can change any more.

    Joined, the blocks and the rest are the text.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._partial = ""
        self._fence = ""
        self._fence_at = 0
        self._blank = False

    def feed(self, text: str) -> list[str]:
        """Take in the next piece; return the blocks that are finished by it."""
        *whole, self._partial = (self._partial + text).split("\n")
        finished: list[str] = []
        for line in whole:
            self._cut_before(line + "\n", finished)
            self._take(line + "\n")
        self._cut_before(self._partial, finished)
        return finished

    @property
    def rest(self) -> str:
        """The block that is still growing."""
        return "".join([*self._lines, self._partial])

    def tail(self, lines: int, width: int) -> str:
        """Return what of the rest can be seen on a screen of this size, still good Markdown in a long code block."""
        shown = self._lines[-lines:]
        start = len(self._lines) - len(shown)
        if self._fence and start > self._fence_at:
            shown.insert(0, self._lines[self._fence_at])
        return "".join(recent(line, lines * width) for line in [*shown, self._partial])

    def _cut_before(self, line: str, finished: list[str]) -> None:
        if self._blank and not self._fence and _BEGINS.match(line):
            finished.append("".join(self._lines))
            self._lines.clear()
            self._blank = False

    def _take(self, line: str) -> None:
        self._lines.append(line)
        if self._fence:
            mark = line.strip()
            if mark.startswith(self._fence) and not mark.strip(self._fence[0]):
                self._fence = ""
        elif found := _FENCE.match(line.rstrip("\n")):
            self._fence, self._fence_at = found[1], len(self._lines) - 1
        self._blank = not line.strip()
