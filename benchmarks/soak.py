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
from contextlib import suppress
from functools import cache, partial
from random import Random
from statistics import median
from typing import BinaryIO, NamedTuple

import orjson
import structlog
from _complaints import complaints
from _counts import Held, held, memory, more, settle, table
from _hosted import Host, hosted
from reactivex import Observable

from rxollama import ChatResponse, Ollama, StreamError, run
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
_PATIENCE = 10.0
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
            ending = self._draw()
            shown: list[str] = []
            response = self._chat(ending, shown)
            try:
                async with asyncio.timeout(self._random.uniform(0.05, 0.5) if ending == "left" else None):
                    self._note(ending, "whole", shown, await response)
            except TimeoutError:
                self._note(ending, "left", shown)
            except StreamError as error:
                self._note(ending, type(error).__name__, shown)

    def _in_thread(self) -> None:
        while time.monotonic() < self._until:
            # Nobody leaves a `run` but by Ctrl-C.
            ending = self._draw().replace("left", "whole")
            shown: list[str] = []
            try:
                self._note(ending, "whole", shown, run(self._chat(ending, shown)))
            except StreamError as error:
                self._note(ending, type(error).__name__, shown)

    def _draw(self) -> str:
        return self._random.choices([*_ENDINGS], [*_ENDINGS.values()])[0]

    def _chat(self, ending: str, shown: list[str]) -> Observable[ChatResponse]:
        """Build the pipeline of a chat; its side branches show each text in its own way, and hear of every error."""
        answer = self._client.chat(ending, _PROMPT, think=True).pipe(op.log(structlog.get_logger()), op.share())
        branches = [
            answer.pipe(op.thinking(), op.coalesce(_FRAME)).subscribe(shown.append, _ignore),
            answer.pipe(op.content(), op.coalesce(_FRAME)).subscribe(shown.append, _ignore),
            answer.pipe(op.gather_tool_calls()).subscribe(lambda calls: shown.append(calls[0].name), _ignore),
        ]
        return answer.pipe(op.collect(), _finally(branches))

    def _note(self, wanted: str, ending: str, shown: list[str], response: ChatResponse | None = None) -> None:
        self.ends[ending] += 1
        if ending != wanted:
            self.wrongs.append(f"a chat that should end in {wanted} ended in {ending}")
        if response is not None:
            said = (response.message.thinking, response.message.content, response.message.tool_calls[0].name)
            if said != (_THINKING, _CONTENT, _CALL["name"]) or "".join(shown) != "".join(said):
                self.wrongs.append(f"a whole chat brought {said}, and showed {shown}")

    async def _watch(self, seconds: float) -> None:
        began, step = time.monotonic(), max(0.25, seconds / 30)
        print(f"{'seconds':>8}{'MiB':>10}{'objects':>10}{'chats':>10}")
        while time.monotonic() + step <= self._until:
            await asyncio.sleep(step)
            gc.collect()
            sample = Sample(time.monotonic() - began, memory(), len(gc.get_objects()), self.ends.total())
            self.samples.append(sample)
            print(f"{sample.seconds:8.1f}{sample.memory / 2**20:10.2f}{sample.objects:10,}{sample.chats:10,}")
