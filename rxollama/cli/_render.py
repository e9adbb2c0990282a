"""Text as rich draws it: Markdown, thinking, and lines with a mark before them."""

from __future__ import annotations

from collections.abc import Iterable

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

__all__ = ("MarkdownText", "MarkedText", "ThinkingText")

_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
_DIM = Style(dim=True)


class MarkdownText:
    """
    A Markdown text.

    Args:
        text: The Markdown.
        lines: The number of lines to show, counted from the end. None shows all.
    """

    def __init__(self, text: str, lines: int | None = None) -> None:
        self._text = text
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # ansi_dark uses the terminal's own colours, which suit its background. Without hyperlinks the address is
        # shown, so that the text of a link cannot deceive.
        markdown = Markdown(self._text, code_theme="ansi_dark", hyperlinks=False)
        # rich leaves out HTML, and our parser reads it as text.
        markdown.parsed = _PARSER.parse(self._text)
        lines = console.render_lines(markdown, options.update(height=None), pad=False)
        # rich adds blank lines around some blocks. The display decides what stands between blocks.
        while lines and _is_blank(lines[0]):
            del lines[0]
        while lines and _is_blank(lines[-1]):
            del lines[-1]
        yield from _joined(lines if self._lines is None else lines[-self._lines :])


class ThinkingText:
    """
    A model's thinking, dim and beside a vertical line.

    Args:
        title: The line above it.
        text: The thinking.
        lines: The number of lines to show, counted from the end. None shows all.
    """

    def __init__(self, title: str, text: str, lines: int | None = None) -> None:
        self._title = Text(title, style="dim")
        self._text = Text(text, style="dim italic")
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._title
        narrower = options.update(width=max(1, options.max_width - 2), height=None)
        lines = console.render_lines(self._text, narrower, pad=False)
        shown = lines if self._lines is None else lines[-self._lines :]
        yield from _joined([Segment("│ ", _DIM), *line] for line in shown)


class MarkedText:
    """
    A text with a mark before its first line.

    Args:
        mark: The mark, one cell wide.
        text: The text.
    """

    def __init__(self, mark: Text, text: Text) -> None:
        self._mark = mark
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrower = options.update(width=max(1, options.max_width - 2), height=None)
        mark = Segment(f"{self._mark.plain} ", console.get_style(self._mark.style))
        lines = console.render_lines(self._text, narrower, pad=False)
        yield from _joined([Segment("  ") if place else mark, *line] for place, line in enumerate(lines))


def _is_blank(line: list[Segment]) -> bool:
    return not any(segment.text.strip() for segment in line)


def _joined(lines: Iterable[list[Segment]]) -> Iterable[Segment]:
    for line in lines:
        yield from line
        yield Segment.line()
