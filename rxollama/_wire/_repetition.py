"""
The signature of the server's repetition guard.

The guard compares the pieces of text that the model makes, trimmed. It ends the answer at the piece that repeats the
one before it for the 31st time, and does not send that piece. An older server says nothing of it: status 200, a
complete body, no `done`, no error. So 31 equal pieces stand at the end. White space from the start of an answer repeats
the nothing before it: there, 30 pieces do.

Two things are not the signature. A record without text proves nothing, because a parser may hold back text that the
guard saw. A body that ends within a record was broken off, because the guard ends it between two records.

The alternative is to look for a loop in the joined text. It would mistake a break within a line of dashes for a
repetition, and such an answer would not be tried again. Only an answer in one record, which has no pieces, is read in
this way, and only a word counts there.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ("PIECES", "ends_in_repetition")

PIECES = 31
"""How many equal pieces the guard lets through."""

_LONGEST_WORD = 40
# White space between two words is mostly one character.
_TAIL = PIECES * (_LONGEST_WORD + 1)


def ends_in_repetition(texts: Sequence[str]) -> bool:
    """
    Return whether an answer that ended without its last record was ended by the repetition guard.

    Args:
        texts: The text of each record: the last 31, or all if there are fewer.
    """
    if len(texts) == 1:
        return _ends_in_words(texts[0])
    if not all(texts):
        return False
    pieces = {text.strip() for text in texts}
    return len(pieces) == 1 and len(texts) >= (PIECES if all(pieces) else PIECES - 1)


def _ends_in_words(text: str) -> bool:
    """Return whether one word, which has a letter or a digit, ends a text 31 times, with or without space between."""
    tail = text[-_TAIL:].rstrip()
    for length in range(1, _LONGEST_WORD + 1):
        word = tail[-length:]
        if word[:1].isspace():
            break
        rest, count = tail, 0
        while rest.endswith(word) and count < PIECES:
            rest, count = rest[:-length].rstrip(), count + 1
        if count == PIECES and any(map(str.isalnum, word)):
            return True
    return False
