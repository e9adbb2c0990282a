"""
Four clients that do the same work, and the cost of each.

Every run has a new process that imports only its own client, with a warm-up and a garbage collection first. The runs of
the clients alternate, so that other programs on the machine affect all of them.
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
from _fast_server import MODEL, WARM_UP, Answer, AnswerPlan, child_process, expected_answer, fast_server

__all__ = ("FLOOR", "OFFICIAL", "PIPELINE", "Run", "compare", "cpu", "ratio", "show", "speed")

PIPELINE, BARE, OFFICIAL, FLOOR = "rxollama, pipeline", "rxollama, bare", "ollama", "socket + orjson"

Chat: TypeAlias = Callable[[str], Awaitable[Answer]]
"""Asks a model and returns its answer."""

_PROMPT = "Why is the sky blue?"
_FRAME = 1 / 30
_LOST = Answer(0, "", "", 0)


class _Collected:
    """An answer gathered chunk by chunk, with as little work as possible."""

    def __init__(self) -> None:
        self.chunks = self.calls = 0
        self.thinking: list[str] = []
        self.content: list[str] = []

    def add(self, message: Any) -> None:
        """Add the content of a message."""
        self.chunks += 1
        if message.thinking:
            self.thinking.append(message.thinking)
        if message.content:
            self.content.append(message.content)
        if message.tool_calls:
            self.calls += len(message.tool_calls)

    def answer(self) -> Answer:
        """Return the answer."""
        return Answer(self.chunks, "".join(self.thinking), "".join(self.content), self.calls)


@asynccontextmanager
async def _pipeline(url: str) -> AsyncGenerator[Chat]:
    """Use the whole pipeline: log, share, split, pace, gather and collect."""
    import structlog  # noqa: PLC0415 - A process imports only the client that it measures.

    from rxollama import Ollama  # noqa: PLC0415 - As above.
    from rxollama import operators as op  # noqa: PLC0415 - As above.

    with open(os.devnull, "wb") as sink:  # noqa: ASYNC230, PTH123 - Opening it does not block.
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
                collected = _Collected()
                answer = client.chat(model, _PROMPT, think=True).pipe(op.log(structlog.get_logger()), op.share())
                answer.pipe(op.thinking(), op.coalesce(_FRAME)).subscribe(collected.thinking.append)
                answer.pipe(op.content(), op.coalesce(_FRAME)).subscribe(collected.content.append)
                answer.pipe(op.gather_tool_calls()).subscribe(lambda calls: setattr(collected, "calls", len(calls)))
                response = await answer.pipe(op.collect())
                collected.chunks = response.metrics.chunk_count
                # The callbacks and the collected response must have the same text, or something was lost.
                shown, said = collected.answer(), response.message
                return shown if (shown.thinking, shown.content) == (said.thinking, said.content) else _LOST

            yield chat


@asynccontextmanager
async def _bare(url: str) -> AsyncGenerator[Chat]:
    """Subscribe one callback."""
    from rxollama import Ollama  # noqa: PLC0415 - A process imports only the client that it measures.

    async with Ollama(url) as client:

        async def chat(model: str) -> Answer:
            collected, ended = _Collected(), asyncio.get_running_loop().create_future()
            client.chat(model, _PROMPT, think=True).subscribe(
                lambda chunk: collected.add(chunk.message), ended.set_exception, lambda: ended.set_result(None)
            )
            await ended
            return collected.answer()

        yield chat


@asynccontextmanager
async def _official(url: str) -> AsyncGenerator[Chat]:
    """Iterate over the stream of Ollama's own Python client."""
    import httpx  # noqa: PLC0415 - A process imports only the client that it measures.
    import ollama  # noqa: PLC0415 - As above.

    # Without this its limit is 100 streams at a time.
    client: Any = ollama.AsyncClient(url, limits=httpx.Limits(max_connections=None))
    async with client:

        async def chat(model: str) -> Answer:
            collected = _Collected()
            messages = [{"role": "user", "content": _PROMPT}]
            async for part in await client.chat(model, messages, stream=True, think=True):
                collected.add(part.message)
            return collected.answer()

        yield chat


