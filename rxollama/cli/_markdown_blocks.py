"""Growing Markdown, cut into blocks, so that a finished block is laid out only once."""

from __future__ import annotations

import re

__all__ = ("MarkdownBlocks", "stable_end")

# A line that starts a new block after a blank line. A digit or a dash may continue a list, and an indented line
# belongs to the block above it. An unfinished line does not match until it has shown which of these it is.
_STARTS_BLOCK = re.compile(r"[^\s\d*+-]|\*\*|\d+[^\d.)]")
_FENCE = re.compile(r"\s*(?:[-*+]\s+|\d+[.)]\s+)*(`{3,}(?=[^`]*$)|~{3,})")


def stable_end(text: str, size: int) -> str:
    """Return the end of *text*, at least *size* characters. Its start moves rarely, so that the view does not jump."""
    return text[max(0, (len(text) // size - 1) * size) :]


class MarkdownBlocks:
    """
    A splitter of growing Markdown into blocks that later text cannot change.

    The blocks and `rest`, joined, are the text.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._unfinished = ""
        self._fence = ""
        self._fence_at = 0
        self._after_blank = False

    def add(self, text: str) -> list[str]:
        """Add the next piece, and return the blocks that it finishes."""
        *whole, self._unfinished = (self._unfinished + text).split("\n")
        finished: list[str] = []
        for line in whole:
            self._cut_before(line + "\n", finished)
            self._append(line + "\n")
        self._cut_before(self._unfinished, finished)
        return finished

    @property
    def rest(self) -> str:
        """The block that is still growing."""
        return "".join([*self._lines, self._unfinished])

    def tail(self, lines: int, width: int) -> str:
        """Return the end of `rest` that fits a screen. In a long code block it starts with the block's fence."""
        shown = self._lines[-lines:]
        start = len(self._lines) - len(shown)
        if self._fence and start > self._fence_at:
            shown.insert(0, self._lines[self._fence_at])
        return "".join(stable_end(line, lines * width) for line in [*shown, self._unfinished])

    def _cut_before(self, line: str, finished: list[str]) -> None:
        if self._after_blank and not self._fence and _STARTS_BLOCK.match(line):
            finished.append("".join(self._lines))
            self._lines.clear()
            self._after_blank = False

    def _append(self, line: str) -> None:
        self._lines.append(line)
        if self._fence:
            mark = line.strip()
            if mark.startswith(self._fence) and not mark.strip(self._fence[0]):
                self._fence = ""
        elif found := _FENCE.match(line.rstrip("\n")):
            self._fence, self._fence_at = found[1], len(self._lines) - 1
        self._after_blank = not line.strip()
