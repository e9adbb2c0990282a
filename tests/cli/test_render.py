"""How words look on the terminal."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console, RenderableType

from rxollama.cli._output import clean
from rxollama.cli._render import Prose, Thoughts


def shown(renderable: RenderableType) -> list[str]:
    """Show something on a narrow screen, and return its lines."""
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
def test_prose(text: str, lines: list[str]) -> None:
    """Markdown is laid out; what looks like HTML is text, an address is seen, and no blank line stands around it."""
    assert shown(Prose(text)) == lines


def test_end_of_prose() -> None:
    """Of a long piece, the last lines can be had."""
    assert shown(Prose("- one\n- two\n- three", lines=2)) == [" • two", " • three"]


def test_thoughts() -> None:
    """Thinking has a title, and a rule beside it, however often it wraps."""
    assert shown(Thoughts("thinking", "word " * 8)) == [
        "thinking",
        "│ word word word word word",
        "│ word word word",
    ]
    assert shown(Thoughts("thinking", "one\n\ntwo\nthree", lines=2)) == ["thinking", "│ two", "│ three"]


def test_clean() -> None:
    """What would steer the terminal is taken out."""
    assert clean("a\x1b[31mred\x07\x9b1m\r\n\tb\x7f") == "a[31mred1m\n\tb"