class _Socket(asyncio.Protocol):
    """A reader of records from a socket that relies on how this server writes them."""

    def __init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.collected = _Collected()
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        collected = self.collected
        for line in lines:
            if line.startswith(b"{"):
                record = orjson.loads(line)
                message = record["message"]
                collected.chunks += 1
                if thinking := message.get("thinking"):
                    collected.thinking.append(thinking)
                if content := message["content"]:
                    collected.content.append(content)
                if calls := message.get("tool_calls"):
                    collected.calls += len(calls)
                if record["done"]:
                    self.ended.set_result(None)


@asynccontextmanager
async def _floor(url: str) -> AsyncGenerator[Chat]:
    """Do the least work that a client in Python can do."""
    host, _, port = url.removeprefix("http://").partition(":")

    async def chat(model: str) -> Answer:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(_Socket, host, int(port))
        body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": _PROMPT}], "think": True})
        transport.write(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await protocol.ended
        transport.close()
        return protocol.collected.answer()

    yield chat


_CLIENTS: dict[str, Callable[[str], AbstractAsyncContextManager[Chat]]] = {
    PIPELINE: _pipeline,
    BARE: _bare,
    OFFICIAL: _official,
    FLOOR: _floor,
}


class Run(NamedTuple):
    """The cost of a run: chunks per second, and microseconds of CPU per chunk, of all threads and the kernel."""

    speed: float
    cpu: float


speed, cpu = attrgetter("speed"), attrgetter("cpu")


async def _run(pipe: Connection, client: str, url: str, plan: AnswerPlan, streams: int) -> None:
    async with _CLIENTS[client](url) as chat:
        await chat(WARM_UP)
        gc.collect()
        began, busy_began = perf_counter(), process_time()
        answers = await asyncio.gather(*(chat(MODEL) for _ in range(streams)))
        wall, busy = perf_counter() - began, process_time() - busy_began
    chunks = plan.chunks * streams
    pipe.send(Run(chunks / wall, busy / chunks * 1e6) if set(answers) == {expected_answer(plan)} else None)


def _measured(client: str, *args: object) -> Run:
    try:
        with child_process(_run, client, *args) as pipe:
            run: Run | None = pipe.recv()
    except EOFError:
        raise SystemExit(f"{client}: failed") from None
    if run is None:
        raise SystemExit(f"{client}: did not receive the whole answer")
    return run


def compare(plan: AnswerPlan, *, streams: int, rounds: int) -> dict[str, list[Run]]:
    """Measure every client with the same answers, in alternation. Exit with an error if one of them loses text."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("OLLAMA_")]:
        del os.environ[name]
    runs: dict[str, list[Run]] = {name: [] for name in _CLIENTS}
    with fast_server(plan) as url:
        for turn in range(rounds):
            for name in reversed(runs) if turn % 2 else runs:
                runs[name].append(_measured(name, url, plan, streams))
    return runs


def ratio(runs: dict[str, list[Run]], one: str, other: str, value: Callable[[Run], float]) -> float:
    """Return the ratio of two clients: the median of the ratios in each round."""
    return median(value(a) / value(b) for a, b in zip(runs[one], runs[other], strict=True))


def show(title: str, runs: dict[str, list[Run]]) -> None:
    """Print medians and ratios, with one line per client."""
    print(f"{title}\n\n{'':20}{'chunks/s':>10}{'x ollama':>10}{'CPU us/chunk':>14}{'x ollama':>10}{'x socket':>10}")
    for name, own in runs.items():
        faster, dearer = ratio(runs, name, OFFICIAL, speed), ratio(runs, name, OFFICIAL, cpu)
        print(
            f"{name:20}{median(map(speed, own)):10,.0f}{faster:10.2f}"
            f"{median(map(cpu, own)):14.1f}{dearer:10.2f}{ratio(runs, name, FLOOR, cpu):10.2f}"
        )
