"""Growing Markdown, cut into blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxollama.cli._markdown_blocks import MarkdownBlocks, stable_end

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
    """A block ends where later text can no longer change it."""
    blocks = MarkdownBlocks()

    assert [*blocks.add(text), blocks.rest] == expected


@given(st.sampled_from([text for _, text in CASES.values()]), st.data())
def test_any_cut(text: str, data: st.DataObject) -> None:
    """The blocks do not depend on how the text is cut into pieces."""
    whole, cut = MarkdownBlocks(), MarkdownBlocks()
    expected = [*whole.add(text), whole.rest]
    places = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[start:stop] for start, stop in zip([0, *places], [*places, len(text)], strict=True)]

    found = [block for piece in pieces for block in cut.add(piece)]

    assert [*found, cut.rest] == expected


def test_early() -> None:
    """A block is finished as soon as the next one begins."""
    blocks = MarkdownBlocks()

    assert blocks.add("One\n\n") == []
    assert blocks.add("T") == ["One\n\n"]


def test_tail() -> None:
    """The tail of a long block fits the screen."""
    blocks = MarkdownBlocks()
    blocks.add("".join(f"line {number}\n" for number in range(100)) + "last")

    assert blocks.tail(2, 80) == "line 98\nline 99\nlast"


def test_tail_of_code() -> None:
    """The tail of a long code block starts with its fence."""
    blocks = MarkdownBlocks()
    blocks.add("Code:\n```python\n" + "pass\n" * 100)

    assert blocks.tail(3, 80) == "```python\npass\npass\npass\n"
    assert blocks.tail(101, 80).startswith("```python\npass\n")


def test_stable_end() -> None:
    """The start of the end moves once for every *size* characters."""
    text = "0123456789" * 3

    assert stable_end(text[:19], 10) == text[:19]
    assert stable_end(text[:20], 10) == text[10:20]
    assert stable_end(text[:29], 10) == text[10:29]
