"""What a tool brings, as the text that a model reads."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import PurePath
from typing import Any

import msgspec
import orjson

from rxollama._checks import check_text

__all__ = ("ToolProgress", "builtins_of", "result_text", "sendable")

_DONE = "done"
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


class ToolProgress(msgspec.Struct, frozen=True):
    """
    Be what a tool yields to say how far it is: shown to people, and never told to the model.

    Args:
        text: What to show.

    Raises:
        InvalidValueError: When that is no text.

    .. versionadded:: 0.1
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse what is no text, here where the tool can be told."""
        check_text("text", self.text)


def result_text(items: Iterable[Any]) -> str:
    """
    Write what a tool brought as the text that the model is told.

    Texts are joined as they are. Any other value is JSON, each on a line of its own; what JSON cannot write is what
    `str` makes of it. ToolProgress is left out. A function that returns None has told something, `null`, such as that
    nothing was found; where there is nothing at all, the text is `done`.

    Args:
        items: What the tool brought, as `Tool.items` yields it.

    Returns:
        The text.

    .. versionadded:: 0.1
    """
    told = [item for item in items if not isinstance(item, ToolProgress)]
    parts: list[str] = []
    for are_texts, group in groupby(told, lambda item: isinstance(item, str)):
        some = list(group)
        parts += ["".join(some)] if are_texts else map(_json, some)
    return sendable("\n".join(parts)) if told else _DONE


def sendable(text: str) -> str:
    """Write out what no request can carry: names of files may hold halves of letters, and errors quote them."""
    return text.encode("utf-8", "backslashreplace").decode()


def builtins_of(value: Any) -> Any:
    """
    Write a value as what JSON is in Python.

    Args:
        value: The value.

    Returns:
        Dicts, lists, texts, numbers, True, False or None.

    Raises:
        TypeError: When JSON cannot write it.
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
        # A number of more than 64 bits, half a letter, a list that holds itself.
        return str(value)


def _default(value: Any) -> Any:
    try:
        return builtins_of(value)
    except TypeError:
        return str(value)
