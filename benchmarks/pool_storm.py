"""
Kill and restart three hosts of a pool, one every two seconds, under chats that must not notice.

Each chat is one of many at the same time, and another follows when it ends. Its answer is a known row of words. Half of
the chats continue a broken answer, the others begin it over. Each is watched in three ways: by snapshots, none of which
may hold a word twice or miss one; by a paced view; and by the collected response.
The program fails if a chat fails, if a word is doubled or lost, if no answer was broken, or if there was a warning, a
log record or an unhandled exception.

Run it:

    uv run python benchmarks/pool_storm.py [--streams 50] [--seconds 120] [--every 2] [--smoke]
"""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from itertools import count, cycle
from typing import Literal

from _pool_hosts import PoolHost, word
from _reports import captured_reports

from rxollama import ChatChunk, ChatResponse, Ollama, Pool, Stream
from rxollama import operators as op

_WORDS, _GAP = 100, 0.02
_DOWN_SECONDS = 0.3
_SHOWN = 20
_ANSWER = "".join(map(word, range(_WORDS)))


class _Storm:
    """The chats of one run, and how they ended."""

    def __init__(self, ollama: Ollama, until: float) -> None:
        self._ollama = ollama
        self._until = until
        self._numbers = count()
        self.chats = Counter[str]()
        self.errors: list[str] = []

    async def stream(self) -> None:
        """Chat again and again."""
        while time.monotonic() < self._until:
            after_break: Literal["continue", "restart"] = "continue" if next(self._numbers) % 2 else "restart"
            try:
                await self._chat(after_break)
            except Exception as error:  # noqa: BLE001 - That is what the program looks for.
                notes = "; ".join(getattr(error, "__notes__", ()))
                self.errors.append(f"{after_break}: {type(error).__name__}: {error} ({notes})")

    async def _chat(self, after_break: Literal["continue", "restart"]) -> None:
        restarts: list[ChatChunk] = []
        wrong: list[str] = []

        def on_chunk(chunk: ChatChunk) -> None:
            if chunk.restart is not None:
                restarts.append(chunk)

        def on_snapshot(seen: ChatResponse) -> None:
            if not _ANSWER.startswith(seen.message.content):
                wrong.append(seen.message.content)

        shared = self._ollama.chat("m", "Count.", after_break=after_break).pipe(op.share())
        shared.subscribe(on_chunk, on_error=_ignore)
        shared.pipe(op.accumulate()).subscribe(on_snapshot, on_error=_ignore)
        paced, whole = await asyncio.gather(
            _response(shared.pipe(op.coalesce(1 / 30), op.collect())), _response(shared.pipe(op.collect()))
        )
        if wrong or {paced.message.content, whole.message.content} != {_ANSWER}:
            self.errors.append(f"{after_break}: wrong words: {(wrong or [whole.message.content])[-1]!r}")
        requests = whole.metrics.repeat_count + 1
        self.chats["begun over" if restarts else "continued" if requests > 1 else "undisturbed"] += 1


async def _response(chat: Stream[ChatResponse]) -> ChatResponse:
    return await chat


def _ignore(_: Exception) -> None:
    """Leave an error to the subscriber that awaits."""


async def _kill(hosts: list[PoolHost], every: float, until: float) -> int:
    """Kill and restart one host after another, and return how many were killed."""
    kills = 0
    for host in cycle(hosts):
        began = time.monotonic()
        if began > until:
            break
        await asyncio.to_thread(host.kill)
        kills += 1
        await asyncio.sleep(_DOWN_SECONDS)
        await asyncio.to_thread(host.start)
        await asyncio.sleep(max(0.0, every - (time.monotonic() - began)))
    return kills


async def _run(hosts: list[PoolHost], options: Namespace) -> list[str]:
    until = time.monotonic() + options.seconds
    async with Pool(*(host.url for host in hosts)) as pool, Ollama(transport=pool) as ollama:
        storm = _Storm(ollama, until)
        kills, *_ = await asyncio.gather(
            _kill(hosts, options.every, until), *(storm.stream() for _ in range(options.streams))
        )
    chats = storm.chats
    print(f"{kills} kills; {chats.total():,} chats: {', '.join(f'{kind} {n:,}' for kind, n in chats.most_common())}")
    if not (chats["begun over"] and chats["continued"]):
        storm.errors.append("no answer was broken in both ways: raise --seconds")
    return storm.errors


def main() -> None:
    """Run the program."""
    parser = ArgumentParser(description="Kill and restart the hosts of a pool under chats that must not notice.")
    parser.add_argument("--streams", type=int, default=50, help="the number of chats at the same time")
    parser.add_argument("--seconds", type=float, default=120, help="the duration")
    parser.add_argument("--every", type=float, default=2, help="the seconds between two kills")
    parser.add_argument("--smoke", action="store_true", help="run briefly, to check that everything works")
    options = parser.parse_args()
    if options.smoke:
        options.streams, options.seconds = 10, 8.0
    hosts = [PoolHost(_WORDS, _GAP).start() for _ in range(3)]
    print(f"Pool storm: {options.streams} streams for {options.seconds:g} s, a kill every {options.every:g} s\n")
    try:
        with captured_reports() as reports:
            errors = asyncio.run(_run(hosts, options)) + reports
    except KeyboardInterrupt:
        sys.exit("stopped")
    finally:
        for host in hosts:
            host.close()
    for error in errors[:_SHOWN]:
        print(f"ERROR: {error}")
    if errors:
        sys.exit(f"\n{len(errors)} errors.")
    print("\nNo chat failed, and no word was doubled or lost.")


if __name__ == "__main__":
    main()
