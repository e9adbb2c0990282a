"""The tools that run: which they are, and how far."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from rxollama.cli._render import Marked
from rxollama.cli._tool_lines import shown_name, visible
from rxollama.messages import Message, ToolCall

__all__ = ("Running",)

_SEVERAL = 2


class Running:
    """Keep the calls that have no result yet, and the latest word of each."""

    def __init__(self) -> None:
        self._calls: list[tuple[ToolCall, str]] = []

    def start(self, call: ToolCall) -> None:
        """Take in a call."""
        self._calls.append((call, ""))

    def progress(self, message: Message, text: str) -> None:
        """Take in how far the call is whose message this is."""
        for place, (call, _) in enumerate(self._calls):
            if (call.name, call.id) == (message.tool_name, message.tool_call_id):
                self._calls[place] = (call, visible(" ".join(text.split())))
                break

    def end(self, call: ToolCall) -> None:
        """Take out a call, if it was ever started."""
        for place, (one, _) in enumerate(self._calls):
            if one == call:
                del self._calls[place]
                break

    @property
    def title(self) -> str:
        """What to call it all; nothing where nothing runs."""
        names = [shown_name(call.name) for call, _ in self._calls]
        return f"running {len(names)} tools" if len(names) >= _SEVERAL else "".join(f"running {name}" for name in names)

    def tail(self, lines: int) -> RenderableType | None:
        """Lay out what the tools say of themselves, in so many lines at most."""
        told = [
            Marked(Text("·", "cyan"), Text(f"{name}: {text}", "dim", no_wrap=True, overflow="ellipsis"))
            for name, text in ((shown_name(call.name), text) for call, text in self._calls)
            if text
        ]
        return Group(*told[-lines:]) if told else None
