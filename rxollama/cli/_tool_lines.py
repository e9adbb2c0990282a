"""
Tool calls, their progress and their results, as lines on the terminal.

Names, arguments and results come from a model or a tool. They are escaped: none of them can steer the terminal, hide
a part of a call, or pass for another argument.
"""

from __future__ import annotations

import json
import re
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from rxollama.cli._render import MarkedText
from rxollama.messages import ChatChunk, Message, ToolCall

__all__ = (
    "RunningTools",
    "call_line",
    "escape_invisible",
    "format_call",
    "format_name",
    "format_result",
    "result_line",
    "shorten",
)

# Characters that Unicode counts as printable and that draw nothing.
_SHAPELESS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_BMP = 0xFFFF
_ERROR = "Error: "
_RESULT_LIMIT = 240
_SEVERAL = 2


def format_call(call: ToolCall) -> str:
    """Return a whole call, written as in Python with JSON values."""
    arguments = ", ".join(f"{format_name(name)}={_json(value)}" for name, value in call.arguments.items())
    return f"{format_name(call.name)}({arguments})"


def format_name(name: str) -> str:
    """Return a name unchanged if it is plain, and otherwise in quotes."""
    return name if _NAME.fullmatch(name) else _json(name)


def format_result(chunk: ChatChunk) -> str:
    """Return a tool's result or error as one line."""
    text = " ".join(chunk.message.content.split())
    if chunk.tool_failed:
        text = text.removeprefix(_ERROR)
    return f"{format_name(chunk.message.tool_name)}: {shorten(escape_invisible(text), _RESULT_LIMIT)}"


def shorten(text: str, limit: int) -> str:
    """Return *text*. If it is longer than *limit*, a note with a count stands for its middle."""
    if len(text) <= limit:
        return text
    end = limit // 3
    return f"{text[: limit - end]}[… {len(text) - limit} characters …]{text[-end:]}"


def call_line(text: str) -> MarkedText:
    """Return the line of a call, whose text is that of `format_call`."""
    name, bracket, arguments = text.partition("(")
    return MarkedText(Text("→", "cyan"), Text.assemble((name, "bold cyan"), (bracket + arguments, "cyan")))


def result_line(chunk: ChatChunk) -> MarkedText:
    """Return the line of a tool's result. A result is cut to one line of the screen, and an error is shown whole."""
    if chunk.tool_failed:
        return MarkedText(Text("✗", "bold red"), Text(format_result(chunk), "red"))
    return MarkedText(Text("✓", "green"), Text(format_result(chunk), "dim", no_wrap=True, overflow="ellipsis"))


def escape_invisible(text: str) -> str:
    """Return *text* with JSON escapes for what cannot be seen: controls, text directions, unusual spaces."""
    if text.isprintable() and not _SHAPELESS.search(text):
        return text
    return "".join(one if one.isprintable() and not _SHAPELESS.match(one) else _escaped(one) for one in text)


def _json(value: Any) -> str:
    # The standard library writes integers of any size, which a model may send and orjson refuses.
    return escape_invisible(json.dumps(value, ensure_ascii=False))


def _escaped(one: str) -> str:
    code = ord(one)
    return f"\\u{code:04x}" if code <= _BMP else f"\\U{code:08x}"


class RunningTools:
    """The calls that have no result yet, each with its latest progress."""

    def __init__(self) -> None:
        self._calls: list[tuple[ToolCall, str]] = []

    def start(self, call: ToolCall) -> None:
        """Add a call."""
        self._calls.append((call, ""))

    def progress(self, message: Message, text: str) -> None:
        """Set the progress of the call that *message* belongs to."""
        for place, (call, _) in enumerate(self._calls):
            if (call.name, call.id) == (message.tool_name, message.tool_call_id):
                self._calls[place] = (call, escape_invisible(" ".join(text.split())))
                break

    def end(self, call: ToolCall) -> None:
        """Remove a call. A call that was never started is ignored."""
        for place, (one, _) in enumerate(self._calls):
            if one == call:
                del self._calls[place]
                break

    @property
    def title(self) -> str:
        """The status text, such as "running dig" or "running 2 tools". It is empty if no tool runs."""
        names = [format_name(call.name) for call, _ in self._calls]
        return f"running {len(names)} tools" if len(names) >= _SEVERAL else "".join(f"running {name}" for name in names)

    def tail(self, lines: int) -> RenderableType | None:
        """Return the last *lines* lines of progress, or None if no tool has reported any."""
        shown = [
            MarkedText(Text("·", "cyan"), Text(f"{name}: {text}", "dim", no_wrap=True, overflow="ellipsis"))
            for name, text in ((format_name(call.name), text) for call, text in self._calls)
            if text
        ]
        return Group(*shown[-lines:]) if shown else None
