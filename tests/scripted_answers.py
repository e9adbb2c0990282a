"""Answers of a server in memory, byte by byte as they are cut: drawn, and sent by a transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from msgspec import json

from rxollama.errors import ConnectionLostError
from rxollama.transport import Request, Response

__all__ = ("Answer", "Scripted", "answers", "record")


class Answer(NamedTuple):
    """
    The body of an answer, piece by piece.

    Args:
        pieces: Each piece of the body, and the seconds before it.
        breaks: Whether the connection is lost after them.
    """

    pieces: tuple[tuple[float, bytes], ...] = ()
    breaks: bool = False


class _Body:
    """A response in memory."""

    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces, each at its time."""
        for seconds, piece in self._answer.pieces:
            await asyncio.sleep(seconds)
            yield piece
        if self._answer.breaks:
            raise ConnectionLostError("the connection was lost")


class Scripted:
    """A transport that answers from a list, and with the last answer after its end."""

    def __init__(self, answers: tuple[Answer, ...]) -> None:
        self._answers = list(answers)
        self.requests: list[bytes | None] = []

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Response]:
        """Answer a request."""
        self.requests.append(request.body)
        yield _Body(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])


def record(content: str = "", thinking: str = "", **more: Any) -> bytes:
    """Return the line of a chunk."""
    message = {"role": "assistant", "content": content} | ({"thinking": thinking} if thinking else {})
    changes = more.pop("message", {})
    return json.encode({"model": "m", "created_at": "t", "message": message | changes, "done": False} | more) + b"\n"


_CALL = {"function": {"name": "get_time", "arguments": {"city": "Oslo"}}, "id": "call_1"}
_ODD = (
    record(message={"tool_calls": [_CALL]}),
    record("with a call", message={"tool_calls": [_CALL, _CALL]}),
    record("a", logprobs=[{"token": "a", "logprob": -0.5}]),
    record("b", remote_model="far", remote_host="https://far.example"),
    record("of no one", message={"role": ""}),
    record("", message={"role": ""}),
    record("of a user", message={"role": "user"}),
    record("result", message={"role": "tool", "tool_name": "get_time"}),
    record("c", unknown=1),
    record("d", created_at=""),
    record("e", model=""),
    record("f", done_reason="x"),
    record("", done=True, done_reason="stop", eval_count=3),
    b"\n",
    b"\r\n \n",
    b"\n" * 20,
    record("with another end")[:-1] + b"\r\n",
    record('é 👩 "error" \\ }\n{'),
    record('"error"'),
    json.encode({"done": False}) + b"\n",
)
_BAD = (b'{"error": "out of memory"}\n', b"<html>\n", record("cut short")[:-4])


def _lines(kind: str, count: int, place: int) -> list[bytes]:
    numbers = range(place, place + count)
    if kind == "odd":
        return [_ODD[place % len(_ODD)]]
    has_content: Callable[[int], bool] = _HAS_CONTENT[kind]
    has_thinking: Callable[[int], bool] = _HAS_THINKING[kind]
    return [
        record(f"c{n} " * has_content(n), f"t{n} " * has_thinking(n), created_at=f"{n}", model=f"m{n % 2}")
        for n in numbers
    ]


_HAS_CONTENT: dict[str, Callable[[int], bool]] = {
    "thinking": lambda _: False,
    "content": lambda _: True,
    "both": lambda _: True,
    "nothing": lambda _: False,
    "in turns": lambda n: n % 2 == 1,
    "thinking, then content": lambda n: n % 16 > 7,
    "now and then": lambda n: n % 3 == 2,
}
_HAS_THINKING: dict[str, Callable[[int], bool]] = {
    "thinking": lambda _: True,
    "content": lambda _: False,
    "both": lambda _: True,
    "nothing": lambda _: False,
    "in turns": lambda n: n % 2 == 0,
    "thinking, then content": lambda n: n % 16 <= 7,
    "now and then": lambda n: n % 7 == 3,
}
_RUNS = st.tuples(st.sampled_from([*_HAS_CONTENT]), st.sampled_from([5, 24, 2, 60]), st.integers(0, 99))
_ODD_RUNS = st.tuples(st.just("odd"), st.just(1), st.integers(0, 99))
_CUTS = st.sampled_from([0.01, 0.01, 0.0, 0.03, 0.2, 1.2])


@st.composite
def answers(draw: DrawFn) -> Answer:
    """Draw an answer: runs of records of a kind, cut between them and anywhere, with or without an end."""
    drawn = draw(st.lists(_RUNS if draw(st.booleans()) else _RUNS | _ODD_RUNS, min_size=1, max_size=4))
    runs = [b"".join(_lines(*run)) for run in drawn]
    end = draw(st.sampled_from(["done", "done", "done", "bad", "short", "lost"]))
    if end == "done":
        runs.append(record("", done=True, done_reason="stop", eval_count=5, total_duration=9))
    elif end == "bad":
        runs.append(_BAD[draw(st.integers(0, len(_BAD) - 1))])
    body = b"".join(runs)
    # A read is a batch only if all of it is plain, so most cuts are between runs.
    places = [*accumulate(map(len, runs))] if draw(st.integers(0, 3)) else []
    places += draw(st.lists(st.integers(0, len(body)), max_size=2))
    bounds = [0, *sorted(places), len(body)]
    pieces = [(draw(_CUTS), body[start:stop]) for start, stop in pairwise(bounds)]
    return Answer(tuple(pieces), breaks=end == "lost")
