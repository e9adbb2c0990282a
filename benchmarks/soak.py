"""
Run many chats at the same time, again and again, and watch the memory.

Each chat goes through a real pipeline: a log to nowhere, `share`, thinking and content each paced to 30 updates a
second, tool calls gathered, the response collected. One stream in five is awaited by a thread with `run`, so that it
lives on the background loop; the others live on the loop of their coroutine. Most answers are whole; some are left in
the middle, some end in an error record, in a broken connection, or in a refusal. Each must end as it should, with all
of its text.

Memory and objects are sampled, after a garbage collection. The program fails if the last third of the samples, by its
median, holds more than the first third, the warm-up left out, by over 2 MiB of memory or by over 2 % of its objects;
if, once all streams have ended, there are over 100 objects more than when all streams had ended once before; if a
task, timer, thread or socket is left; if a chat ended otherwise than it should; or if anybody complained.

Run it:

    uv run python benchmarks/soak.py [--streams 50] [--seconds 60] [--seed N] [--smoke]
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from argparse import ArgumentParser, Namespace
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import BinaryIO

import orjson
import structlog
from _chats import Sample, Soak, choose
from _complaints import complaints
from _counts import Held, held, more, settle, table
from _hosted import Host, hosted

from rxollama import Ollama

_WARM_UP = 1 / 6
_MAX_MEMORY = 2 * 1024 * 1024
_MAX_OBJECTS = 1.02
_MAX_LEFT = 100
_PATIENCE, _IDLE_SECONDS = 10.0, 1.0
_SHOWN = 20


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
        client = Ollama(host.url)
        with closing(Soak(client, Random(options.seed))) as soak:
            runner.run(soak.keep(options.streams, options.seconds * _WARM_UP, watched=False))
            runner.run(client.aclose())
        turn(_IDLE_SECONDS)
        columns["before"], objects = count(), _objects()
        client = Ollama(host.url)
        with closing(Soak(client, Random(options.seed + 1))) as soak:
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
        options.streams, options.seconds = 20, 4.0
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
