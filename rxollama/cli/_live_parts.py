"""The moving parts of an answer on a terminal: growing thinking, growing content, and the status line."""

from __future__ import annotations

from time import monotonic
from typing import ClassVar, Protocol

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from rxollama.cli._format import format_duration, format_waiting
from rxollama.cli._markdown_blocks import MarkdownBlocks, stable_end
from rxollama.cli._render import MarkdownText, ThinkingText

__all__ = ("Frame", "GrowingContent", "GrowingPart", "GrowingThinking", "Status", "free_lines")

_THINKING_LINES = 6
# A blank line above and below the growing part, the status, and the line of the cursor.
_RESERVED_LINES = 4


def free_lines(console: Console) -> int:
    """Return how many lines of the screen the growing part may fill."""
    return max(1, console.height - _RESERVED_LINES)


class GrowingPart(Protocol):
    """A part of an answer that is still growing."""

    name: ClassVar[str]

    def add(self, text: str) -> list[RenderableType]:
        """Add the next piece, and return what it finishes."""
        ...

    def end(self) -> list[RenderableType]:
        """Return what is left."""
        ...

    def tail(self, console: Console) -> RenderableType:
        """Return what to show of the unfinished rest."""
        ...


class GrowingThinking:
    """Thinking: its last few lines while it grows, and all of it at its end."""

    name: ClassVar[str] = "thinking"

    def __init__(self) -> None:
        self._began = monotonic()
        self._parts: list[str] = []
        self._tail = ""

    def add(self, text: str) -> list[RenderableType]:
        self._parts.append(text)
        self._tail += text
        return []

    def end(self) -> list[RenderableType]:
        title = f"thinking · {format_duration(monotonic() - self._began)}"
        text = "".join(self._parts).strip()
        return [ThinkingText(title, text)] if text else []

    def tail(self, console: Console) -> RenderableType:
        lines = max(1, min(_THINKING_LINES, free_lines(console) - 1))
        # Only the end is laid out again for each frame, however long the thinking is.
        self._tail = stable_end(self._tail, _THINKING_LINES * console.width)
        return ThinkingText("thinking", self._tail.strip(), lines)


class GrowingContent:
    """Content as Markdown. Finished blocks are printed once, and only the last block is drawn again."""

    name: ClassVar[str] = "answering"

    def __init__(self) -> None:
        self._blocks = MarkdownBlocks()

    def add(self, text: str) -> list[RenderableType]:
        return [MarkdownText(block) for block in self._blocks.add(text) if block.strip()]

    def end(self) -> list[RenderableType]:
        rest = self._blocks.rest
        return [MarkdownText(rest)] if rest.strip() else []

    def tail(self, console: Console) -> RenderableType:
        lines = free_lines(console)
        return MarkdownText(self._blocks.tail(lines, console.width), lines=lines)


class Status:
    """
    The status line: a spinner, what is happening, and for how long the answer has been running.

    Args:
        model: The model's name, without control characters.

    Attributes:
        name: The name of the phase. It is empty until the first chunk.
    """

    def __init__(self, model: str) -> None:
        self.name = ""
        self._model = model
        self._began = monotonic()
        self._spinner = Spinner("dots", style="cyan")
        self._expected_at: float | None = None

    def expect(self, seconds: float | None) -> None:
        """Set how long the first token is still expected to take; None if that is not known."""
        self._expected_at = None if seconds is None else monotonic() + seconds

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = monotonic()
        elapsed, expected = now - self._began, None if self._expected_at is None else max(0.0, self._expected_at - now)
        waiting = format_waiting(self._model, elapsed, expected)
        text = f"{self.name} · {format_duration(elapsed)}" if self.name else waiting
        self._spinner.update(text=Text(text, style="dim", no_wrap=True, overflow="ellipsis"))
        yield self._spinner


class Frame:
    """
    One picture of the region that is redrawn.

    Args:
        part: The growing part, or None.
        status: The status line.
    """

    def __init__(self, part: RenderableType | None, status: Status) -> None:
        self._part = part
        self._status = status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Segment.line()
        if self._part is not None:
            yield self._part
            yield Segment.line()
        yield self._status
