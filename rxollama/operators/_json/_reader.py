"""A reader of JSON that comes in pieces, with the value so far at any time."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from typing import Any, TypeAlias, final

from ...messages import PartialJson, partial_of
from ._container import OpenContainer, Position
from ._escapes import EscapeScanner
from ._faults import JsonFault
from ._fences import FenceScanner
from ._numbers import NUMBER_STARTS, NumberScanner

__all__ = ("JsonReader",)

_Step: TypeAlias = "Callable[[JsonReader, str, int], int]"

# What a program does with a value may need several of Python's frames for each level, of which there are a thousand;
# orjson writes 254 levels.
_MAX_DEPTH = 250

_SPACE = re.compile(r"[ \t\n\r]+")
_SPECIAL = re.compile(r'["\\\x00-\x1f]')
_WORDS: dict[str, tuple[str, Any]] = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}


@final
class JsonReader:
    """
    Read one JSON value from a text that comes in pieces; blanks and one Markdown fence may stand around it.

    Each piece is looked at once, in time that does not depend on what came before. It is the JSON of RFC 8259, read
    as `json.loads` reads it, but that `NaN`, `Infinity` and what is nested too deeply are refused.

    Args:
        watched: The path of a list whose values are taken out as they come; None for none.
    """

    __slots__ = (
        "_escape",
        "_fence",
        "_growing",
        "_keys",
        "_left",
        "_number",
        "_offset",
        "_open",
        "_root",
        "_step",
        "_text",
        "_watched",
        "_word",
        "changed",
        "depth",
        "found",
    )

    changed: bool
    """Whether the value changed with the last piece."""
    found: list[Any] | None
    """What is in the watched list, once that has begun: whole values, to be taken out."""

    def __init__(self, watched: tuple[str | int, ...] | None = None) -> None:
        self._watched = watched
        self.found = None
        self.changed = False
        self._offset = 0
        self._step: _Step = JsonReader._in_front
        self._root = self._open = OpenContainer()
        self.depth = 0
        self._keys: dict[str, str] = {}
        self._fence = FenceScanner()
        # The last text that was begun, and whether it is open and a part of the value, which a key is not.
        self._text = StringIO()
        self._growing = False
        self._escape = EscapeScanner()
        self._number = NumberScanner()
        self._word: Any = None
        self._left = ""

    def feed(self, text: str) -> None:
        """
        Take in the next piece.

        Args:
            text: The piece.

        Raises:
            JsonFault: When it does not go on as JSON. What came before the fault has been taken in, and nothing more
                may be fed.
        """
        self.changed = False
        at, end = 0, len(text)
        try:
            while at < end:
                at = self._step(self, text, at)
        except JsonFault as fault:
            fault.position += self._offset
            raise
        self._offset += end

    def end(self) -> None:
        """
        End the text; a number that stands alone is finished by that.

        Raises:
            JsonFault: When the value is not complete.
        """
        self.changed = False
        if not self.depth and self._number.is_whole and not self.complete:
            self._finish(self._number.end(0))
            self.changed = True
        if not self.complete:
            raise JsonFault("it ends too early", self._offset, early=True)

    @property
    def complete(self) -> bool:
        """Whether the value is whole."""
        return bool(self._root.values)

    @property
    def value(self) -> Any:
        """The value, once it is whole."""
        return self._root.values[0]

    def snapshot(self) -> PartialJson:
        """Tell the value so far, of which there is some as soon as it has changed."""
        if self._root.values:
            return PartialJson(self._root.values[0], complete=True)
        inner, text = self._open, self._text
        if self._growing:
            return partial_of(Position(inner, len(inner.values), text, text.tell()))
        return partial_of(Position(inner, len(inner.values), None, 0))

    # A step takes a piece and a place in it, and brings the place where the next step begins.

    def _in_front(self, text: str, at: int) -> int:
        if text[at] != "`":
            return self._before_value(text, at)
        self._step = JsonReader._in_fence
        return at

    def _in_fence(self, text: str, at: int) -> int:
        at = self._fence.open(text, at)
        if self._fence.is_open:
            self._step = JsonReader._before_value
        return at

    def _behind(self, text: str, at: int) -> int:
        stop = self._fence.close(text, at)
        return self._blank(text, at, "nothing more") if stop == at else stop

    def _before_value(self, text: str, at: int) -> int:
        char = text[at]
        if char == '"':
            return self._begin_text(text, at + 1, growing=True)
        if char == "{":
            self._begin(OpenContainer(self._open, is_list=False), at)
            self._step = JsonReader._before_first_key
            return at + 1
        if char == "[":
            self._begin_list(at)
            return at + 1
        if char in NUMBER_STARTS:
            self._number.begin(self._offset + at)
            self._step = JsonReader._in_number
            return at
        if char in _WORDS:
            self._left, self._word = _WORDS[char]
            self._step = JsonReader._in_word
            return at
        return self._blank(text, at, "a value")

    def _before_first_value(self, text: str, at: int) -> int:
        return self._close(at) if text[at] == "]" else self._before_value(text, at)

    def _before_key(self, text: str, at: int) -> int:
        if text[at] == '"':
            return self._begin_text(text, at + 1, growing=False)
        return self._blank(text, at, "a key")

    def _before_first_key(self, text: str, at: int) -> int:
        return self._close(at) if text[at] == "}" else self._before_key(text, at)

    def _before_colon(self, text: str, at: int) -> int:
        if text[at] != ":":
            return self._blank(text, at, "a colon")
        self._step = JsonReader._before_value
        return at + 1

    def _in_list(self, text: str, at: int) -> int:
        char = text[at]
        if char == ",":
            self._step = JsonReader._before_value
            return at + 1
        return self._close(at) if char == "]" else self._blank(text, at, "a comma or the end of the list")

    def _in_object(self, text: str, at: int) -> int:
        char = text[at]
        if char == ",":
            self._step = JsonReader._before_key
            return at + 1
        return self._close(at) if char == "}" else self._blank(text, at, "a comma or the end of the object")

    def _blank(self, text: str, at: int, wanted: str) -> int:
        space = _SPACE.match(text, at)
        if space is None:
            raise JsonFault(f"{wanted} was expected", at)
        return space.end()

    def _begin_list(self, at: int) -> None:
        opened = OpenContainer(self._open)
        if self._watched is not None and self.depth == len(self._watched) and self._is_watched(opened):
            if self.found is not None:
                raise JsonFault("the list of the elements comes a second time", at)
            self.found = opened.values
        self._begin(opened, at)
        self._step = JsonReader._before_first_value

    def _is_watched(self, opened: OpenContainer) -> bool:
        return Position(opened, 0, None, 0).path() == self._watched

    def _begin(self, opened: OpenContainer, at: int) -> None:
        if self.depth == _MAX_DEPTH:
            raise JsonFault(f"it is nested more than {_MAX_DEPTH} levels deep", at)
        self.depth += 1
        self._open = opened
        self.changed = True

    def _close(self, at: int) -> int:
        closed = self._open
        self.depth -= 1
        self._open = closed.above or self._root
        self._finish(closed.whole())
        return at + 1

    def _finish(self, value: Any) -> None:
        container = self._open
        container.values.append(value)
        if container is self._root:
            self.changed = True
            self._step = JsonReader._behind
        else:
            self._step = JsonReader._in_list if container.is_list else JsonReader._in_object

    def _begin_text(self, text: str, at: int, *, growing: bool) -> int:
        self._growing = growing
        if growing:
            self.changed = True
        special = _SPECIAL.search(text, at)
        if special is not None and special.group() == '"':
            stop = special.start()
            self._end_text(text[at:stop])
            return stop + 1
        self._text = StringIO()
        self._step = JsonReader._in_text
        return at

    def _in_text(self, text: str, at: int) -> int:
        special = _SPECIAL.search(text, at)
        stop = len(text) if special is None else special.start()
        if stop > at:
            self._write(text[at:stop])
        if special is None:
            return stop
        char = text[stop]
        if char == '"':
            self._end_text(self._text.getvalue())
        elif char == "\\":
            self._escape.begin()
            self._step = JsonReader._in_escape
        else:
            raise JsonFault("a control character has to be escaped", stop)
        return stop + 1

    def _in_escape(self, text: str, at: int) -> int:
        meant, at = self._escape.read(text[at], at)
        if meant:
            self._write(meant)
        if self._escape.is_over:
            self._step = JsonReader._in_text
        return at

    def _write(self, text: str) -> None:
        self._text.write(text)
        if self._growing:
            self.changed = True

    def _end_text(self, whole: str) -> None:
        if self._growing:
            self._growing = False
            self._finish(whole)
            return
        # The objects of a list mostly have the same keys, which are kept once.
        self._open.keys.append(self._keys.setdefault(whole, whole))
        self._step = JsonReader._before_colon

    def _in_number(self, text: str, at: int) -> int:
        stop = self._number.read(text, at)
        if stop < len(text):
            self._finish(self._number.end(self._offset))
            self.changed = True
        return stop

    def _in_word(self, text: str, at: int) -> int:
        left, end = self._left, len(text)
        while left and at < end:
            if text[at] != left[0]:
                raise JsonFault("one of the words true, false and null was expected", at)
            left = left[1:]
            at += 1
        self._left = left
        if not left:
            self._finish(self._word)
            self.changed = True
        return at
