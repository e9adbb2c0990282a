"""What a text is told that ceases to be JSON."""

from __future__ import annotations

__all__ = ("JsonFault",)


class JsonFault(ValueError):  # noqa: N818 - Private; the operators make an error of the public tree of it.
    """
    Say where a text ceases to be JSON.

    Args:
        reason: What is wrong, in one line that shows nothing of the text.
        position: How many characters before it are well: no JSON begins with one more. Of a number that is too long,
            where it starts.
        early: Whether nothing is wrong, but the text ends too early.
    """

    reason: str
    position: int
    early: bool

    def __init__(self, reason: str, position: int, *, early: bool = False) -> None:
        super().__init__(reason, position, early)
        self.reason = reason
        self.position = position
        self.early = early
