"""What a body must decode to, said in two ways that must agree with how it is decoded at any cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, NamedTuple, TypeAlias

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

__all__ = ("Outcome", "WrongError", "alike", "check", "decoded", "decoder_of", "is_streamed", "pieces_of")

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
_BYTE_BY_BYTE = 3000
_CUTS = 3
_REFUSALS = (301, 400, 401, 403, 404, 429, 500, 503, 599)


class WrongError(Exception):
    """Say what does not hold that must hold."""


class Outcome(NamedTuple):
    """Be what came of a body: its records, and the name and the words of the failure."""

    records: list[Any]
    failure: str
    words: str = ""


def is_streamed(path: str) -> bool:
    """Tell whether an endpoint answers in lines."""
    return path in _LINES


def decoder_of(path: str, max_line: int = MAX_LINE) -> Make:
    """Return what makes the decoder of an endpoint's answer."""
    if path in _LINES:
        return lambda: LineDecoder(_LINES[path], max_line=max_line)
    return lambda: BodyDecoder(_BODIES[path], max_line=max_line)


def decoded(decoder: Decoder[Any], pieces: Iterable[bytes], *, ends: bool = True) -> Outcome:
    """Decode pieces as they come; `ends` tells whether the body ends, or only stops."""
    records: list[Any] = []
    for piece in pieces:
        records += decoder.feed(piece)
    if ends:
        records += decoder.flush()
    failure = decoder.failure
    return Outcome(records, type(failure).__name__ if failure else "", str(failure or ""))


def alike(one: Outcome, other: Outcome) -> bool:
    """Compare, by what is shown where equality is no use: no number is not equal to itself."""
    return one == other or repr(one) == repr(other)


def pieces_of(body: bytes, random: Random) -> list[bytes]:
    """Cut a body in a few pieces of any size."""
    places = sorted(random.randrange(len(body) + 1) for _ in range(random.choice((1, 2, 5, 40))))
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


def _line_by_line(make: Make, body: bytes) -> Outcome:
    """Give each line to a decoder that has seen no other, up to the first that fails or is the last."""
    records: list[Any] = []
    *lines, rest = body.split(b"\n")
    for line in lines:
        decoder = make()
        alone = decoded(decoder, [line + b"\n"], ends=False)
        records += alone.records
        if decoder.over:
            return Outcome(records, alone.failure, alone.words)
    alone = decoded(make(), [rest])
    return Outcome(records + alone.records, alone.failure, alone.words)


def _whole_lines_kept(body: bytes, original: bytes) -> bytes:
    """Return the whole lines at its beginning that a body has in common with another."""
    same = next((at for at, (one, other) in enumerate(zip(body, original, strict=False)) if one != other), None)
    common = body[: min(len(body), len(original)) if same is None else same]
    return common[: common.rfind(b"\n") + 1]


def check(path: str, body: bytes, original: bytes, max_line: int, random: Random) -> Outcome:
    """
    Decode a body in every way, and compare.

    Args:
        path: The endpoint it is the answer of.
        body: The body.
        original: The body of a real server that it was made of.
        max_line: The longest record taken.
        random: Where to cut.

    Returns:
        What came of it.

    Raises:
        WrongError: When something that must hold does not.
    """
    make = decoder_of(path, max_line)
    whole = decoded(make(), [body])
    cuts = [pieces_of(body, random) for _ in range(_CUTS)]
    if len(body) <= _BYTE_BY_BYTE:
        cuts.append([body[at : at + 1] for at in range(len(body))])
    for pieces in cuts:
        if not alike(whole, outcome := decoded(make(), pieces)):
            raise WrongError(f"depends on the cuts: whole {_told(whole)}; in {len(pieces)} pieces {_told(outcome)}")
    if is_streamed(path):
        if not alike(whole, outcome := _line_by_line(make, body)):
            raise WrongError(f"whole {_told(whole)}; line by line {_told(outcome)}")
        kept = decoded(make(), [_whole_lines_kept(body, original)], ends=False).records
        if not alike(Outcome(whole.records[: len(kept)], ""), Outcome(kept, "")):
            raise WrongError(f"{len(kept)} records were whole before the fault; {_told(whole)}")
        _check_beginning(make, original, random)
    error: object = status_error(random.choice(_REFUSALS), _headers(body, random), body)
    if not isinstance(error, RxOllamaError) or not str(error):
        raise WrongError(f"a refusal became {error!r}")
    return whole


def _check_beginning(make: Make, original: bytes, random: Random) -> None:
    """See that a good answer that ends too early is told from one that is no answer."""
    good = decoded(make(), [original])
    beginning = original[: random.randrange(len(original) + 1)]
    outcome = decoded(make(), [beginning])
    # Where the whole of it ends well, or in the server's own words, so does what has its last record.
    if outcome.failure not in {"TruncatedError", good.failure}:
        raise WrongError(f"the first {len(beginning)} bytes of the recording came to {_told(outcome)}")
    if not alike(Outcome(good.records[: len(outcome.records)], ""), Outcome(outcome.records, "")):
        raise WrongError(f"the first {len(beginning)} bytes of the recording came to other records")


def _headers(body: bytes, random: Random) -> dict[str, str]:
    names = ("content-type", "location", "retry-after", "date")
    start = random.randrange(len(body) + 1)
    values = (body[start : start + 30].decode("latin-1"), "text/html", "1e9", "Wed, 21 Oct 2015 07:28:00 GMT", "7")
    return {name: random.choice(values) for name in names}


def _told(outcome: Outcome) -> str:
    return f"{len(outcome.records)} records and {outcome.failure or 'no failure'} ({outcome.words})"
