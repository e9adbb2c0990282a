"""The pieces of a reply's body, each with its moment, and functions that rearrange them."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec


class Piece(msgspec.Struct, frozen=True, gc=False):
    """
    Bytes that are sent in one write.

    Attributes:
        data: The bytes. Empty to send only the headers, if they were not sent yet.
        wait: The seconds from the moment of the previous piece to the moment of this one.

    .. versionadded:: 0.1
    """

    data: bytes
    wait: float = 0.0


Pieces: TypeAlias = tuple[Piece, ...]

# The formats by the numbers of zlib: https://docs.python.org/3/library/zlib.html#zlib.compressobj
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


def size(pieces: Pieces) -> int:
    """Return the number of bytes of all pieces."""
    return sum(len(piece.data) for piece in pieces)


def first_bytes(pieces: Pieces, count: int) -> Pieces:
    """Return the pieces up to a number of bytes. The last one may be cut short."""
    kept: list[Piece] = []
    for piece in pieces:
        if count <= 0:
            break
        kept.append(Piece(piece.data[:count], piece.wait))
        count -= len(piece.data)
    return tuple(kept)


def paused(pieces: Pieces, seconds: float) -> Pieces:
    """Return the pieces with the same pause before every piece except the first."""
    return pieces[:1] + tuple(Piece(piece.data, seconds) for piece in pieces[1:])


def recut(pieces: Pieces, sizes: int | Iterable[int]) -> Pieces:
    """Return the same bytes in other pieces, each at the moment of its last byte."""
    body = b"".join(piece.data for piece in pieces)
    ends = list(itertools.accumulate(len(piece.data) for piece in pieces))
    moments = list(itertools.accumulate(piece.wait for piece in pieces))
    fresh: list[Piece] = []
    start = index = 0
    clock = 0.0
    for stop in _stops(sizes, len(body)):
        while ends[index] < stop:
            index += 1
        fresh.append(Piece(body[start:stop], moments[index] - clock))
        start, clock = stop, moments[index]
    return tuple(fresh)


def _stops(sizes: int | Iterable[int], total: int) -> Iterator[int]:
    stop = 0
    for length in itertools.repeat(sizes) if isinstance(sizes, int) else sizes:
        if length < 1:
            raise ValueError(f"sizes: expected at least one byte per piece, got {length}")
        if stop >= total:
            return
        stop = min(stop + length, total)
        yield stop
    if stop < total:
        yield total


def compressed(pieces: Pieces, encoding: Literal["gzip", "deflate"]) -> Pieces:
    """Return the pieces compressed one by one, so that each can be read when it arrives."""
    engine = zlib.compressobj(wbits=_WINDOW_BITS[encoding])
    fresh = [Piece(engine.compress(piece.data) + engine.flush(zlib.Z_SYNC_FLUSH), piece.wait) for piece in pieces]
    last = fresh.pop() if fresh else Piece(b"")
    return (*fresh, Piece(last.data + engine.flush(), last.wait))


def timed(reads: Sequence[tuple[int, bytes]], head_ns: int, speed: float | None) -> Pieces:
    """Return recorded reads as pieces. Headers that came before the body come before it again."""
    ahead = [(head_ns, b"")] if reads and head_ns < reads[0][0] else []
    clock = 0
    fresh: list[Piece] = []
    for moment, data in [*ahead, *reads]:
        fresh.append(Piece(data, seconds(moment - clock, speed)))
        clock = moment
    return tuple(fresh)


def seconds(nanoseconds: int, speed: float | None) -> float:
    """Return recorded nanoseconds as seconds at a speed. None is without pauses."""
    return 0.0 if speed is None else max(0.0, nanoseconds / 1e9 / speed)
