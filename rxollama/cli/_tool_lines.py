"""Calls of tools as people read them: nothing that a model writes steers the terminal, or stays unseen."""

from __future__ import annotations

import json
import re
from typing import Any

from rich.text import Text

from rxollama.cli._render import Marked
from rxollama.messages import ChatChunk, ToolCall

__all__ = ("called", "cut", "returned", "shown_call", "shown_name", "shown_result", "visible")

# Letters of their own, by Unicode's book, but of no shape.
_SHAPELESS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_BMP = 0xFFFF
_ERROR = "Error: "
_RESULT = 240


def shown_call(call: ToolCall) -> str:
    """Write a call as one would write it in Python, whole."""
    arguments = ", ".join(f"{shown_name(name)}={_json(value)}" for name, value in call.arguments.items())
    return f"{shown_name(call.name)}({arguments})"


def shown_name(name: str) -> str:
    """Write a name: as it is if it is one, and otherwise as a text."""
    return name if _NAME.fullmatch(name) else _json(name)


def shown_result(chunk: ChatChunk) -> str:
    """Write a tool's result, or what went wrong with it, in one line."""
    words = " ".join(chunk.message.content.split())
    if chunk.tool_failed:
        words = words.removeprefix(_ERROR)
    return f"{shown_name(chunk.message.tool_name)}: {cut(visible(words), _RESULT)}"


def cut(text: str, limit: int) -> str:
    """Take out the middle of a text that is too long, and tell how much of it."""
    if len(text) <= limit:
        return text
    end = limit // 3
    return f"{text[: limit - end]}[… {len(text) - limit} characters …]{text[-end:]}"


def called(text: str) -> Marked:
    """Lay out a call, in the words of `shown_call`."""
    name, bracket, arguments = text.partition("(")
    return Marked(Text("→", "cyan"), Text.assemble((name, "bold cyan"), (bracket + arguments, "cyan")))


def returned(chunk: ChatChunk) -> Marked:
    """Lay out a tool's result in one line of the screen, or what went wrong with it in as many as it takes."""
    if chunk.tool_failed:
        return Marked(Text("✗", "bold red"), Text(shown_result(chunk), "red"))
    return Marked(Text("✓", "green"), Text(shown_result(chunk), "dim", no_wrap=True, overflow="ellipsis"))


def visible(text: str) -> str:
    """Escape whatever has no shape of its own, as JSON would: controls, directions, odd spaces."""
    if text.isprintable() and not _SHAPELESS.search(text):
        return text
    return "".join(one if one.isprintable() and not _SHAPELESS.match(one) else _escaped(one) for one in text)


def _json(value: Any) -> str:
    # Not orjson: a model may write numbers of any length.
    return visible(json.dumps(value, ensure_ascii=False))


def _escaped(one: str) -> str:
    code = ord(one)
    return f"\\u{code:04x}" if code <= _BMP else f"\\U{code:08x}"
