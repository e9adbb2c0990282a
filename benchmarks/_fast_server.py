"""
An Ollama that only writes, in its own process, so that a benchmark measures only the client.

It sends what a real server sends, one HTTP chunk per record. The records are encoded before the first request.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from functools import cache, partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from random import Random
from typing import Any, NamedTuple

import orjson

__all__ = ("MODEL", "WARM_UP", "Answer", "AnswerPlan", "child_process", "expected_answer", "fast_server")

MODEL = "qwen3:4b"
"""The model whose answer follows the plan."""

WARM_UP = "warm-up"
"""The model whose short answer comes at once."""

_WARM_UP_CHUNKS = 500
_BLOCK = 64 * 1024
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
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


@cache
def _script(chunks: int) -> tuple[Answer, list[bytes]]:
    """Return an answer and its records: a third thinking, the rest content, a tool call, the metrics."""
    words = Random(7).choices(_WORDS, k=chunks - 2)
    third = len(words) // 3
    messages: list[dict[str, Any]] = [{"content": "", "thinking": word} for word in words[:third]]
    messages += [{"content": word} for word in words[third:]]
    messages.append({"content": "", "tool_calls": [_CALL]})
    records = [_framed(message) for message in messages]
    records.append(_framed({"content": ""}, done=True, done_reason="stop", eval_count=chunks, **_NUMBERS))
    return Answer(chunks, "".join(words[:third]), "".join(words[third:]), 1), records


def _framed(message: dict[str, Any], *, done: bool = False, **more: object) -> bytes:
    record = {
        "model": MODEL,
        "created_at": "2026-11-20T09:41:07.123456789Z",
        "message": {"role": "assistant", **message},
        "done": done,
        **more,
    }
    line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    return b"%x\r\n%b\r\n" % (len(line), line)


def expected_answer(plan: AnswerPlan) -> Answer:
    """Return the answer of `MODEL`."""
    return _script(plan.chunks)[0]


@contextmanager
def fast_server(plan: AnswerPlan) -> Generator[str]:
    """
    Run the server during a `with` block.

    Args:
        plan: The answer.

    Yields:
        The server's address.
    """
    with child_process(_listen, plan) as pipe:
        yield f"http://127.0.0.1:{pipe.recv()}"


@contextmanager
def child_process(work: Callable[..., Coroutine[Any, Any, None]], *args: object) -> Generator[Connection]:
    """
    Run a coroutine in a new process during a `with` block.

    Args:
        work: The coroutine function. It gets the other end of the pipe, and *args*.
        args: The other arguments.

    Yields:
        One end of the pipe. The process is killed at the end of the block.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(work, theirs, *args), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def _main(work: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent process ends this one.
    asyncio.run(work(*args))


async def _listen(pipe: Connection, plan: AnswerPlan) -> None:
    for chunks in (_WARM_UP_CHUNKS, plan.chunks):
        _blocks(chunks)
    server = await asyncio.start_server(partial(_serve, plan), "127.0.0.1", 0, backlog=1024)
    # The pipe becomes readable when the parent process is killed.
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), gone.set)
    pipe.send(server.sockets[0].getsockname()[1])
    await gone.wait()


async def _serve(plan: AnswerPlan, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length))
            writer.write(_HEAD)
            if WARM_UP.encode() in body:
                await _burst(writer, _WARM_UP_CHUNKS)
            elif plan.rate:
                await _pace(writer, plan)
            else:
                await _burst(writer, plan.chunks)
            writer.write(b"0\r\n\r\n")
    writer.close()


@cache
def _blocks(chunks: int) -> list[bytes]:
    whole = b"".join(_script(chunks)[1])
    return [whole[start : start + _BLOCK] for start in range(0, len(whole), _BLOCK)]


async def _burst(writer: asyncio.StreamWriter, chunks: int) -> None:
    for block in _blocks(chunks):
        writer.write(block)
        await writer.drain()


async def _pace(writer: asyncio.StreamWriter, plan: AnswerPlan) -> None:
    loop = asyncio.get_running_loop()
    # A random start, so that streams that began together do not send at the same moments.
    moment = loop.time() + Random().random() / plan.rate
    for record in _script(plan.chunks)[1]:
        await asyncio.sleep(moment - loop.time())
        writer.write(record)
        await writer.drain()
        moment += 1 / plan.rate
