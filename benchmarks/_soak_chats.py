"""Many chats, each with a realistic pipeline and a planned ending."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from random import Random
from typing import NamedTuple

import structlog
from _client_pair import ClientPair
from _resources import memory_in_use
from reactivex.disposable import CompositeDisposable

from rxollama import ChatResponse, Ollama, StreamError, ToolCall, run
from rxollama import operators as op
from rxollama.testing import Reply

__all__ = ("Sample", "Soak", "reply_to")

_FRAME = 1 / 30
_PATIENCE = 10.0
_PROMPT = "Why is the sky blue?"
_THINKING, _CONTENT = "Let me think about it. " * 4, "Blue light scatters more than red light. " * 6
_CALL = {"id": "call_1", "name": "get_weather", "arguments": {"city": "Oslo"}}
# The endings of a chat with their weights. An error is named by its class.
_ENDINGS = {"whole": 75, "cancelled": 10, "ReportedError": 5, "ConnectionLostError": 5, "NotFoundError": 5}


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


def reply_to(model: str) -> Reply:
    """Return the reply of a model, which is named after its ending."""
    return _reply(model)


class Sample(NamedTuple):
    """The measurements at one moment."""

    seconds: float
    memory: int
    objects: int
    chats: int


class _Chat:
    """A chat with its pipeline. Subscribing to its response starts it."""

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
        """Return whether all of the text was collected and shown."""
        message = response.message
        said = (message.thinking, message.content, "".join(map(_name, message.tool_calls)))
        return said == (_THINKING, _CONTENT, _CALL["name"]) == tuple(map("".join, self.shown.values()))


_name: Callable[[ToolCall], str] = attrgetter("name")


def _ignore(_: Exception) -> None:
    """Do nothing, because the error is raised where the response is awaited."""


class Soak:
    """
    A number of streams that run again and again, with samples of memory and objects.

    Args:
        clients: The clients.
        random: The source of the endings.
    """

    def __init__(self, clients: ClientPair, random: Random) -> None:
        self.ends: Counter[str] = Counter()
        self.errors: list[str] = []
        self.samples: list[Sample] = []
        self._clients = clients
        self._random = random
        # Every ending comes early, because what is built at its first time must not count as growth.
        self._first = [*_ENDINGS] * 4
        self._until = 0.0
        self._threads: list[threading.Thread] = []

    async def run(self, streams: int, seconds: float, *, watched: bool) -> None:
        """Run this many streams for some seconds, then wait until all of them have ended."""
        self._until = time.monotonic() + seconds
        count = streams // 5
        self._threads = [threading.Thread(target=self._in_thread, name="soak", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(streams - count):
                    group.create_task(self._in_coroutine())
                if watched:
                    group.create_task(self._watch(seconds))
        finally:
            self._until = 0.0
        while any(thread.is_alive() for thread in self._threads):  # noqa: ASYNC110 - Threads cannot set an event of the loop.
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """End all streams at once."""
        self._clients.close()
        for thread in self._threads:
            thread.join(_PATIENCE)

    async def _in_coroutine(self) -> None:
        while time.monotonic() < self._until:
            chat = _Chat(self._clients.of_tasks, self._draw())
            seconds = self._random.uniform(0.05, 0.5) if chat.ending == "cancelled" else None
            try:
                with chat.branches:
                    async with asyncio.timeout(seconds):
                        self._note(chat, "whole", await chat.response)
            except TimeoutError:
                self._note(chat, "cancelled")
            except StreamError as error:
                self._note(chat, type(error).__name__)

    def _in_thread(self) -> None:
        while time.monotonic() < self._until:
            # `run` can be cancelled only by Ctrl-C.
            chat = _Chat(self._clients.of_threads, self._draw().replace("cancelled", "whole"))
            try:
                with chat.branches:
                    self._note(chat, "whole", run(chat.response))
            except StreamError as error:
                self._note(chat, type(error).__name__)

    def _draw(self) -> str:
        if self._first:
            return self._first.pop()
        return self._random.choices([*_ENDINGS], [*_ENDINGS.values()])[0]

    def _note(self, chat: _Chat, ending: str, response: ChatResponse | None = None) -> None:
        self.ends[ending] += 1
        if ending != chat.ending:
            self.errors.append(f"expected the ending {chat.ending}, got {ending}")
        if response is not None and not chat.is_whole(response):
            self.errors.append(f"a whole chat collected {response}, and showed {chat.shown}")

    async def _watch(self, seconds: float) -> None:
        began, step = time.monotonic(), max(0.25, seconds / 30)
        print(f"{'seconds':>8}{'MiB':>10}{'objects':>10}{'chats':>10}")
        while time.monotonic() + step <= self._until:
            await asyncio.sleep(step)
            gc.collect()
            sample = Sample(time.monotonic() - began, memory_in_use(), len(gc.get_objects()), self.ends.total())
            self.samples.append(sample)
            print(f"{sample.seconds:8.1f}{sample.memory / 2**20:10.2f}{sample.objects:10,}{sample.chats:10,}")
