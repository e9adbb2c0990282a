"""Random mutations of a server's answers, as pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeAlias

__all__ = ("mutate", "mutate_http")

Mutation: TypeAlias = Callable[[bytes, Random, Sequence[bytes]], bytes]
"""Mutates a body. Parts of the other bodies may be spliced in."""

# Most inputs are mutated once, because little of an input remains after several mutations.
_TIMES = (1, 1, 1, 2, 2, 3, 5)
_LONGEST = 64
_OFTEN = 0.8
_GARBAGE = (
    rb"""\u0000 \ud800 \ " { } [ ] , : null {} [] "" true NaN // <html> data: "error" {"error":" {"error":null}
    {"error":{"a":1}} {"done":true} {"message":{}} {"message":null,"done":false} {"status":"success"}""".split()
    + [b"\n", b"\r\n", b"\n\n\n", b"\0", b"\0" * 9, b"\x0b", b"\x7f", b"\xff", b"\xc3\x28"]
    + [text.encode("utf-8", "surrogatepass") for text in ("\x85", "\u2028", "\ud800", "\ufeff", "\U0001f600")]
    + [b'{"done":true}\n', b'{"message":{}}\n', b'\n{"error":"x"}\n']
)
_NUMBERS = [
    *b"""0 -1 1.5 1e308 1e309 -1e999 1e-999 9223372036854775807 9223372036854775808 18446744073709551616
    -9223372036854775809 00 0x10 1_000 NaN Infinity -Infinity null true "12" "nan" "inf" [] {} 1.0 1e3""".split(),
    *(b"9" * 400, b"9" * 5000, b"0." + b"3" * 2000),
]
_KEYS = b"""message role content thinking tool_calls images function name arguments index id model created_at done
    done_reason error response status logprobs _debug_info eval_count total_duration tool_failed client (client)
    (tool_failed) Message __class__ digest completed models embeddings version details""".split()
_VALUES = b"""null true false 7 -0.5 "" "x" [] {} ["x"] {"error":"x"} [null] {"":null} [[]] "1" "2026-01-01" """.split()
# Parsers accept a few hundred levels and refuse thousands. In between it depends on the depth of the caller's stack.
_DEPTHS = (2, 9, 60, 300, 3000) * 4 + (100_000,)
_NESTS = ((b"[", b"]"), (b'{"a":', b"}"), (b'{"error":', b"}"), (b'[{"message":', b"}]"))
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_KEY = re.compile(rb'"([^"\\]*)"(?=\s*:)')
_VALUE = re.compile(rb'(?<=:)(?:"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|\[\]|\{\})')


def _slice(body: bytes, random: Random, longest: int = _LONGEST) -> tuple[int, int]:
    start = random.randrange(len(body) + 1)
    return start, min(len(body), start + random.randint(1, longest))


def _flip(body: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    spoiled = bytearray(body)
    for _turn in range(random.randint(1, 4) if body else 0):
        spoiled[random.randrange(len(spoiled))] ^= 1 << random.randrange(8)
    return bytes(spoiled)


def _cut(body: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    place = random.randrange(len(body) + 1)
    return body[:place] if random.random() < _OFTEN else body[place:]


def _double(body: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = _slice(body, random, 400)
    return body[:end] + body[start:end] * random.randint(1, 3) + body[end:]


def _delete(body: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = _slice(body, random)
    return body[:start] + body[end:]


def _swap(body: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = _slice(body, random)
    later, last = _slice(body[end:], random)
    later, last = later + end, last + end
    return body[:start] + body[later:last] + body[end:later] + body[start:end] + body[last:]


def _swap_lines(body: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    lines = body.split(b"\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _insert(body: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    place = random.randrange(len(body) + 1)
    garbage = random.choice(_GARBAGE) if random.random() < _OFTEN else random.randbytes(random.randint(1, 40))
    return body[:place] + garbage + body[place:]


def _splice(body: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    return body[: random.randrange(len(body) + 1)] + other[random.randrange(len(other) + 1) :][:20_000]


def _replaced(
    pattern: re.Pattern[bytes], body: bytes, random: Random, fresh: Callable[[re.Match[bytes]], bytes]
) -> bytes:
    match = pattern.search(body, random.randrange(len(body) + 1)) or pattern.search(body)
    if match is None:
        return body
    return body[: match.start()] + fresh(match) + body[match.end() :]


def _number(body: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    return _replaced(_NUMBER, body, random, lambda _: random.choice(_NUMBERS))


def _key(body: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    return _replaced(_KEY, body, random, lambda _: b'"' + random.choice(_KEYS) + b'"')


def _value(body: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    return _replaced(_VALUE, body, random, lambda _: random.choice(_VALUES))


def _nest(body: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    depth, (before, after) = random.choice(_DEPTHS), random.choice(_NESTS)
    closed = depth if random.random() < _OFTEN else depth // 2
    return _replaced(_VALUE, body, random, lambda match: before * depth + match[0] + after * closed)


_BYTES: tuple[Mutation, ...] = (_flip, _cut, _double, _delete, _swap, _swap_lines, _insert, _splice)
_JSON: tuple[Mutation, ...] = (_number, _key, _value, _nest)


def mutate(body: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """
    Return a body after one to five random mutations.

    Args:
        body: The body.
        random: The source of randomness.
        others: Other bodies, parts of which may be spliced in.

    Returns:
        The mutated body, which is the same for the same state of *random*.
    """
    for _ in range(random.choice(_TIMES)):
        body = random.choice(random.choice((_BYTES, _JSON)))(body, random, others)
    return body


def mutate_http(body: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Return a body in mutated HTTP, or random bytes."""
    if random.random() < 1 - _OFTEN:
        return random.randbytes(random.randint(0, 200))
    status = random.choice((b"200", b"200", b"404", b"500", b"301", b"100", b"101", b"204", b"304", b"999", b"20", b""))
    head = b"HTTP/1.1 " + status + b" OK\r\nContent-Type: application/x-ndjson\r\n"
    if random.getrandbits(1):
        head += b"Content-Length: %d\r\n\r\n" % (len(body) + random.choice((0, 0, -5, 5)))
        answer = head + body
    else:
        cut = random.randrange(len(body) + 1)
        pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:cut], body[cut:]) if piece)
        answer = head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    # Only the beginning is mutated, because that is where HTTP is.
    near = answer[:200]
    for _ in range(random.randint(0, 2)):
        near = random.choice((_flip, _delete, _insert, _double, _swap))(near, random, others)
    return near + answer[200:]
