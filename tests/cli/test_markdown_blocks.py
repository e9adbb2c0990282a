"""Markdown cut into blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxollama.cli._markdown_blocks import Blocks, recent

CASES = {
    "paragraphs": (["One\nmore\n\n", "Two\n\n", "Three"], "One\nmore\n\nTwo\n\nThree"),
    "blank beginning": (["\n\n", "One"], "\n\nOne"),
    "brackets": (["One\n\n", "[list]"], "One\n\n[list]"),
    "list goes on": (["- one\n\n- two\n\n  more\n\n", "Three"], "- one\n\n- two\n\n  more\n\nThree"),
    "numbered list goes on": (["1. one\n\n2. two\n\n", "**Bold**"], "1. one\n\n2. two\n\n**Bold**"),
    "a number is no list": (["One\n\n", "17 × 23\n\n", "Two"], "One\n\n17 × 23\n\nTwo"),
    "code with blank lines": (["```python\na\n\nb\n```\n\n", "Two"], "```python\na\n\nb\n```\n\nTwo"),
    "longer fence": (["````\n```\n\nb\n````\n\n", "Two"], "````\n```\n\nb\n````\n\nTwo"),
    "tildes": (["~~~\n```\n\nb\n~~~\n\n", "Two"], "~~~\n```\n\nb\n~~~\n\nTwo"),
    "code in a list": (["- ```\n  a\n\nb\n  ```\n\n", "Two"], "- ```\n  a\n\nb\n  ```\n\nTwo"),
    "code on a line": (["```a```\n\n", "Two"], "```a```\n\nTwo"),
    "table": (["| a |\n|---|\n| b |\n\n", "Two"], "| a |\n|---|\n| b |\n\nTwo"),
}


@pytest.mark.parametrize(("expected", "text"), CASES.values(), ids=CASES)
def test_blocks(expected: list[str], text: str) -> None:
    """A block ends where nothing that follows can change it."""
    blocks = Blocks()

    assert [*blocks.feed(text), blocks.rest] == expected


@given(st.sampled_from([text for _, text in CASES.values()]), st.data())
def test_any_cut(text: str, data: st.DataObject) -> None:
    """However the text comes, the blocks are the same, and nothing is lost."""
    whole, cut = Blocks(), Blocks()
    expected = [*whole.feed(text), whole.rest]
    places = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[start:stop] for start, stop in zip([0, *places], [*places, len(text)], strict=True)]

    found = [block for piece in pieces for block in cut.feed(piece)]

    assert [*found, cut.rest] == expected


def test_early() -> None:
    """A block is handed out as soon as the next one has begun."""
    blocks = Blocks()

    assert blocks.feed("One\n\n") == []
    assert blocks.feed("T") == ["One\n\n"]


def test_tail() -> None:
    """Of a long block there is as much as a screen shows."""
    blocks = Blocks()
    blocks.feed("".join(f"line {number}\n" for number in range(100)) + "last")

    assert blocks.tail(2, 80) == "line 98\nline 99\nlast"


def test_tail_of_code() -> None:
    """The end of a long code block is still code."""
    blocks = Blocks()
    blocks.feed("Code:\n```python\n" + "pass\n" * 100)

    assert blocks.tail(3, 80) == "```python\npass\npass\npass\n"
    assert blocks.tail(101, 80).startswith("```python\npass\n")


def test_recent() -> None:
    """The end of a long text begins at the same place for a while."""
    text = "0123456789" * 3

    assert recent(text[:19], 10) == text[:19]
    assert recent(text[:20], 10) == text[10:20]
    assert recent(text[:29], 10) == text[10:29]
