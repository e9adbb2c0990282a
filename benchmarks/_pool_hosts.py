"""Hosts of a pool, each in its own process, which can be killed and restarted on the same port."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from typing import Self, TypeAlias

from _harness import child_process

from rxollama.testing import Reply, ScriptedOllama, SeenRequest

__all__ = ("PoolHost", "word")

_Process: TypeAlias = tuple[AbstractContextManager[Connection], Connection]


def word(place: int) -> str:
    """Return the word at a place of every answer."""
    return f" w{place}"


class PoolHost:
    """
    A host that goes on from the words that a request brings along.

    A process takes a second or more to start, so the next one stands by while one listens.

    Args:
        words: The number of words in an answer.
        gap: The seconds between two words.

    Attributes:
        url: The address, which stays the same.
    """

    def __init__(self, words: int, gap: float) -> None:
        self._words, self._gap = words, gap
        self._port = 0
        self._listening: _Process | None = None
        self._standing_by = self._new_process()
        self.url = ""

    def _new_process(self) -> _Process:
        process = child_process(_serve, self._words, self._gap)
        return process, process.__enter__()

    def start(self) -> Self:
        """Let the process that stands by listen, and wait until it does."""
        self._listening = self._standing_by
        _, pipe = self._listening
        pipe.send(self._port)
        self._port = pipe.recv()
        self.url = f"http://127.0.0.1:{self._port}"
        self._standing_by = self._new_process()
        return self

    def kill(self) -> None:
        """Kill the process that listens."""
        if self._listening is not None:
            process, _ = self._listening
            self._listening = None
            process.__exit__(None, None, None)

    def close(self) -> None:
        """Kill both processes."""
        self.kill()
        process, _ = self._standing_by
        process.__exit__(None, None, None)


async def _serve(pipe: Connection, words: int, gap: float) -> None:
    def answer(request: SeenRequest) -> Reply:
        last = request.json["messages"][-1]
        begun = last["content"].count("w") if last["role"] == "assistant" else 0
        return Reply.answer([word(place) for place in range(begun, words)], model=request.json["model"], gap=gap)

    port = await asyncio.to_thread(pipe.recv)
    with ScriptedOllama(port=port) as server:
        server.always(answer)
        server.always(Reply.json({"models": [{"name": "m:latest", "model": "m:latest"}]}), path="/api/tags")
        server.always(
            Reply.json({"models": [{"name": "m:latest", "model": "m:latest", "context_length": 4096}]}), path="/api/ps"
        )
        pipe.send(server.port)
        await asyncio.Event().wait()
