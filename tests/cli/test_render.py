"""Text as rich draws it."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console, RenderableType

from rxollama.cli._render import MarkdownText, ThinkingText


def shown(renderable: RenderableType) -> list[str]:
    """Return the lines of something on a narrow screen."""
    console = Console(file=StringIO(), width=30, record=True)
    console.print(renderable)
    return [line.rstrip() for line in console.export_text().split("\n")[:-1]]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Some *words*, and <b>more</b>.", ["Some words, and <b>more</b>."]),
        ("<p>\nA page", ["<p> A page"]),
        ("[here](https://x.io)", ["here (https://x.io)"]),
        ("```\nx = 1\n\ny = 2\n```", [" x = 1", "", " y = 2"]),
        ("", []),
    ],
)
def test_markdown(text: str, lines: list[str]) -> None:
    """Markdown is laid out without blank lines around it. HTML is text, and the address of a link is shown."""
    assert shown(MarkdownText(text)) == lines


def test_end_of_markdown() -> None:
    """Of a long text only the last lines are shown."""
    assert shown(MarkdownText("- one\n- two\n- three", lines=2)) == [" • two", " • three"]


def test_thinking() -> None:
    """Thinking has a title, and a vertical line beside each of its lines."""
    assert shown(ThinkingText("thinking", "word " * 8)) == [
        "thinking",
        "│ word word word word word",
        "│ word word word",
    ]
    assert shown(ThinkingText("thinking", "one\n\ntwo\nthree", lines=2)) == ["thinking", "│ two", "│ three"]
