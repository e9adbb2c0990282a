"""Pieces of an answer's body, each with its moment, and the pure ways to rearrange them."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec


class Piece(msgspec.Struct, frozen=True, gc=False):
    """
    Bytes that go onto the wire in one write.

    Attributes:
        data: The bytes; none at all sends just the headers, if they are still to be sent.
        wait: Seconds between the moment the piece before was due and the moment this one is.

    .. versionadded:: 0.1
    """

    data: bytes
    wait: float = 0.0


Pieces: TypeAlias = tuple[Piece, ...]

# What zlib calls the two formats: https://docs.python.org/3/library/zlib.html#zlib.compressobj
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


def size(pieces: Pieces) -> int:
    """Count the bytes of all pieces."""
    return sum(len(piece.data) for piece in pieces)


def first_bytes(pieces: Pieces, count: int) -> Pieces:
    """Keep the pieces that hold the first so many bytes, the last of them cut short if need be."""
    kept: list[Piece] = []
    for piece in pieces:
        if count <= 0:
            break
        kept.append(Piece(piece.data[:count], piece.wait))
        count -= len(piece.data)
    return tuple(kept)


def paused(pieces: Pieces, seconds: float) -> Pieces:
    """Put the same pause before every piece but the first."""
    return pieces[:1] + tuple(Piece(piece.data, seconds) for piece in pieces[1:])


def recut(pieces: Pieces, sizes: int | Iterable[int]) -> Pieces:
    """Cut the same bytes elsewhere; a new piece is due with the last of its bytes."""
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
            raise ValueError(f"a piece must have at least one byte, not {length}")
        if stop >= total:
            return
        stop = min(stop + length, total)
        yield stop
    if stop < total:
        yield total


def compressed(pieces: Pieces, encoding: Literal["gzip", "deflate"]) -> Pieces:
    """Compress the pieces one by one, so that each can be read as soon as it came."""
    engine = zlib.compressobj(wbits=_WINDOW_BITS[encoding])
    fresh = [Piece(engine.compress(piece.data) + engine.flush(zlib.Z_SYNC_FLUSH), piece.wait) for piece in pieces]
    last = fresh.pop() if fresh else Piece(b"")
    return (*fresh, Piece(last.data + engine.flush(), last.wait))


def timed(reads: Sequence[tuple[int, bytes]], head_ns: int, speed: float | None) -> Pieces:
    """Turn recorded moments into waits; where the headers came ahead of the body they do so again."""
    ahead = [(head_ns, b"")] if reads and head_ns < reads[0][0] else []
    clock = 0
    fresh: list[Piece] = []
    for moment, data in [*ahead, *reads]:
        fresh.append(Piece(data, seconds(moment - clock, speed)))
        clock = moment
    return tuple(fresh)


def seconds(nanoseconds: int, speed: float | None) -> float:
    """Convert recorded nanoseconds to seconds at a speed; ``None`` is as fast as it goes."""
    return 0.0 if speed is None else max(0.0, nanoseconds / 1e9 / speed)
