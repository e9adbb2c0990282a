"""The decoding of a body in several ways, which must agree."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import cache
from random import Random
from typing import Any, NamedTuple, TypeAlias

# The decoders are private, and they are what is fuzzed: through a socket it would take days.
from rxollama._wire import (
    CHAT,
    GENERATE,
    MAX_LINE,
    PROGRESS,
    BodyDecoder,
    Decoder,
    Kind,
    LineDecoder,
    read_body,
    read_models,
    read_nothing,
    read_running,
    read_version,
    status_error,
)
from rxollama.errors import RxOllamaError
from rxollama.messages import Embeddings, ModelCard

__all__ = (
    "MismatchError",
    "Outcome",
    "are_equal",
    "check_decoding",
    "cut_randomly",
    "decode",
    "decoder_factory",
    "is_streamed",
)

Make: TypeAlias = Callable[[], Decoder[Any]]

_LINES: dict[str, Kind[Any]] = {
    "/api/chat": CHAT,
    "/api/generate": GENERATE,
    "/api/pull": PROGRESS,
    "/api/push": PROGRESS,
    "/api/create": PROGRESS,
}
_BODIES: dict[str, Callable[[bytes], Any]] = {
    "/api/embed": read_body(Embeddings),
    "/api/show": read_body(ModelCard),
    "/api/tags": read_models,
    "/api/ps": read_running,
    "/api/version": read_version,
    "/api/copy": read_nothing,
    "/api/delete": read_nothing,
}
_BYTE_BY_BYTE = 1000
_CUTS = 3
_REFUSALS = (301, 400, 401, 403, 404, 429, 500, 503, 599)


class MismatchError(Exception):
    """A violation of a property of the decoders."""


class Outcome(NamedTuple):
    """The result of decoding a body: its records, and the name and message of the failure."""

    records: list[Any]
    failure: str
    message: str = ""


def is_streamed(path: str) -> bool:
    """Return whether an endpoint answers with lines."""
    return path in _LINES


def decoder_factory(path: str, max_line: int = MAX_LINE) -> Make:
    """Return a function that builds the decoder of an endpoint's answer."""
    if path in _LINES:
        return lambda: LineDecoder(_LINES[path], max_line=max_line)
    return lambda: BodyDecoder(_BODIES[path], max_line=max_line)


def decode(decoder: Decoder[Any], pieces: Iterable[bytes], *, ends: bool = True) -> Outcome:
    """Decode the pieces of a body. *ends* is whether the body ends properly."""
    records: list[Any] = []
    for piece in pieces:
        records += decoder.feed(piece)
    if ends:
        records += decoder.flush()
    failure = decoder.failure
    return Outcome(records, type(failure).__name__ if failure else "", str(failure or ""))


def are_equal(one: Outcome, other: Outcome) -> bool:
    """Return whether two results are equal. Their reprs are compared as well, because NaN is not equal to itself."""
    return one == other or repr(one) == repr(other)


def cut_randomly(body: bytes, random: Random) -> list[bytes]:
    """Return a body in a few pieces of random sizes."""
    places = sorted(random.randrange(len(body) + 1) for _ in range(random.choice((1, 2, 5, 40))))
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


def _line_by_line(make: Make, body: bytes) -> Outcome:
    """Decode each line with a new decoder, up to the first one that fails or is the last."""
    records: list[Any] = []
    *lines, rest = body.split(b"\n")
    for line in lines:
        decoder = make()
        alone = decode(decoder, [line + b"\n"], ends=False)
        records += alone.records
        if decoder.over:
            return Outcome(records, alone.failure, alone.message)
    alone = decode(make(), [rest])
    return Outcome(records + alone.records, alone.failure, alone.message)


def _whole_lines_kept(body: bytes, original: bytes) -> bytes:
    """Return the whole lines at the beginning that two bodies have in common."""
    shorter = range(min(len(body), len(original)))
    same = bisect_left(shorter, True, key=lambda at: body[: at + 1] != original[: at + 1])
    common = body[:same]
    return common[: common.rfind(b"\n") + 1]


def check_decoding(path: str, body: bytes, original: bytes, max_line: int, random: Random) -> Outcome:
    """
    Decode a body in several ways, and compare the results.

    Args:
        path: The endpoint.
        body: The body.
        original: The body of a real server from which it was mutated.
        max_line: The largest size of a record.
        random: The source of the cuts.

    Returns:
        The result.

    Raises:
        MismatchError: If two results differ.
    """
    make = decoder_factory(path, max_line)
    whole = decode(make(), [body])
    cuts = [cut_randomly(body, random) for _ in range(_CUTS)]
    if len(body) <= _BYTE_BY_BYTE:
        cuts.append([body[at : at + 1] for at in range(len(body))])
    for pieces in cuts:
        if not are_equal(whole, outcome := decode(make(), pieces)):
            raise MismatchError(
                f"depends on the cuts: whole {_described(whole)}; in {len(pieces)} pieces {_described(outcome)}"
            )
    if is_streamed(path):
        if not are_equal(whole, outcome := _line_by_line(make, body)):
            raise MismatchError(f"whole {_described(whole)}; line by line {_described(outcome)}")
        kept = decode(make(), [_whole_lines_kept(body, original)], ends=False).records
        if not are_equal(Outcome(whole.records[: len(kept)], ""), Outcome(kept, "")):
            raise MismatchError(f"{len(kept)} records were whole before the mutation; got {_described(whole)}")
        _check_truncated(path, max_line, original, random)
    error: object = status_error(random.choice(_REFUSALS), _headers(body, random), body)
    if not isinstance(error, RxOllamaError) or not str(error):
        raise MismatchError(f"an error status became {error!r}")
    return whole


@cache
def _original_outcome(path: str, max_line: int, original: bytes) -> Outcome:
    return decode(decoder_factory(path, max_line)(), [original])


def _check_truncated(path: str, max_line: int, original: bytes, random: Random) -> None:
    """Check that a valid answer that ends too early is a truncated one."""
    good = _original_outcome(path, max_line, original)
    beginning = original[: random.randrange(len(original) + 1)]
    outcome = decode(decoder_factory(path, max_line)(), [beginning])
    # A beginning that holds the last record ends like the whole recording.
    if outcome.failure not in {"TruncatedError", good.failure}:
        raise MismatchError(f"the first {len(beginning)} bytes of the recording decode to {_described(outcome)}")
    if not are_equal(Outcome(good.records[: len(outcome.records)], ""), Outcome(outcome.records, "")):
        raise MismatchError(f"the first {len(beginning)} bytes of the recording decode to other records")


def _headers(body: bytes, random: Random) -> dict[str, str]:
    names = ("content-type", "location", "retry-after", "date")
    start = random.randrange(len(body) + 1)
    values = (body[start : start + 30].decode("latin-1"), "text/html", "1e9", "Wed, 21 Oct 2015 07:28:00 GMT", "7")
    return {name: random.choice(values) for name in names}


def _described(outcome: Outcome) -> str:
    return f"{len(outcome.records)} records and {outcome.failure or 'no failure'} ({outcome.message})"
