"""Text with tags in it, split as it comes: no Rx, no chunks."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, final

__all__ = ("CONTENT", "THINKING", "Kind", "Piece", "TagSplitter")

Kind: TypeAlias = Literal["thinking", "content"]
"""On which side of the tags a text stands."""

Piece: TypeAlias = tuple[Kind, str]
"""A text, never empty, and its side."""

THINKING: Final = "thinking"
CONTENT: Final = "content"


@final
class TagSplitter:
    """
    Split a text into what stands between tags and what stands outside, wherever the text is cut.

    Of the text nothing is removed but the tags that count. What may yet become a tag is held back, which is always
    less than one tag: the work is linear in the text whatever it says.

    Args:
        start: The tag before the thinking, not empty.
        end: The tag after it, not empty; it may be the same.
        inside: Whether the text begins in the thinking, without a start tag.
        first_only: Whether a start tag counts only where nothing but white space came before it.
    """

    __slots__ = ("_end", "_first_only", "_held", "_inside", "_kind", "_start", "_tag")

    def __init__(self, start: str, end: str, *, inside: bool = False, first_only: bool = False) -> None:
        self._start, self._end = start, end
        self._inside, self._first_only = inside, first_only
        self.restart()

    @property
    def held(self) -> str:
        """What is held back, because it may become a tag."""
        return self._held

    def restart(self) -> None:
        """Forget everything: another text begins."""
        self._held = ""
        self._kind: Kind = THINKING if self._inside else CONTENT
        # The tag that is looked for; none, where no tag counts any more.
        self._tag = self._end if self._inside else self._start

    def feed(self, text: str) -> list[Piece]:
        """
        Take the next part of the text.

        Args:
            text: The part, cut anywhere.

        Returns:
            What can be told by now, in order.
        """
        if self._held or (self._tag and (self._first_only or self._tag[0] in text)):
            return self._look(self._held + text)
        return [(self._kind, text)] if text else []

    def flush(self) -> list[Piece]:
        """
        Give up what is held back, because something else than text comes next: it is no tag.

        Returns:
            One piece, or none.
        """
        held, self._held = self._held, ""
        if self._first_only and self._kind == CONTENT:
            self._tag = ""
        return [(self._kind, held)] if held else []

    def _look(self, text: str) -> list[Piece]:
        """Look for tags."""
        pieces: list[Piece] = []
        at = 0
        self._held = ""
        while tag := self._tag:
            found = text.find(tag, at)
            spot = found if found >= 0 else _half(tag, text, at)
            if self._first_only and self._kind == CONTENT and text[at:spot].strip():
                self._tag = ""
                continue
            if spot > at:
                pieces.append((self._kind, text[at:spot]))
            if found < 0:
                self._held = text[spot:]
                return pieces
            at = spot + len(tag)
            self._cross()
        if at < len(text):
            pieces.append((self._kind, text[at:]))
        return pieces

    def _cross(self) -> None:
        """Go to the other side of a tag."""
        if self._kind == CONTENT:
            self._kind, self._tag = THINKING, self._end
        else:
            self._kind, self._tag = CONTENT, "" if self._first_only else self._start


def _half(tag: str, text: str, at: int) -> int:
    """Find where a tag may have begun that the text does not end; the text's length if nowhere."""
    spot = text.find(tag[0], max(at, len(text) - len(tag) + 1))
    while spot >= 0 and not tag.startswith(text[spot:]):
        spot = text.find(tag[0], spot + 1)
    return spot if spot >= 0 else len(text)
