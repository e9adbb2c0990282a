"""
Run many chats at the same time, again and again, and watch the memory.

Each chat goes through a real pipeline: a log to nowhere, `share`, thinking and content each paced to 30 updates a
second, tool calls gathered, the response collected. One stream in five is awaited by a thread with `run`, so that it
lives on the background loop; the others live on the loop of their coroutine. Most answers are whole; some are left in
the middle, some end in an error record, in a broken connection, or in a refusal. Each must end as it should, with all
of its text.

Memory and objects are sampled, after a garbage collection. The program fails if the last third of the samples, by its
median, holds more than the first third, the warm-up left out, by over 4 MiB of memory or by over 5 % of its objects;
if, once all streams have ended, there are over 200 objects more than when all streams had ended once before; if a
task, timer, thread or socket is left; if a chat ended otherwise than it should; or if anybody complained.

Run it:

    uv run python benchmarks/soak.py [--streams 50] [--seconds 60] [--seed N] [--smoke]
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from operator import attrgetter
from pathlib import Path
from random import Random
from statistics import median
from typing import BinaryIO, NamedTuple

import orjson
import structlog
from _complaints import complaints
from _counts import Held, held, memory, more, settle, table
from _hosted import Host, hosted
from reactivex.disposable import CompositeDisposable

from rxollama import ChatResponse, Ollama, StreamError, ToolCall, run
from rxollama import operators as op
from rxollama.testing import Reply

_FRAME = 1 / 30
_PROMPT = "Why is the sky blue?"
_THINKING, _CONTENT = "Let me think about it. " * 4, "Blue light scatters more than red light. " * 6
_CALL = {"id": "call_1", "name": "get_weather", "arguments": {"city": "Oslo"}}
# What becomes of a chat, how often, and the error that is right.
_ENDINGS = {"whole": 75, "left": 10, "ReportedError": 5, "ConnectionLostError": 5, "NotFoundError": 5}

_WARM_UP = 1 / 6
_MAX_MEMORY = 4 * 1024 * 1024
_MAX_OBJECTS = 1.05
_MAX_LEFT = 200
_PATIENCE, _IDLE_SECONDS = 10.0, 1.0
_SHOWN = 20


@cache
def _reply(ending: str) -> Reply:
    whole = Reply.answer(_CONTENT, thinking=_THINKING, tool_calls=[_CALL], gap=0.01)
    match ending:
        case "ReportedError":
            return whole.with_error("the model stopped", after=20)
        case "ConnectionLostError":
            return whole.dropped(3000)
        case "NotFoundError":
            return Reply.error(404, {"error": "model 'x' not found"})
        case _:
            return whole


def choose(model: str) -> Reply:
    """Give the reply for a model, which is named after its ending."""
    return _reply(model)


class Sample(NamedTuple):
    """Be what was seen at a moment."""

    seconds: float
    memory: int
    objects: int
    chats: int


class _Chat:
    """Be one chat and its pipeline, of which only the response is left to be subscribed to."""

    def __init__(self, client: Ollama, ending: str) -> None:
        self.ending = ending
        self.shown: dict[str, list[str]] = {"thinking": [], "content": [], "tools": []}
        thinking, content, tools = self.shown.values()
        answer = client.chat(ending, _PROMPT, think=True).pipe(op.log(structlog.get_logger()), op.share())
        self.branches = CompositeDisposable(
            answer.pipe(op.thinking(), op.coalesce(_FRAME)).subscribe(thinking.append, _ignore),
            answer.pipe(op.content(), op.coalesce(_FRAME)).subscribe(content.append, _ignore),
            answer.pipe(op.gather_tool_calls()).subscribe(lambda calls: tools.extend(map(_name, calls)), _ignore),
        )
        self.response = answer.pipe(op.collect())

    def is_whole(self, response: ChatResponse) -> bool:
        """Tell whether all of the text was collected, and all of it shown."""
        message = response.message
        said = (message.thinking, message.content, "".join(map(_name, message.tool_calls)))
        return said == (_THINKING, _CONTENT, _CALL["name"]) == tuple(map("".join, self.shown.values()))


_name: Callable[[ToolCall], str] = attrgetter("name")


def _ignore(_: Exception) -> None:
    """Leave the error to the one who awaits the response."""


class Soak:
    """
    Keep streams going, and look at what they hold.

    Args:
        client: Whom to ask.
        random: Draws the endings.
    """

    def __init__(self, client: Ollama, random: Random) -> None:
        self.ends: Counter[str] = Counter()
        self.wrongs: list[str] = []
        self.samples: list[Sample] = []
        self._client = client
        self._random = random
        self._until = 0.0

    async def keep(self, streams: int, seconds: float, *, watched: bool) -> None:
        """Keep so many streams going for so long, then wait until all of them have ended."""
        self._until = time.monotonic() + seconds
        count = streams // 5
        threads = [threading.Thread(target=self._in_thread, name="soak", daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(streams - count):
                    group.create_task(self._in_coroutine())
                if watched:
                    group.create_task(self._watch(seconds))
        finally:
            self._until = 0.0
        while any(thread.is_alive() for thread in threads):  # noqa: ASYNC110 - Threads set no event of a loop.
            await asyncio.sleep(0.01)

    async def _in_coroutine(self) -> None:
        while time.monotonic() < self._until:
            chat = _Chat(self._client, self._draw())
            seconds = self._random.uniform(0.05, 0.5) if chat.ending == "left" else None
            try:
                with chat.branches:
                    async with asyncio.timeout(seconds):
                        self._note(chat, "whole", await chat.response)
            except TimeoutError:
                self._note(chat, "left")
            except StreamError as error:
                self._note(chat, type(error).__name__)

    def _in_thread(self) -> None:
        while time.monotonic() < self._until:
            # Nobody leaves a `run` but by Ctrl-C.
            chat = _Chat(self._client, self._draw().replace("left", "whole"))
            try:
                with chat.branches:
                    self._note(chat, "whole", run(chat.response))
            except StreamError as error:
                self._note(chat, type(error).__name__)

    def _draw(self) -> str:
        return self._random.choices([*_ENDINGS], [*_ENDINGS.values()])[0]

    def _note(self, chat: _Chat, ending: str, response: ChatResponse | None = None) -> None:
        self.ends[ending] += 1
        if ending != chat.ending:
            self.wrongs.append(f"a chat that should end in {chat.ending} ended in {ending}")
        if response is not None and not chat.is_whole(response):
            self.wrongs.append(f"a whole chat brought {response}, and showed {chat.shown}")

    async def _watch(self, seconds: float) -> None:
        began, step = time.monotonic(), max(0.25, seconds / 30)
        print(f"{'seconds':>8}{'MiB':>10}{'objects':>10}{'chats':>10}")
        while time.monotonic() + step <= self._until:
            await asyncio.sleep(step)
            gc.collect()
            sample = Sample(time.monotonic() - began, memory(), len(gc.get_objects()), self.ends.total())
            self.samples.append(sample)
            print(f"{sample.seconds:8.1f}{sample.memory / 2**20:10.2f}{sample.objects:10,}{sample.chats:10,}")


def _grown(samples: list[Sample], seconds: float) -> list[str]:
    """Tell what grew from the first third to the last."""
    taken = [sample for sample in samples if sample.seconds > seconds * _WARM_UP]
    third = len(taken) // 3
    if not third:
        return ["too few samples were taken: give it more seconds"]
    first, last = taken[:third], taken[-third:]
    memory_first, memory_last = (median(sample.memory for sample in part) for part in (first, last))
    objects_first, objects_last = (median(sample.objects for sample in part) for part in (first, last))
    chats = median(sample.chats for sample in last) - median(sample.chats for sample in first)
    more_memory, more_objects = memory_last - memory_first, objects_last - objects_first
    print(
        f"\nfrom the first third to the last, {chats:,.0f} chats later: {more_memory / 2**20:+.2f} MiB "
        f"(at most {_MAX_MEMORY / 2**20:+.0f}), {more_objects:+,.0f} objects (at most {_MAX_OBJECTS - 1:+.0%})"
    )
    grown = [f"memory grew by {more_memory / 2**20:.2f} MiB"] if more_memory > _MAX_MEMORY else []
    return [*grown, f"{more_objects:,.0f} objects more"] if objects_last > objects_first * _MAX_OBJECTS else grown


def _objects() -> int:
    gc.collect()
    return len(gc.get_objects())


def _soaked(host: Host, options: Namespace, log: BinaryIO) -> list[str]:
    """Run the soak, print what was seen, and return what was wrong."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        logger_factory=structlog.BytesLoggerFactory(log),
        cache_logger_on_first_use=True,
    )
    count = partial(held, host.open_connections)
    columns: dict[str, Held] = {}
    with complaints() as complained, asyncio.Runner() as runner:

        def turn(seconds: float) -> None:
            runner.run(asyncio.sleep(seconds))

        # Once without looking: what is made at first use, such as the background loop, is no leak.
        with Ollama(host.url) as client:
            runner.run(
                Soak(client, Random(options.seed)).keep(options.streams, options.seconds * _WARM_UP, watched=False)
            )
            runner.run(client.aclose())
        turn(_IDLE_SECONDS)
        columns["before"], objects = count(), _objects()
        client = Ollama(host.url)
        soak = Soak(client, Random(options.seed + 1))
        runner.run(soak.keep(options.streams, options.seconds, watched=True))
        turn(_IDLE_SECONDS)
        columns["client open"] = count()
        runner.run(client.aclose())
        columns["client closed"] = settle(count, columns["before"], turn, _PATIENCE)
        left = _objects() - objects - len(soak.samples)

    grown = _grown(soak.samples, options.seconds)
    print(f"once all streams have ended: {left:+,} objects (at most {_MAX_LEFT:+,})")
    print(f"chats: {soak.ends.total():,}; {', '.join(f'{ending} {n:,}' for ending, n in soak.ends.most_common())}\n")
    print(table(columns))
    wrongs = soak.wrongs + grown + complained
    wrongs += [f"left behind, {what}" for what in more(columns["client closed"], columns["before"])]
    return [*wrongs, f"{left:,} objects were left"] if left > _MAX_LEFT else wrongs


def main() -> None:
    """Run the soak."""
    parser = ArgumentParser(description="Run many chats at the same time, again and again, and watch the memory.")
    parser.add_argument("--streams", type=int, default=50, help="chats at the same time")
    parser.add_argument("--seconds", type=float, default=60, help="how long, after a warm-up")
    parser.add_argument("--seed", type=int, default=Random().randrange(1_000_000), help="for the same endings again")
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that everything works")
    options = parser.parse_args()
    if options.smoke:
        options.streams, options.seconds = 20, 6.0
    print(f"Soak: {options.streams} streams for {options.seconds:g} s, seed {options.seed}\n")
    try:
        with hosted(choose) as host, Path(os.devnull).open("wb") as log:
            wrongs = _soaked(host, options, log)
    except KeyboardInterrupt:
        sys.exit("stopped")
    for wrong in wrongs[:_SHOWN]:
        print(f"WRONG: {wrong}")
    if wrongs:
        sys.exit(f"\n{len(wrongs)} things were wrong.")
    print("\nThe memory is flat, and nothing was left behind.")


if __name__ == "__main__":
    main()
