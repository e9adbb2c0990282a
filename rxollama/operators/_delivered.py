"""
What was emitted and cannot be taken back: texts, tool calls and the elements of a list.

The law. The items that were emitted are always the beginning of those that stand, see `Restart`. Where an answer begins
over, its items are skipped as long as they repeat what was emitted. What goes beyond is emitted. The first difference
ends the stream with `RestartedError`, and so does an attempt that ends earlier than what was emitted.

A restart of the scope "message" repeats what the current message emitted, so a difference is known at the end of the
message. One of the scope "answer" repeats everything. Its messages may be cut differently, so only the end of the
stream shows that too little came.

Texts are kept as they came, without joining them: one reference for each delta. They are joined when an answer begins
over, and compared wherever the new attempt cuts them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Generic, Literal, TypeVar, final

from reactivex import abc
from reactivex.disposable import SingleAssignmentDisposable

from .._runtime import emit_and_end
from ..errors import RestartedError
from ..messages import ChatChunk, MessageBoundary

__all__ = ("DeliveredTexts", "DeliveredValues", "EarlyEnd")

T = TypeVar("T")
V = TypeVar("V")

_WAY_OUT = (
    "the answer began over, and differs from what {operator} has emitted and cannot take back: "
    'use op.accumulate(), op.events() or op.collect(), which begin over, too, or after_first="raise"'
)


@final
class EarlyEnd:
    """
    The subscription of an operator that may end before its source does.

    Args:
        observer: The subscriber.
        operator: The operator, as the user wrote it.
    """

    __slots__ = ("_observer", "_operator", "has_ended", "upstream")

    def __init__(self, observer: abc.ObserverBase[Any], operator: str) -> None:
        self._observer = observer
        self._operator = operator
        self.upstream = SingleAssignmentDisposable()
        """The subscription of the source."""
        self.has_ended = False
        """Whether it has ended. A source may send more before its subscription can be disposed."""

    def differ(self, model: str = "") -> None:
        """End with a `RestartedError`."""
        self.fail(RestartedError(_WAY_OUT.format(operator=self._operator), model=model))

    def complete(self, delivered: _Delivered, last: Iterable[Any] = (), error: Exception | None = None) -> None:
        """End with the source, after the last items, unless what was emitted has not come again."""
        if delivered.repeats:
            self.differ()
        else:
            emit_and_end(self._observer, last, error)

    def fail(self, error: Exception) -> None:
        """Dispose the source and end with an error."""
        self.has_ended = True
        self.upstream.dispose()
        self._observer.on_error(error)


class _Delivered(ABC):
    """The state of one subscription, which follows the messages of its source."""

    __slots__ = ("_boundary", "_repeats_message")

    def __init__(self) -> None:
        self._boundary = MessageBoundary()
        self._repeats_message = False

    @property
    @abstractmethod
    def repeats(self) -> bool:
        """Whether something that was emitted has not come again."""

    @property
    def role(self) -> str:
        """The role of the current message."""
        return self._boundary.role

    def before(self, chunk: ChatChunk) -> bool:
        """Follow a chunk, before what it holds is taken; return whether it goes on as what was emitted."""
        changes = self._boundary.changes(chunk)
        if chunk.restart is not None:
            self.begin_over(chunk.restart.scope)
            return True
        return not changes or self.end_message()

    def after(self, chunk: ChatChunk) -> bool:
        """Follow a chunk, after what it holds was taken; return whether it goes on as what was emitted."""
        if not chunk.done:
            return True
        self._boundary.restart()
        return self.end_message()

    def begin_over(self, scope: Literal["answer", "message"]) -> None:
        """Expect that what was emitted is repeated."""
        if scope == "answer":
            self._repeats_message = False
        elif not self.repeats:
            self._repeats_message = True
        self._go_back(to_start=scope == "answer")

    def end_message(self) -> bool:
        """End the current message, and return whether all was repeated that should be by now."""
        if self._repeats_message and self.repeats:
            return False
        self._begin_message()
        return True

    @abstractmethod
    def _go_back(self, *, to_start: bool) -> None:
        """Go back to the start of the stream, or of the current message."""

    @abstractmethod
    def _begin_message(self) -> None:
        """Begin another message at the current place."""


@final
class DeliveredValues(_Delivered, Generic[T]):
    """The values that were emitted, or keys for them."""

    __slots__ = ("_place", "_start", "_values")

    def __init__(self) -> None:
        super().__init__()
        self._values: list[T] = []
        # How many of them stand, and how many came before the current message.
        self._place = self._start = 0

    @property
    def repeats(self) -> bool:
        """Whether a value that was emitted has not come again."""
        return self._place < len(self._values)

    def emit_new(self, items: Iterable[tuple[T, V]], emit: Callable[[V], object]) -> bool:
        """
        Emit the items that were not emitted before, and return whether the others equal those that were.

        Args:
            items: Items, each behind the value by which it is compared.
            emit: Emits an item.
        """
        for value, item in items:
            repeats = self.repeats
            if repeats and self._values[self._place] != value:
                return False
            self._place += 1
            if not repeats:
                self._values.append(value)
                emit(item)
        return True

    def _go_back(self, *, to_start: bool) -> None:
        if to_start:
            self._start = 0
        self._place = self._start

    def _begin_message(self) -> None:
        self._start = self._place


@final
class DeliveredTexts(_Delivered):
    """The text that was emitted."""

    __slots__ = ("_begin", "_expected", "_place", "_start", "pieces")

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        """The text, delta by delta; while it is repeated, only what came before the expected text."""
        # Where the current message begins: a place in the pieces, or in the expected text while there is one.
        self._start = self._begin = 0
        self._expected: str | None = None
        self._place = 0

    @property
    def repeats(self) -> bool:
        """Whether some text that was emitted has not come again."""
        return self._expected is not None

    def take(self, text: str) -> str | None:
        """Add a text, and return the part of it that is to be emitted; None if it differs from what was."""
        expected, place = self._expected, self._place
        if expected is None:
            self.pieces.append(text)
            return text
        left = len(expected) - place
        if len(text) < left:
            if not expected.startswith(text, place):
                return None
            self._place += len(text)
            return ""
        if not text.startswith(expected[place:]):
            return None
        self._place = len(expected)
        self._settle(expected)
        more = text[left:]
        if more:
            self.pieces.append(more)
        return more

    def _go_back(self, *, to_start: bool) -> None:
        pieces, expected = self.pieces, self._expected
        if to_start:
            if expected is not None:
                pieces.append(expected)
            self._start = 0
        if to_start or expected is None:
            expected = "".join(pieces[self._start :])
            del pieces[self._start :]
            self._begin = 0
        self._expected, self._place = expected, self._begin
        self._settle(expected or "")

    def _settle(self, expected: str) -> None:
        """Keep the expected text as pieces, if all of it has come again."""
        if self._place == len(expected):
            begin, self._expected = self._begin, None
            self.pieces += (expected[:begin], expected[begin:])
            self._start = len(self.pieces) - 1

    def _begin_message(self) -> None:
        if self._expected is None:
            self._start = len(self.pieces)
        else:
            self._begin = self._place
