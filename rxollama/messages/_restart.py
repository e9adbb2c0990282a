"""The mark of an answer that begins over."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from rxollama.messages._value import Value

__all__ = ("Restart",)


class Restart(Value, frozen=True):
    """
    The mark of a chunk with which an answer begins over, since the attempt before broke.

    What came before the chunk counts no longer: `a + R(b) = R(b)`, where `R(b)` is a chunk with this mark. All chunks
    after it belong to the new attempt: `R(a) + b = R(a + b)`.

    Args:
        reason: The error of the attempt before, in one line.
        attempt: The number of the new attempt, counted from 1.
        scope: What begins over: "answer" for all messages of the stream, or "message" for the unfinished message alone,
            as in a conversation with tools, whose earlier rounds stay.

    .. versionadded:: 0.1
    """

    reason: str = ""
    attempt: int = 2
    scope: Literal["answer", "message"] = "answer"

    def after(self, earlier: Restart | None) -> Restart:
        """Return the mark for a sum that has this one behind an earlier one: the wider scope counts."""
        if earlier is None or self.scope in {earlier.scope, "answer"}:
            return self
        return replace(self, scope=earlier.scope)
