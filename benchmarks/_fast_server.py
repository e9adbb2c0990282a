"""
An Ollama that only writes, in its own process, so that a benchmark measures only the client.

It sends what a real server sends, one HTTP chunk per record. A request's model names the plan of its answer. The
records are encoded before the first request. A request without a body, such as one for the loaded models, gets an empty
list.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing.connection import Connection
from random import Random
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson
from _harness import child_process

__all__ = ("WARM_UP", "Answer", "AnswerPlan", "FastServer", "Kind", "body_of", "expected_answer", "fast_server")

Kind: TypeAlias = Literal["thinking first", "alternating", "stamped", "held"]
"""
The order of an answer's records.

A third thinking, then content; both in turn; the moment of sending as content; or all at once, and then silence.
"""

_BLOCK = 64 * 1024
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
_NO_MODELS = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"models":[]}'
_WORDS = (" the", " sky", " is", " blue", ",", " because", " light", " scatters", ".\n\n", ' "so"', " über", " 光", "!")
_CALL = {"id": "call_1", "function": {"index": 0, "name": "get_weather", "arguments": {"city": "Oslo"}}}
_NUMBERS = {
    "total_duration": 5_000_000_000,
    "load_duration": 50_000_000,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 130_000_000,
    "eval_duration": 4_800_000_000,
}


class Answer(NamedTuple):
    """The content of an answer. Two clients that received all of it have equal values."""

    chunks: int
    thinking: str
    content: str
    calls: int


class AnswerPlan(NamedTuple):
    """The number of chunks of an answer, and their number per second. 0 is as fast as the client reads."""

    chunks: int
    rate: float = 0.0
    kind: Kind = "thinking first"

    def model(self, number: int = 0) -> str:
        """Return the model's name that asks for this answer. The number tells requests apart."""
        return f"{self.kind}/{self.chunks}/{self.rate}/{number}"


def _plan_of(model: str) -> AnswerPlan:
    kind, chunks, rate, _ = model.split("/")
    return AnswerPlan(int(chunks), float(rate), kind)  # type: ignore[arg-type] # `model()` wrote it.


WARM_UP = AnswerPlan(500)
"""A short answer that comes at once."""


@cache
def _script(chunks: int, kind: Kind) -> tuple[Answer, list[bytes]]:
    """Return an answer and its records: thinking and content, a tool call, the metrics."""
    words = Random(7).choices(_WORDS, k=chunks - 2)
    alternates, third = kind == "alternating", len(words) // 3
    thinks = [number % 2 == 0 if alternates else number < third for number in range(len(words))]
    messages: list[dict[str, Any]] = [
        {"content": "", "thinking": word} if thought else {"content": word}
        for word, thought in zip(words, thinks, strict=True)
    ]
    messages.append({"content": "", "tool_calls": [_CALL]})
    lines = [_line(message) for message in messages]
    lines.append(_line({"content": ""}, done=True, done_reason="stop", eval_count=chunks, **_NUMBERS))
    thinking, content = (
        "".join(word for word, thought in zip(words, thinks, strict=True) if thought is kept) for kept in (True, False)
    )
    return Answer(chunks, thinking, content, 1), lines


def _line(message: dict[str, Any], *, done: bool = False, **more: object) -> bytes:
    record = {
        "model": "qwen3:4b",
        "created_at": "2026-11-20T09:41:07.123456789Z",
        "message": {"role": "assistant", **message},
        "done": done,
        **more,
    }
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def _framed(line: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(line), line)


def expected_answer(plan: AnswerPlan) -> Answer:
    """Return the answer of a plan whose records are not stamped."""
    return _script(plan.chunks, plan.kind)[0]


def body_of(plan: AnswerPlan) -> list[bytes]:
    """Return the body of an answer without HTTP, in blocks that are about as large as a read."""
    return _cut(b"".join(_script(plan.chunks, plan.kind)[1]))


def _cut(whole: bytes) -> list[bytes]:
    return [whole[start : start + _BLOCK] for start in range(0, len(whole), _BLOCK)]


@cache
def _blocks(plan: AnswerPlan) -> list[bytes]:
    """Return the answer with its HTTP framing, in blocks."""
    return _cut(b"".join(map(_framed, _script(plan.chunks, plan.kind)[1])))


class FastServer:
    """
    The server, as another process sees it.

    Args:
        pipe: The pipe to the server's process.

    Attributes:
        url: The server's address.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.url = f"http://127.0.0.1:{pipe.recv()}"

    def departures(self) -> dict[str, float]:
        """Return when clients left in the middle of an answer: model names, and moments by `time.monotonic`."""
        self._pipe.send(None)
        moments: dict[str, float] = self._pipe.recv()
        return moments


@contextmanager
def fast_server(*plans: AnswerPlan) -> Generator[FastServer]:
    """
    Run the server during a `with` block.

    Args:
        plans: The answers to encode before the first request.

    Yields:
        The server.
    """
    with child_process(_listen, *plans) as pipe:
        yield FastServer(pipe)


async def _listen(pipe: Connection, *plans: AnswerPlan) -> None:
    for plan in (WARM_UP, *plans):
        _blocks(plan)
    loop, departures, gone = asyncio.get_running_loop(), dict[str, float](), asyncio.Event()

    def answer() -> None:
        try:
            pipe.recv()
        except EOFError:
            gone.set()  # The parent process was killed.
        else:
            pipe.send(departures)

    loop.add_reader(pipe.fileno(), answer)
    server = await loop.create_server(partial(_Connection, departures), "127.0.0.1", 0, backlog=1024)
    pipe.send(server.sockets[0].getsockname()[1])
    await gone.wait()


class _Connection(asyncio.Protocol):
    """
    One connection of a client.

    Args:
        departures: The moments at which clients left, by their models.
    """

    def __init__(self, departures: dict[str, float]) -> None:
        self._departures = departures
        self._received = b""
        self._model = ""
        self._answering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - A narrowing for type checkers.
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if end and not length:
            self._received = b""
            self._transport.write(_NO_MODELS)
        elif end and len(body) == int(length):
            self._received = b""
            self._model = orjson.loads(body)["model"]
            self._answering = asyncio.create_task(self._answer(_plan_of(self._model)))

    def eof_received(self) -> None:
        self._note_departure()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._note_departure()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _note_departure(self) -> None:
        if self._answering is not None:
            self._departures.setdefault(self._model, time.monotonic())
            self._answering.cancel()

    async def _answer(self, plan: AnswerPlan) -> None:
        self._transport.write(_HEAD)
        if plan.rate:
            await self._pace(plan)
        else:
            for block in _blocks(plan):
                self._transport.write(block)
                await self._writable.wait()
        if plan.kind == "held":
            await asyncio.Event().wait()
        self._transport.write(b"0\r\n\r\n")
        self._answering = None

    async def _pace(self, plan: AnswerPlan) -> None:
        loop, lines = asyncio.get_running_loop(), _script(plan.chunks, plan.kind)[1]
        # A random start, so that streams that began together do not send at the same moments.
        moment = loop.time() + Random().random() / plan.rate
        for number, line in enumerate(lines, 1):
            await asyncio.sleep(moment - loop.time())
            stamped = plan.kind == "stamped" and number < len(lines)
            self._transport.write(_framed(_line({"content": str(time.monotonic_ns())}) if stamped else line))
            await self._writable.wait()
            moment += 1 / plan.rate
