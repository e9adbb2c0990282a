"""
Four clients that do the same, and what each of them costs.

Every run has a fresh process with only its own client's modules, a warm-up, and an empty garbage; the runs of the
clients alternate, so that whatever else the machine does hits all of them.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from multiprocessing.connection import Connection
from operator import attrgetter
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple, TypeAlias

import orjson
from _server import MODEL, WARM_UP, Answer, Plan, apart, expected, serving

__all__ = ("FLOOR", "OFFICIAL", "PIPELINE", "Run", "compare", "cpu", "ratio", "show", "speed")

PIPELINE, BARE, OFFICIAL, FLOOR = "rxollama, pipeline", "rxollama, bare", "ollama", "socket + orjson"

Chat: TypeAlias = Callable[[str], Awaitable[Answer]]
"""Asks a model, and gathers its answer."""

_PROMPT = "Why is the sky blue?"
_FRAME = 1 / 30
_LOST = Answer(0, "", "", 0)


class _Notes:
    """Gather an answer chunk by chunk, as the least that a program does with it."""

    def __init__(self) -> None:
        self.chunks = self.calls = 0
        self.thinking: list[str] = []
        self.content: list[str] = []

    def take(self, message: Any) -> None:
        """Note what a message says."""
        self.chunks += 1
        if message.thinking:
            self.thinking.append(message.thinking)
        if message.content:
            self.content.append(message.content)
        if message.tool_calls:
            self.calls += len(message.tool_calls)

    def answer(self) -> Answer:
        """Put together the answer."""
        return Answer(self.chunks, "".join(self.thinking), "".join(self.content), self.calls)


@asynccontextmanager
async def _pipeline(url: str) -> AsyncGenerator[Chat]:
    """Do all that the library is named for: log, share, split, pace, gather and collect."""
    import structlog  # noqa: PLC0415 - Of the clients, a process imports the one it measures.

    from rxollama import Ollama  # noqa: PLC0415 - As above.
    from rxollama import operators as op  # noqa: PLC0415 - As above.

    with open(os.devnull, "wb") as sink:  # noqa: ASYNC230, PTH123 - Opening it waits for nothing.
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            logger_factory=structlog.BytesLoggerFactory(sink),
            cache_logger_on_first_use=True,
        )
        async with Ollama(url) as client:

            async def chat(model: str) -> Answer:
                notes = _Notes()
                answer = client.chat(model, _PROMPT, think=True).pipe(op.log(structlog.get_logger()), op.share())
                answer.pipe(op.thinking(), op.coalesce(_FRAME)).subscribe(notes.thinking.append)
                answer.pipe(op.content(), op.coalesce(_FRAME)).subscribe(notes.content.append)
                answer.pipe(op.gather_tool_calls()).subscribe(lambda calls: setattr(notes, "calls", len(calls)))
                response = await answer.pipe(op.collect())
                notes.chunks = response.metrics.chunk_count
                # What the callbacks were shown and what was collected are the same, or something was lost.
                shown, said = notes.answer(), response.message
                return shown if (shown.thinking, shown.content) == (said.thinking, said.content) else _LOST

            yield chat


@asynccontextmanager
async def _bare(url: str) -> AsyncGenerator[Chat]:
    """Subscribe one callback."""
    from rxollama import Ollama  # noqa: PLC0415 - Of the clients, a process imports the one it measures.

    async with Ollama(url) as client:

        async def chat(model: str) -> Answer:
            notes, over = _Notes(), asyncio.get_running_loop().create_future()
            client.chat(model, _PROMPT, think=True).subscribe(
                lambda chunk: notes.take(chunk.message), over.set_exception, lambda: over.set_result(None)
            )
            await over
            return notes.answer()

        yield chat


@asynccontextmanager
async def _official(url: str) -> AsyncGenerator[Chat]:
    """Iterate over the stream of Ollama's own Python client."""
    import httpx  # noqa: PLC0415 - Of the clients, a process imports the one it measures.
    import ollama  # noqa: PLC0415 - As above.

    # Its own limit is 100 streams at a time.
    client: Any = ollama.AsyncClient(url, limits=httpx.Limits(max_connections=None))
    async with client:

        async def chat(model: str) -> Answer:
            notes = _Notes()
            messages = [{"role": "user", "content": _PROMPT}]
            async for part in await client.chat(model, messages, stream=True, think=True):
                notes.take(part.message)
            return notes.answer()

        yield chat


