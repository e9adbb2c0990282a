"""
A reader of JSON that comes in pieces, with the value so far at any time.

The law: however a text is cut, the reader ends in the same state, and after each prefix the snapshot is what that
prefix determines. It agrees with `json.loads` on every whole text, and refuses a text at the first character with
which no JSON continues.
Each character is looked at once: the reader is an automaton whose state is a method (`_step`), and a step looks at one
character, except in strings, whose ends are found by a regular expression. So the time of a piece does not depend on
what came before, and neither does the time of a snapshot, see `_container`.

The alternatives were measured, see `docs/structured.md`. Parsing everything again for each delta is quadratic, even
in Rust. A generator or a recursive parser cannot stop in the middle of a token without keeping the same state.
Parsers that are fed in pieces (ijson, json-stream) do not show unfinished strings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from typing import Any, TypeAlias, final

from ...messages import PartialJson, partial_of
from ._container import OpenContainer, Position
from ._scanners import NUMBER_STARTS, EscapeScanner, FenceScanner, JsonFault, NumberScanner

__all__ = ("JsonReader",)

_Step: TypeAlias = "Callable[[JsonReader, str, int], int]"

# A program that uses a value may need several of Python's thousand frames for each level. orjson writes 254 levels.
_MAX_DEPTH = 250

_SPACE = re.compile(r"[ \t\n\r]+")
_SPECIAL = re.compile(r'["\\\x00-\x1f]')
_WORDS: dict[str, tuple[str, Any]] = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}


@final
class JsonReader:
    """
    A reader of one JSON value from a text that comes in pieces.

    White space and one Markdown fence may stand around the value. It is the JSON of RFC 8259, read as `json.loads`
    reads it, except that `NaN`, `Infinity` and more than 250 levels of nesting are refused.

    Args:
        watched: The path of a list whose items are moved into `found` as they become whole; None for none.
    """

    __slots__ = (
        "_depth",
        "_escape",
        "_fence",
        "_inner",
        "_is_value_open",
        "_keys",
        "_number",
        "_offset",
        "_root",
        "_step",
        "_string",
        "_watched",
        "_word",
        "_word_rest",
        "changed",
        "found",
    )

    changed: bool
    """Whether the value changed with the last piece."""
    found: list[Any] | None
    """The whole items of the watched list that nobody has removed; None until the list begins."""

    def __init__(self, watched: tuple[str | int, ...] | None = None) -> None:
        self._watched = watched
        self.found = None
        self.changed = False
        self._offset = 0
        self._step: _Step = JsonReader._before_fence
        self._root = self._inner = OpenContainer()
        self._depth = 0
        self._keys: dict[str, str] = {}
        self._fence = FenceScanner()
        # The last string that was begun, and whether it is an open value rather than a key.
        self._string = StringIO()
        self._is_value_open = False
        self._escape = EscapeScanner()
        self._number = NumberScanner()
        self._word: Any = None
        self._word_rest = ""

    def feed(self, text: str) -> None:
        """
        Read the next piece.

        Args:
            text: The piece.

        Raises:
            JsonFault: If the text does not continue as JSON. Everything before the fault was read; nothing more may
                be fed.
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
        End the text, which completes a number that stands alone.

        Raises:
            JsonFault: If the value is not complete.
        """
        self.changed = False
        if not self._depth and self._number.is_complete and not self.complete:
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
        """Return the value so far; only once `changed` was True."""
        if self._root.values:
            return PartialJson(self._root.values[0], complete=True)
        inner, text = self._inner, self._string
        if self._is_value_open:
            return partial_of(Position(inner, len(inner.values), text, text.tell()))
        return partial_of(Position(inner, len(inner.values), None, 0))

    # A step gets a piece and a position in it, and returns the position at which the next step begins.

    def _before_fence(self, text: str, at: int) -> int:
        if text[at] != "`":
            return self._before_value(text, at)
        self._step = JsonReader._in_fence
        return at

    def _in_fence(self, text: str, at: int) -> int:
        at = self._fence.open(text, at)
        if self._fence.is_open:
            self._step = JsonReader._before_value
        return at

    def _after_value(self, text: str, at: int) -> int:
        stop = self._fence.close(text, at)
        return self._skip_space(text, at, "nothing more") if stop == at else stop

    def _before_value(self, text: str, at: int) -> int:
        char = text[at]
        if char == '"':
            return self._begin_string(text, at + 1, is_value=True)
        if char == "{":
            self._begin(OpenContainer(self._inner, is_list=False), at)
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
            self._word_rest, self._word = _WORDS[char]
            self._step = JsonReader._in_word
            return at
        return self._skip_space(text, at, "a value")

    def _before_first_value(self, text: str, at: int) -> int:
        return self._close(at) if text[at] == "]" else self._before_value(text, at)

    def _before_key(self, text: str, at: int) -> int:
        if text[at] == '"':
            return self._begin_string(text, at + 1, is_value=False)
        return self._skip_space(text, at, "a key")

    def _before_first_key(self, text: str, at: int) -> int:
        return self._close(at) if text[at] == "}" else self._before_key(text, at)

    def _before_colon(self, text: str, at: int) -> int:
        if text[at] != ":":
            return self._skip_space(text, at, "a colon")
        self._step = JsonReader._before_value
        return at + 1

    def _in_list(self, text: str, at: int) -> int:
        char = text[at]
        if char == ",":
            self._step = JsonReader._before_value
            return at + 1
        return self._close(at) if char == "]" else self._skip_space(text, at, "a comma or the end of the list")

    def _in_object(self, text: str, at: int) -> int:
        char = text[at]
        if char == ",":
            self._step = JsonReader._before_key
            return at + 1
        return self._close(at) if char == "}" else self._skip_space(text, at, "a comma or the end of the object")

    def _skip_space(self, text: str, at: int, expected: str) -> int:
        space = _SPACE.match(text, at)
        if space is None:
            raise JsonFault(f"expected {expected}", at)
        return space.end()

    def _begin_list(self, at: int) -> None:
        opened = OpenContainer(self._inner)
        if self._watched is not None and self._depth == len(self._watched) and self._is_watched(opened):
            if self.found is not None:
                raise JsonFault("the list of the elements comes a second time", at)
            self.found = opened.values
        self._begin(opened, at)
        self._step = JsonReader._before_first_value

    def _is_watched(self, opened: OpenContainer) -> bool:
        return Position(opened, 0, None, 0).path() == self._watched

    def _begin(self, opened: OpenContainer, at: int) -> None:
        if self._depth == _MAX_DEPTH:
            raise JsonFault(f"it is nested more than {_MAX_DEPTH} levels deep", at)
        self._depth += 1
        self._inner = opened
        self.changed = True

    def _close(self, at: int) -> int:
        closed = self._inner
        self._depth -= 1
        self._inner = closed.parent or self._root
        self._finish(closed.close())
        return at + 1

    def _finish(self, value: Any) -> None:
        container = self._inner
        container.values.append(value)
        if container is self._root:
            self.changed = True
            self._step = JsonReader._after_value
        else:
            self._step = JsonReader._in_list if container.is_list else JsonReader._in_object

    def _begin_string(self, text: str, at: int, *, is_value: bool) -> int:
        self._is_value_open = is_value
        if is_value:
            self.changed = True
        special = _SPECIAL.search(text, at)
        if special is not None and special.group() == '"':
            stop = special.start()
            self._end_string(text[at:stop])
            return stop + 1
        self._string = StringIO()
        self._step = JsonReader._in_string
        return at

    def _in_string(self, text: str, at: int) -> int:
        special = _SPECIAL.search(text, at)
        stop = len(text) if special is None else special.start()
        if stop > at:
            self._write(text[at:stop])
        if special is None:
            return stop
        char = text[stop]
        if char == '"':
            self._end_string(self._string.getvalue())
        elif char == "\\":
            self._escape.begin()
            self._step = JsonReader._in_escape
        else:
            raise JsonFault("a control character must be escaped", stop)
        return stop + 1

    def _in_escape(self, text: str, at: int) -> int:
        meant, at = self._escape.read(text[at], at)
        if meant:
            self._write(meant)
        if self._escape.is_over:
            self._step = JsonReader._in_string
        return at

    def _write(self, text: str) -> None:
        self._string.write(text)
        if self._is_value_open:
            self.changed = True

    def _end_string(self, string: str) -> None:
        if self._is_value_open:
            self._is_value_open = False
            self._finish(string)
            return
        # The objects of a list mostly have the same keys, which are stored once.
        self._inner.keys.append(self._keys.setdefault(string, string))
        self._step = JsonReader._before_colon

    def _in_number(self, text: str, at: int) -> int:
        stop = self._number.read(text, at)
        if stop < len(text):
            self._finish(self._number.end(self._offset))
            self.changed = True
        return stop

    def _in_word(self, text: str, at: int) -> int:
        rest, end = self._word_rest, len(text)
        while rest and at < end:
            if text[at] != rest[0]:
                raise JsonFault("expected one of the words true, false and null", at)
            rest = rest[1:]
            at += 1
        self._word_rest = rest
        if not rest:
            self._finish(self._word)
            self.changed = True
        return at
