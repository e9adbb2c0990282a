"""Helpers of the wire tests: recordings, cut bodies, and their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from rxollama._wire import (
    CHAT,
    GENERATE,
    PROGRESS,
    BodyDecoder,
    Decoder,
    LineDecoder,
    read_body,
    read_models,
    read_nothing,
    read_running,
    read_version,
)
from rxollama.errors import StreamError
from rxollama.messages import ChatChunk, Embeddings, ModelCard
from rxollama.testing import Recording

__all__ = (
    "DECODERS",
    "RECORDINGS",
    "Outcome",
    "chat",
    "cut",
    "cuts",
    "decode",
    "decoder_of",
    "every_cut",
    "failure_of",
    "slices",
)

RECORDINGS = Recording.load_all(Path(__file__).parent / "recordings")

DECODERS: dict[str, Callable[[], Decoder[Any]]] = {
    "/api/chat": lambda: LineDecoder(CHAT),
    "/api/generate": lambda: LineDecoder(GENERATE),
    "/api/pull": lambda: LineDecoder(PROGRESS),
    "/api/push": lambda: LineDecoder(PROGRESS),
    "/api/create": lambda: LineDecoder(PROGRESS),
    "/api/embed": lambda: BodyDecoder(read_body(Embeddings)),
    "/api/show": lambda: BodyDecoder(read_body(ModelCard)),
    "/api/tags": lambda: BodyDecoder(read_models),
    "/api/ps": lambda: BodyDecoder(read_running),
    "/api/version": lambda: BodyDecoder(read_version),
    "/api/copy": lambda: BodyDecoder(read_nothing),
    "/api/delete": lambda: BodyDecoder(read_nothing),
}
"""The decoder of each endpoint."""


class Outcome(NamedTuple):
    """The result of a body: its records, and the failure's type and attributes."""

    records: list[Any]
    failure: tuple[type[StreamError], tuple[object, ...], dict[str, Any]] | None


def decoder_of(recording: Recording) -> Callable[[], Decoder[Any]]:
    """Return the decoder of a recording."""
    return DECODERS[recording.request.path]


def decode(decoder: Decoder[Any], pieces: Iterable[bytes]) -> Outcome:
    """Feed a decoder and return its records, none of which may follow a failure."""
    records: list[Any] = []
    for piece in pieces:
        failed = decoder.failure is not None
        handed_out = decoder.feed(piece)
        assert not (failed and handed_out)
        records += handed_out
    records += decoder.flush()
    assert decoder.over
    assert decoder.flush() == []
    failure = decoder.failure
    return Outcome(records, None if failure is None else (type(failure), failure.args, vars(failure)))


def chat(body: bytes) -> list[ChatChunk]:
    """Decode a complete chat, with the same result in one piece and byte by byte."""
    whole = decode(LineDecoder(CHAT), [body])
    assert whole == decode(LineDecoder(CHAT), slices(body, 1))
    assert whole.failure is None
    return whole.records


def failure_of(decoder: Decoder[Any], body: bytes) -> StreamError:
    """Decode an incomplete body, and return the failure."""
    decoder.feed(body)
    decoder.flush()
    assert decoder.failure is not None
    return decoder.failure


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut a body at these positions."""
    bounds = [0, *sorted(min(place, len(body)) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


def slices(body: bytes, size: int) -> list[bytes]:
    """Cut a body into pieces of one size."""
    return [body[start : start + size] for start in range(0, len(body), size)]


def every_cut(body: bytes) -> Iterator[list[bytes]]:
    """Cut a body in two, at each position."""
    return ([body[:place], body[place:]] for place in range(len(body) + 1))


def cuts() -> SearchStrategy[list[int]]:
    """Draw positions to cut at."""
    return st.lists(st.integers(0, 400), max_size=8)