class _Socket(asyncio.Protocol):
    """Read records off a socket with nothing in between; it takes for granted what this one server does."""

    def __init__(self) -> None:
        self.over = asyncio.get_running_loop().create_future()
        self.notes = _Notes()
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        notes = self.notes
        for line in lines:
            if line.startswith(b"{"):
                record = orjson.loads(line)
                message = record["message"]
                notes.chunks += 1
                if thinking := message.get("thinking"):
                    notes.thinking.append(thinking)
                if content := message["content"]:
                    notes.content.append(content)
                if calls := message.get("tool_calls"):
                    notes.calls += len(calls)
                if record["done"]:
                    self.over.set_result(None)


@asynccontextmanager
async def _floor(url: str) -> AsyncGenerator[Chat]:
    """Do the least that anything written in Python can do."""
    host, _, port = url.removeprefix("http://").partition(":")

    async def chat(model: str) -> Answer:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(_Socket, host, int(port))
        body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": _PROMPT}], "think": True})
        transport.write(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await protocol.over
        transport.close()
        return protocol.notes.answer()

    yield chat


_CLIENTS: dict[str, Callable[[str], AbstractAsyncContextManager[Chat]]] = {
    PIPELINE: _pipeline,
    BARE: _bare,
    OFFICIAL: _official,
    FLOOR: _floor,
}


class Run(NamedTuple):
    """Be what a run cost: chunks in a second, and microseconds of CPU, all threads and the kernel's part, for each."""

    speed: float
    cpu: float


speed, cpu = attrgetter("speed"), attrgetter("cpu")


async def _run(pipe: Connection, client: str, url: str, plan: Plan, streams: int) -> None:
    async with _CLIENTS[client](url) as chat:
        await chat(WARM_UP)
        gc.collect()
        began, busy_began = perf_counter(), process_time()
        answers = await asyncio.gather(*(chat(MODEL) for _ in range(streams)))
        wall, busy = perf_counter() - began, process_time() - busy_began
    chunks = plan.chunks * streams
    pipe.send(Run(chunks / wall, busy / chunks * 1e6) if set(answers) == {expected(plan)} else None)


def _measured(client: str, *args: object) -> Run:
    try:
        with apart(_run, client, *args) as pipe:
            run: Run | None = pipe.recv()
    except EOFError:
        raise SystemExit(f"{client}: failed") from None
    if run is None:
        raise SystemExit(f"{client}: did not receive the whole answer")
    return run


def compare(plan: Plan, *, streams: int, rounds: int) -> dict[str, list[Run]]:
    """Let every client take the same answers, in alternation; exit with an error if one of them loses text."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("OLLAMA_")]:
        del os.environ[name]
    runs: dict[str, list[Run]] = {name: [] for name in _CLIENTS}
    with serving(plan) as url:
        for turn in range(rounds):
            for name in reversed(runs) if turn % 2 else runs:
                runs[name].append(_measured(name, url, plan, streams))
    return runs


def ratio(runs: dict[str, list[Run]], one: str, other: str, value: Callable[[Run], float]) -> float:
    """Compare two clients: the median, over the rounds, of how they compared within a round."""
    return median(value(a) / value(b) for a, b in zip(runs[one], runs[other], strict=True))


def show(title: str, runs: dict[str, list[Run]]) -> None:
    """Print medians and ratios, a client in a line."""
    print(f"{title}\n\n{'':20}{'chunks/s':>10}{'x ollama':>10}{'CPU us/chunk':>14}{'x ollama':>10}{'x socket':>10}")
    for name, own in runs.items():
        faster, dearer = ratio(runs, name, OFFICIAL, speed), ratio(runs, name, OFFICIAL, cpu)
        print(
            f"{name:20}{median(map(speed, own)):10,.0f}{faster:10.2f}"
            f"{median(map(cpu, own)):14.1f}{dearer:10.2f}{ratio(runs, name, FLOOR, cpu):10.2f}"
        )
