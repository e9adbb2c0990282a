"""The framings of a body, cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxollama._http._framing import KnownLength, Unchunker, UntilClose

SIZES = st.sampled_from(["%x", "%X", "0%x", "000000000000000000%x", "%x ", "%x;a=b", '%X \t;q="x;y"', "%x;"])
CONTENTS = st.lists(
    st.tuples(SIZES, st.one_of(st.binary(min_size=1, max_size=40), st.sampled_from([b"\r\n", b"5\r\nHello\r\n"]))),
    max_size=12,
)
TRAILERS = st.sampled_from([b"", b"X: y\r\n", b"Expires: 1\r\nX-Empty:\r\n"])


def encoded(chunks: list[tuple[str, bytes]], last: str, trailer: bytes) -> bytes:
    """Return chunks as on the wire."""
    lines = [(size % len(content)).encode() + b"\r\n" + content + b"\r\n" for size, content in chunks]
    return b"".join(lines) + (last % 0).encode() + b"\r\n" + trailer + b"\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at some places."""
    at = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [piece for start, end in pairwise(at) if (piece := data[start:end])]


def fed(framing: Unchunker, pieces: list[bytes]) -> bytes:
    """Feed pieces until the body is over or faulty, and return the body."""
    body = b""
    for piece in pieces:
        body += framing.feed(piece)
        if framing.over or framing.fault:
            break
    return body


@given(CONTENTS, SIZES, TRAILERS, st.lists(st.integers(0, 10_000)))
def test_any_cut(chunks: list[tuple[str, bytes]], last: str, trailer: bytes, places: list[int]) -> None:
    """Every chunked body is read at every cut, and ends with its last byte."""
    framing = Unchunker()
    assert fed(framing, cut(encoded(chunks, last, trailer), places)) == b"".join(content for _, content in chunks)
    assert (framing.over, framing.has_surplus, framing.fault) == (True, False, "")


@given(CONTENTS, SIZES, TRAILERS, st.binary(min_size=1, max_size=9))
def test_surplus(chunks: list[tuple[str, bytes]], last: str, trailer: bytes, more: bytes) -> None:
    """Bytes behind the body in the same read are told, and are not part of it."""
    framing = Unchunker()
    assert framing.feed(encoded(chunks, last, trailer) + more) == b"".join(content for _, content in chunks)
    assert (framing.over, framing.has_surplus) == (True, True)


@pytest.mark.parametrize("more", [b"5\r\nHello\r\n", b"0\r\n\r\n", b"\r\n", b"x"])
def test_surplus_like_a_chunk(more: bytes) -> None:
    """The last chunk is the last, even if more chunks seem to follow."""
    framing = Unchunker()
    assert framing.feed(b"5\r\nFirst\r\n0\r\n\r\n" + more) == b"First"
    assert (framing.over, framing.has_surplus) == (True, True)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(
    "wire",
    [
        b"no size\r\n",
        b"\r\n",
        b"-5\r\nHello\r\n",
        b"+5\r\nHello\r\n",
        b"0x5\r\nHello\r\n",
        b"5_0\r\nHello\r\n",
        b" 5\r\nHello\r\n",
        b"5 5\r\nHello\r\n",
        b"f" * 16 + b"\r\n",
        b"5;a=\n\r\nHello\r\n",
        b"5\nHello\n0\n\n",
        b"0\r\nX: y\n\n",
        b"4\r\nHello\r\n",
        b"4\r\nHellooo\r\n0\r\n\r\n",
        b"5\r\nHello\rx0\r\n\r\n",
        b"0\r\nno field\r\n\r\n",
        b"0\r\n X: folded\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"1" * 100_000,
        b"0" * 100_000,
        b"5;" + b"x" * 100_000,
        b"0\r\nX: " + b"y" * 100_000,
        b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"0\r\n" + (b"X: " + b"y" * 5000 + b"\r\n") * 20 + b"\r\n",
    ],
    ids=lambda value: repr(value[:20]),
)
def test_faults(wire: bytes, single: bool) -> None:
    """Whatever is not the chunked coding is a fault, after the chunks before it."""
    framing = Unchunker()
    data = b"5\r\nFirst\r\n" + wire
    body = fed(framing, [data[at : at + 1] for at in range(len(data))] if single else [data])
    assert framing.fault
    assert not framing.over
    assert body.startswith(b"First")


def test_a_line_of_any_length_is_refused_early() -> None:
    """A size of 100 MB is refused with its first kilobytes, so that no more of it is read or kept."""
    framing = Unchunker()
    count = 0
    while not framing.fault:
        framing.feed(b"0" * 1000)
        count += 1
    assert count < 10


def test_sizes_without_a_body() -> None:
    """A size of many leading zeros is one, as long as its line is not too long."""
    framing = Unchunker()
    assert framing.feed(b"0" * 5000 + b"5\r\nHello\r\n") == b"Hello"
    assert not framing.over


@given(st.binary(max_size=50), st.binary(max_size=5), st.lists(st.integers(0, 100)))
def test_known_length(body: bytes, more: bytes, places: list[int]) -> None:
    """A body of a known length ends with its last byte at every cut."""
    framing, came = KnownLength(len(body)), b""
    pieces = cut(body, places)
    for piece in [*pieces[:-1], pieces[-1] + more] if pieces else []:
        assert not framing.over
        came += framing.feed(piece)
    assert came == body
    assert framing.over
    assert framing.has_surplus == bool(pieces and more)


def test_until_close() -> None:
    """A body without any length ends with the connection, and no other body does."""
    framings = (UntilClose(), KnownLength(3), Unchunker())
    for framing in framings:
        framing.feed(b"1")
        assert not framing.over
        framing.end()
    assert [framing.over for framing in framings] == [True, False, False]
