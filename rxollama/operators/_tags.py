"""
Text with tags in it, split as it arrives; without chunks and Rx.

The law: however the text is cut into parts, the joined pieces are the same. A tag may be cut anywhere, so a suffix of
the text that is a prefix of the expected tag is held back until the next part, or `flush`, decides.
A held suffix is always shorter than one tag, and only the expected tag is searched for. Each character is therefore
searched a bounded number of times, and the work is linear.

A search of the whole text after each part, which was tried first, is quadratic. A regular expression cannot match
half a tag at the end of its input.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, final

__all__ = ("CONTENT", "THINKING", "Kind", "Piece", "TagSplitter")

Kind: TypeAlias = Literal["thinking", "content"]
"""The side of the tags on which a text stands."""

Piece: TypeAlias = tuple[Kind, str]
"""A text, never empty, and its side."""

THINKING: Final = "thinking"
CONTENT: Final = "content"


@final
class TagSplitter:
    """
    A splitter of one text into what stands between its tags and what stands outside.

    It removes nothing but the tags that count.

    Args:
        start: The tag before the thinking, not empty.
        end: The tag after it, not empty. Both may be equal.
        inside: Whether the text begins in the thinking, without a start tag.
        first_only: Whether a start tag counts only if nothing but white space stands before it.
    """

    __slots__ = ("_end", "_first_only", "_held", "_inside", "_kind", "_start", "_tag")

    def __init__(self, start: str, end: str, *, inside: bool = False, first_only: bool = False) -> None:
        self._start, self._end = start, end
        self._inside, self._first_only = inside, first_only
        self.restart()

    @property
    def held(self) -> str:
        """The text that is held back, because it may become a tag."""
        return self._held

    def restart(self) -> None:
        """Forget everything: another text begins."""
        self._held = ""
        self._kind: Kind = THINKING if self._inside else CONTENT
        # The expected tag; empty if tags no longer count.
        self._tag = self._end if self._inside else self._start

    def feed(self, text: str) -> list[Piece]:
        """
        Add the next part of the text.

        Args:
            text: The part, cut anywhere.

        Returns:
            The pieces that are decided by now, in order.
        """
        if self._held or (self._tag and (self._first_only or self._tag[0] in text)):
            return self._scan(self._held + text)
        return [(self._kind, text)] if text else []

    def flush(self) -> list[Piece]:
        """
        Release what is held back, because something other than text follows: it is not a tag.

        Returns:
            One piece, or none.
        """
        held, self._held = self._held, ""
        if self._first_only and self._kind == CONTENT:
            self._tag = ""
        return [(self._kind, held)] if held else []

    def _scan(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        at = 0
        self._held = ""
        while tag := self._tag:
            found = text.find(tag, at)
            stop = found if found >= 0 else _partial_tag(tag, text, at)
            if self._first_only and self._kind == CONTENT and text[at:stop].strip():
                self._tag = ""
                continue
            if stop > at:
                pieces.append((self._kind, text[at:stop]))
            if found < 0:
                self._held = text[stop:]
                return pieces
            at = stop + len(tag)
            self._switch_side()
        if at < len(text):
            pieces.append((self._kind, text[at:]))
        return pieces

    def _switch_side(self) -> None:
        if self._kind == CONTENT:
            self._kind, self._tag = THINKING, self._end
        else:
            self._kind, self._tag = CONTENT, "" if self._first_only else self._start


def _partial_tag(tag: str, text: str, at: int) -> int:
    """Return where the longest suffix of *text* begins that is a prefix of *tag*; the text's length if none is."""
    start = text.find(tag[0], max(at, len(text) - len(tag) + 1))
    while start >= 0 and not tag.startswith(text[start:]):
        start = text.find(tag[0], start + 1)
    return start if start >= 0 else len(text)
