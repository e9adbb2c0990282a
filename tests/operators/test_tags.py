"""A text with tags is split the same way, wherever it is cut."""

from __future__ import annotations

from itertools import chain, pairwise, product
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rxollama.operators._tags import CONTENT, THINKING, Kind, Piece, TagSplitter


class Mode(NamedTuple):
    """The arguments of a splitter."""

    start: str = "<think>"
    end: str = "</think>"
    inside: bool = False
    first_only: bool = False

    def splitter(self) -> TagSplitter:
        """Return a splitter."""
        return TagSplitter(self.start, self.end, inside=self.inside, first_only=self.first_only)


THINK = Mode()
FIRST = Mode(first_only=True)
INSIDE = Mode(inside=True)

TAGS = [
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel>thought\n", "<channel|>"),
    ("aab", "aba"),
    ("***", "***"),
    ("<", ">"),
    ("\n<t", "t\n"),
]
MODES = st.sampled_from([Mode(*tags, *flags) for tags in TAGS for flags in product([False, True], repeat=2)])
# Few letters, all of them from the tags, so that halves of tags are common.
FRAGMENTS = ["<", ">", "</", "<think", "think", "a", "b", "ab", "*", "**", " ", "\n", "\n<t", "é", *chain(*TAGS)]
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=24).map("".join)


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Draw a text, and the same text cut anywhere."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    return text, [text[start:stop] for start, stop in pairwise([0, *cuts, len(text)])]


def split(mode: Mode, texts: list[str]) -> list[Piece]:
    """Return the pieces of a text that comes in parts."""
    splitter = mode.splitter()
    pieces = [piece for text in texts for piece in splitter.feed(text)]
    return pieces + splitter.flush()


def sides(pieces: list[Piece]) -> tuple[str, str]:
    """Return the joined text outside the tags, and that between them."""
    content = "".join(text for kind, text in pieces if kind == CONTENT)
    return content, "".join(text for kind, text in pieces if kind == THINKING)


def whole(mode: Mode, text: str) -> tuple[str, str]:
    """Return the two sides of a whole text, by another algorithm than the splitter's."""
    content = thinking = ""
    if mode.inside:
        thinking, _, text = text.partition(mode.end)
        if mode.first_only:
            return text, thinking
    while mode.start in text:
        before, _, after = text.partition(mode.start)
        if mode.first_only and before.strip():
            break
        inner, _, text = after.partition(mode.end)
        content, thinking = content + before, thinking + inner
        if mode.first_only:
            break
    return content + text, thinking


@given(MODES, cut_texts())
@example(Mode(inside=True, first_only=True), ("a</think>b", ["a</", "think>b"]))
@example(FIRST, ("a <think>", ["a <", "think>"]))
def test_any_cut(mode: Mode, texts: tuple[str, list[str]]) -> None:
    """Both sides of a text are those of the whole text, for any cut."""
    text, parts = texts

    assert whole(mode, text) == sides(split(mode, parts)) == sides(split(mode, [text]))


@given(st.lists(st.text("<>/thin"), min_size=1, max_size=8), st.booleans(), st.data())
def test_nothing_lost(between: list[str], inside: bool, data: st.DataObject) -> None:
    """The texts between and around tags come out in order, and only the tags are removed."""
    kinds: list[Kind] = [THINKING, CONTENT] if inside else [CONTENT, THINKING]
    put: list[Piece] = [(kinds[place % 2], text) for place, text in enumerate(between)]
    text = between[0]
    for kind, part in put[1:]:
        text += (THINK.start if kind == THINKING else THINK.end) + part
    cut = data.draw(st.integers(0, len(text)))

    splitter = Mode(inside=inside).splitter()
    got = [*splitter.feed(text[:cut]), *splitter.feed(text[cut:]), *splitter.flush()]

    assert sides([(kind, part) for kind, part in put if part]) == sides(got)


@given(MODES, cut_texts())
def test_holds_little(mode: Mode, texts: tuple[str, list[str]]) -> None:
    """At any time less than one tag is held back, and no piece is empty."""
    splitter = mode.splitter()
    for part in texts[1]:
        pieces = splitter.feed(part)

        assert len(splitter.held) < max(len(mode.start), len(mode.end))
        assert all(text for _, text in pieces)


def test_hostile_text() -> None:
    """A long text of beginnings of tags is split, whole or in single characters."""
    text = "<" * 100_000

    assert THINK.splitter().feed(text) == [(CONTENT, text[:-1])]
    assert sides(split(THINK, list(text))) == (text, "")
    assert sides(split(THINK, ["<think></think>" * 50_000])) == ("", "")


@pytest.mark.parametrize(
    ("mode", "texts", "expected"),
    [
        (THINK, ["Hello"], [(CONTENT, "Hello")]),
        (THINK, ["<think>Hm</think>Yes"], [(THINKING, "Hm"), (CONTENT, "Yes")]),
        (THINK, ["a<think>b</think>c<think>d</think>"], [*zip([CONTENT, THINKING] * 2, "abcd", strict=True)]),
        (THINK, ["a", "<", "b"], [(CONTENT, "a"), (CONTENT, "<b")]),
        (THINK, ["a <"], [(CONTENT, "a "), (CONTENT, "<")]),
        (THINK, ["<think>a</thi"], [(THINKING, "a"), (THINKING, "</thi")]),
        (THINK, ["<think>never closed"], [(THINKING, "never closed")]),
        (THINK, ["<think>a<think>b</think>"], [(THINKING, "a<think>b")]),
        (THINK, ["a</think>b"], [(CONTENT, "a</think>b")]),
        (THINK, ["<<think>"], [(CONTENT, "<")]),
        (THINK, ["", "a", ""], [(CONTENT, "a")]),
        (INSIDE, ["Hm</think>Yes"], [(THINKING, "Hm"), (CONTENT, "Yes")]),
        (INSIDE, ["a</think>b<think>c"], [(THINKING, "a"), (CONTENT, "b"), (THINKING, "c")]),
        (FIRST, [" \n<thi", "nk>a</think>b"], [(CONTENT, " \n"), (THINKING, "a"), (CONTENT, "b")]),
        (FIRST, ["\n", "<think>a"], [(CONTENT, "\n"), (THINKING, "a")]),
        (FIRST, ["To <think>"], [(CONTENT, "To <think>")]),
        (FIRST, ["To <thi", "nk>"], [(CONTENT, "To <thi"), (CONTENT, "nk>")]),
        (FIRST, ["<think>a</think> <think>"], [(THINKING, "a"), (CONTENT, " <think>")]),
        (Mode(inside=True, first_only=True), ["a</think>", "<think>b"], [(THINKING, "a"), (CONTENT, "<think>b")]),
    ],
)
def test_pieces(mode: Mode, texts: list[str], expected: list[Piece]) -> None:
    """A text is released as soon as it is decided, and only what may become a tag is held back."""
    assert split(mode, texts) == expected


def test_flush_is_no_tag() -> None:
    """Text that is flushed is not a tag, and the text after it is not the first in the message."""
    splitter = FIRST.splitter()

    assert splitter.feed("<thi") == []
    assert splitter.flush() == [(CONTENT, "<thi")]
    assert splitter.flush() == []
    assert splitter.feed("<think>") == [(CONTENT, "<think>")]


def test_restart() -> None:
    """Another text starts without the held text of the one before."""
    splitter = INSIDE.splitter()
    splitter.feed("a</think>b<")
    splitter.restart()

    assert splitter.held == ""
    assert splitter.feed("c") == [(THINKING, "c")]
