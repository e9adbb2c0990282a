"""The result of a tool, as the text that a model reads."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO
from pathlib import PurePath
from typing import Any

import msgspec
import orjson

from rxollama._checks import check_text

__all__ = ("ResultText", "ToolProgress", "builtins_of", "result_text")

_DONE = "done"
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


class ToolProgress(msgspec.Struct, frozen=True):
    """
    An item of a tool that reports its progress: people see it, and the model is not told.

    Args:
        text: The text to show.

    Raises:
        InvalidValueError: If *text* is not a str.

    .. versionadded:: 0.1
    """

    text: str

    def __post_init__(self) -> None:
        """Check the text here, where the tool's own traceback shows the mistake."""
        check_text("text", self.text)


class ResultText:
    """
    The text of a result, built while the items arrive.

    It exists so that a tool with millions of items does not hold the event loop when it ends. `result_text` does the
    same for items that are there already.

    Attributes:
        length: The number of characters so far.

    .. versionadded:: 0.1
    """

    length: int

    def __init__(self) -> None:
        self.length = 0
        self._written = StringIO()
        self._is_begun = False
        self._ends_in_text = False

    def add(self, item: Any) -> None:
        """
        Add an item.

        Args:
            item: An item, as `Tool.items` yields it. A `ToolProgress` is left out.

        Raises:
            Exception: Whatever `str(item)` raises, if JSON cannot express the item.
        """
        if isinstance(item, ToolProgress):
            return
        is_text = isinstance(item, str)
        part = item if is_text else _json(item)
        if self._is_begun and not (is_text and self._ends_in_text):
            part = "\n" + part
        self.length += self._written.write(part)
        self._is_begun = True
        self._ends_in_text = is_text

    @property
    def value(self) -> str:
        """The text so far; `done` if there was no item."""
        # Names of files may contain half a surrogate pair, which no request can carry.
        written = self._written.getvalue() if self._is_begun else _DONE
        return written.encode("utf-8", "backslashreplace").decode()


def result_text(items: Iterable[Any]) -> str:
    r"""
    Return the text that a model is told as the result of a tool.

    Strings are joined as they are. Any other value is written as JSON on a line of its own, or with `str` if JSON
    cannot express it. `ToolProgress` is left out. None is written as `null`, since a function that returns it may mean
    that nothing was found. Without any item the text is `done`. Halves of surrogate pairs are escaped, as in `\udce9`.

    Args:
        items: The items, as `Tool.items` yields them.

    Returns:
        The text.

    .. versionadded:: 0.1
    """
    text = ResultText()
    for item in items:
        text.add(item)
    return text.value


def builtins_of(value: Any) -> Any:
    """
    Convert a value to the types that JSON has in Python.

    Args:
        value: The value.

    Returns:
        A dict, list, str, number, bool or None.

    Raises:
        TypeError: If JSON cannot express the value.
    """
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_dumped)


def _dumped(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    dump = getattr(value, "model_dump", None)
    if not callable(dump):
        raise TypeError(f"no JSON for a value of type {type(value).__name__}")
    return dump(mode="json")


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_default, option=_OPTIONS).decode()
    except TypeError:
        # A number of more than 64 bits, half a surrogate pair, or a list that contains itself.
        return str(value)


def _default(value: Any) -> Any:
    try:
        return builtins_of(value)
    except TypeError:
        return str(value)
