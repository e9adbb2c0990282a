"""The server's repetition guard: an answer that ends early after 31 equal pieces."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from good_answers import good_answers
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from msgspec import json
from wire_cases import RECORDINGS, cut, decode, decoder_of, slices

from rxollama._wire import CHAT, GENERATE, PROGRESS, Kind, LineDecoder
from rxollama.errors import RepetitionError, TruncatedError
from rxollama.messages import ChatChunk

_STAMP = '{"model":"plain","created_at":"2026-11-22T11:22:01.357637382Z",'
_END = _STAMP + '"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n'


def said(text: str, thinking: str = "") -> bytes:
    """Return the record of a piece, in the form of a real server."""
    more = f',"thinking":{json.encode(thinking).decode()}' if thinking else ""
    content = json.encode(text).decode()
    return f'{_STAMP}"message":{{"role":"assistant","content":{content}{more}}},"done":false}}\n'.encode()


def continued(text: str) -> bytes:
    """Return the record of a piece of `generate`."""
    return f'{_STAMP}"response":{json.encode(text).decode()},"done":false}}\n'.encode()


def failure_after(pieces: Iterable[bytes], kind: Kind[ChatChunk] = CHAT) -> tuple[str, int]:
    """Return the name of the failure of a body, and the number of its records."""
    records, failure = decode(LineDecoder(kind), pieces)
    return failure[0].__name__ if failure else "", len(records)


_CALL = _STAMP.encode() + (
    b'"message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{}}}]},"done":false}\n'
)
_REPEATED = {
    "content": [said("It is"), *[said(" very")] * 31],
    "thinking": [said("", "Hm"), *[said("", " wait")] * 31],
    "trimmed": [said("-"), *[said(["very", " very", "very\n", "\tvery "][place % 4]) for place in range(31)]],
    "more than 31": [said("no")] * 40,
    "dashes": [said("|"), *[said("-")] * 31],
    "spaces within": [said("a"), *[said([" ", "\n"][place % 2]) for place in range(31)]],
    "spaces from the start": [said(" ")] * 30,
    "after a call": [_CALL, *[said("x")] * 31],
    "thinking, then content": [*[said("", "so")] * 20, *[said("so")] * 11],
    "without the last newline": [*[said("so")] * 30, said("so")[:-1]],
}
_NOT_REPEATED = {
    "30 only": [said("It is"), *[said(" very")] * 30],
    "spaces, 29 only": [said(" ")] * 29,
    "spaces within, 30 only": [said("a"), *[said(" ")] * 30],
    "another at the end": [*[said("very")] * 31, said("good")],
    "one piece differs": [*[said("very")] * 15, said("quite"), *[said("very")] * 15],
    "an empty piece within": [*[said("very")] * 15, said(""), *[said("very")] * 15],
    "nothing but empty pieces": [said("")] * 40,
    "a call at the end": [*[said("very")] * 31, _CALL],
    "within a record": [*[said("very")] * 31, said("very")[:40]],
    "no record": [],
}


@pytest.mark.parametrize("lines", _REPEATED.values(), ids=_REPEATED)
def test_repeated(lines: list[bytes]) -> None:
    """An answer that ends early after 31 equal pieces was ended by the guard, however the body is cut."""
    body = b"".join(lines)

    assert [("RepetitionError", len(lines))] * 4 == [
        failure_after(pieces) for pieces in ([body], lines, slices(body, 1), slices(body, 300))
    ]


@pytest.mark.parametrize("lines", _NOT_REPEATED.values(), ids=_NOT_REPEATED)
def test_not_repeated(lines: list[bytes]) -> None:
    """Any other answer that ends early is truncated."""
    body = b"".join(lines)
    failures = {failure_after(pieces)[0] for pieces in ([body], lines, slices(body, 1), slices(body, 300))}

    assert {"TruncatedError"} == failures


@pytest.mark.parametrize("lines", _REPEATED.values(), ids=_REPEATED)
def test_whole_answer(lines: list[bytes]) -> None:
    """A loop is no error where the answer has its last record."""
    whole = [line.rstrip() + b"\n" for line in lines]

    assert ("", len(lines) + 1) == failure_after([*whole, _END.encode()])


def test_long_reads() -> None:
    """Reads of many records are looked at from their ends."""
    few = [b"".join([said("well")] * 50 + [said("so")] * 20), said("so") * 10]

    assert ("TruncatedError", 80) == failure_after(few)
    assert ("RepetitionError", 81) == failure_after([*few, said("so")])


def test_generate() -> None:
    """The texts of `generate` count as well."""
    assert ("RepetitionError", 31) == failure_after([continued(" no")] * 31, GENERATE)
    assert ("TruncatedError", 30) == failure_after([continued(" no")] * 30, GENERATE)


def test_progress() -> None:
    """A pull repeats its status, and that is truncated if it ends early."""
    _, failure = decode(LineDecoder(PROGRESS), [b'{"status":"pulling manifest"}\n' * 40])

    assert failure is not None
    assert TruncatedError is failure[0]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Well: " + "no, " * 31, "RepetitionError"),
        ("so\n" * 31, "RepetitionError"),
        ("A" * 31, "RepetitionError"),
        ("The sky " + "é" * 31, "RepetitionError"),
        ("no " * 30, "TruncatedError"),
        ("| a | b |\n|" + "-" * 80, "TruncatedError"),
        ("=" * 500, "TruncatedError"),
        ("_" * 500, "TruncatedError"),
        ("_a" * 31, "RepetitionError"),
        ("- - " * 40, "TruncatedError"),
        ("one two " * 31, "TruncatedError"),
        ("so " * 31 + "it ends", "TruncatedError"),
        (" " * 2000, "TruncatedError"),
        ("a-b" * 20_000, "RepetitionError"),
        ("", "TruncatedError"),
    ],
)
def test_in_one_record(text: str, name: str) -> None:
    """An answer without streaming has no pieces: only one word again and again counts, and no punctuation."""
    assert (name, 1) == failure_after([said(text).rstrip()])
    assert (name, 1) == failure_after(slices(said("", text), 7))


@st.composite
def _pieces(draw: DrawFn) -> list[str]:
    """Draw the pieces of an answer, with a run of equal ones at its end."""
    few = draw(st.lists(st.sampled_from(["so", " so", "so\n", "", " ", "well"]), max_size=12))
    return few + [draw(st.sampled_from(["so", " "]))] * draw(st.integers(0, 40))


@given(texts=_pieces(), places=st.lists(st.integers(0, 6000), max_size=8))
@settings(deadline=None)
def test_law(texts: list[str], places: list[int]) -> None:
    """The failure is what the guard's own count gives, for any texts and any cut."""
    body = b"".join(map(said, texts))
    last, count = "", 0
    for text in texts:
        count = count + 1 if text.strip() == last else 0
        last = text.strip()
    # The guard ends the answer at the next equal piece. For a record without text it may have seen another.
    is_repeated = count >= 30 and all(texts[-31:])

    name, _ = failure_after(cut(body, places))
    assert name == ("RepetitionError" if is_repeated else "TruncatedError")


def test_good_answers() -> None:
    """No complete answer is taken for a repetition, whatever it repeats at its end."""
    for place, text in enumerate(good_answers(5_000)):
        size = 1 + place % 6
        end = text[-60 * size :]
        lines = [said(end[start : start + size]) for start in range(0, len(end), size)]

        assert ("", len(lines) + 1) == failure_after([b"".join(lines), _END.encode()])


@pytest.mark.parametrize("name", [name for name, recording in RECORDINGS.items() if recording.status == 200])
def test_recordings(name: str) -> None:
    """No recorded answer of a real server is taken for a repetition, wherever it ends early."""
    recording = RECORDINGS[name]
    lines = recording.body.splitlines(keepends=True)

    for count in range(0, len(lines), max(1, len(lines) // 100)):
        _, failure = decode(decoder_of(recording)(), lines[:count])
        assert failure is None or failure[0] is not RepetitionError
