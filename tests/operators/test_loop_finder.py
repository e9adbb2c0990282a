"""Loops are found in a text exactly where they are, in linear time and bounded memory."""

from __future__ import annotations

import tracemalloc
from itertools import accumulate

import pytest
from good_answers import good_answers
from hypothesis import given
from hypothesis import strategies as st

from rxollama.operators._loop_finder import Loop, LoopFinder, loop_at_end

SIZE = 4096
SENTENCE = "I will now look at the file again. "


def expected_loop(text: str, size: int) -> Loop | None:
    """Return the loop at the end of a text by the definition: the shortest phrase that repeats for long enough."""
    for period in range(1, min(size, len(text)) + 1):
        phrase = text[-period:]
        letters = len({char for char in phrase if char.isalpha()})
        length = max(4 * period, size if letters >= 4 else 4 * size)
        end = text[-length:]
        if len(end) == length and end[period:] == end[:-period]:
            return Loop(period, length // period)
    return None


PHRASES = st.text("ab", min_size=1, max_size=5) | st.text("abcde -", min_size=1, max_size=12)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Draw a text that may repeat a phrase at its end, or nearly there."""
    before, after = draw(st.text("abcd", max_size=20)), draw(st.text("abcd", max_size=3))
    return before + draw(PHRASES) * draw(st.integers(1, 40)) + after


@given(texts(), st.integers(1, 24))
def test_definition(text: str, size: int) -> None:
    """A loop is found if and only if there is one, with its shortest phrase."""
    assert loop_at_end(text, size) == expected_loop(text, size)
    assert loop_at_end(text[-4 * size :], size) == expected_loop(text, size)


def found_after(text: str, cuts: list[int], size: int) -> int | None:
    """Return how many characters of a text were there when a loop was found; None if none was."""
    finder = LoopFinder(size)
    at = 0
    for cut in (*sorted(cuts), len(text)):
        if finder.add(text[at:cut]) is not None:
            return cut
        at = cut
    return None


@given(texts(), st.integers(1, 24), st.lists(st.integers(0, 300), max_size=20))
def test_any_cut(text: str, size: int, cuts: list[int]) -> None:
    """However a text is cut, the loop is found with the part in which it is complete."""
    cuts = [min(cut, len(text)) for cut in cuts]
    one_by_one = found_after(text, [*range(len(text))], size)
    found = found_after(text, cuts, size)

    if one_by_one is None:
        assert found is None
    else:
        assert found == min(cut for cut in [*cuts, len(text)] if cut >= one_by_one)


@pytest.mark.parametrize(
    ("phrase", "length"),
    [
        (SENTENCE, SIZE),
        ("wait, ", SIZE),
        ("我不知道。", SIZE),
        ("null, ", 4 * SIZE),
        ("ha ", 4 * SIZE),
        ("-", 4 * SIZE),
        ("0, 0, 0\n", 4 * SIZE),
        ("".join(f"{number} parts " for number in range(350)), SIZE),
    ],
)
def test_where_it_is_found(phrase: str, length: int) -> None:
    """A loop is found once it fills its number of characters, and at most a quarter of the size later."""
    length = max(length, 4 * len(phrase))
    assert LoopFinder(SIZE).add("Well. " + (phrase * 2 * length)[: length - 10]) is None

    looping = "Well. " + (phrase * 2 * length)[: length + SIZE // 4]
    loop = LoopFinder(SIZE).add(looping)
    assert loop is not None
    assert loop.period == len(phrase)
    assert loop.times >= 4


def test_phrase_that_is_too_long() -> None:
    """A phrase of more characters than the size is not followed."""
    phrase = "".join(f"{number} parts " for number in range(500))

    assert len(phrase) > SIZE
    assert LoopFinder(SIZE).add(phrase * 20) is None


def test_no_false_alarm() -> None:
    """None of 5,000 good answers is a loop, though nearly all of them repeat something."""
    loops = [text[-80:] for text in good_answers(5_000) if LoopFinder(SIZE).add(text) is not None]

    assert loops == []


def test_every_good_answer_that_goes_on_in_circles() -> None:
    """A loop is found behind each kind of good answer."""
    looping = [text + SENTENCE * 160 for text in good_answers(200)]

    assert all(LoopFinder(SIZE).add(text) is not None for text in looping)


@pytest.mark.parametrize("part", ["-", "ab", SENTENCE, "x" * 5000])
def test_work_is_linear(part: str) -> None:
    """The texts that are looked at are together a constant times as long as what arrived."""
    looked: list[int] = []

    def look(text: str, size: int) -> None:
        assert size == SIZE
        looked.append(len(text))

    finder = LoopFinder(SIZE, look)
    lengths = [*accumulate(len(part) for _ in range(150_000 // len(part)))]
    for _ in lengths:
        finder.add(part)

    assert len(looked) == (lengths[-1] - SIZE) // (SIZE // 4) + 1
    assert max(looked) == 4 * SIZE
    assert sum(looked) <= 16 * lengths[-1]


def test_memory_is_bounded() -> None:
    """A text of a million characters is not kept."""
    finder = LoopFinder(SIZE, lambda _, __: None)
    tracemalloc.start()
    try:
        for number in range(100_000):
            finder.add(f"{number:10}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 400_000
