"""
Run many chats at the same time, again and again, and watch the memory.

Each chat goes through a realistic pipeline: a log, `share`, thinking and content each paced to 30 updates per second,
tool calls gathered, the response collected. A thread awaits every fifth stream with `run`, so that it lives on the
background loop. The others live on the loop of their coroutine.
Most answers are whole. Some are cancelled midway, and some end in an error record, a broken connection or an error
status. Each chat must end as planned, with all of its text.

Memory and objects are sampled after a garbage collection. The program fails in these cases, each by the medians of the
samples after the warm-up:

- the last third of the samples has over 2 MiB more memory, or over 2 % more objects, than the first third;
- after all streams have ended there are over 100 objects more than after an earlier run;
- a task, timer, thread or socket remains open;
- a chat ended in another way than planned, or there was a warning, a log record or an unhandled exception.

Run it:

    uv run python benchmarks/soak.py [--streams 50] [--seconds 60] [--seed N] [--http-client] [--smoke]
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
from _client_pair import ClientPair
from _reports import captured_reports
from _resources import Resources, count_resources, increases, table, wait_until_released
from _server_process import ServerProcess, server_process
from _soak_chats import Sample, Soak, reply_to

_WARM_UP = 1 / 6
_MAX_MEMORY = 2 * 1024 * 1024
_MAX_OBJECTS = 1.02
_MAX_LEFT = 100
_PATIENCE, _IDLE_SECONDS = 10.0, 1.0
_SHOWN = 20


def _grown(samples: list[Sample], seconds: float) -> list[str]:
    """Return what grew from the first third of the samples to the last."""
    taken = [sample for sample in samples if sample.seconds > seconds * _WARM_UP]
    third = len(taken) // 3
    if not third:
        return ["too few samples: pass more --seconds"]
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


def _run(server: ServerProcess, options: Namespace, log: BinaryIO) -> list[str]:
    """Run the chats, print the numbers, and return the errors."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        logger_factory=structlog.BytesLoggerFactory(log),
        cache_logger_on_first_use=True,
    )
    count = partial(count_resources, server.open_connections)
    columns: dict[str, Resources] = {}
    with captured_reports() as reports, asyncio.Runner() as runner:

        def turn(seconds: float) -> None:
            runner.run(asyncio.sleep(seconds))

        # Unwatched runs first, because the background loop and others are built at first use, and some at the second.
        for _ in range(2):
            clients = ClientPair(server.url, plain=options.http_client)
            with closing(Soak(clients, Random(options.seed))) as soak:
                runner.run(soak.run(options.streams, options.seconds * _WARM_UP / 2, watched=False))
                runner.run(clients.aclose())
            turn(_IDLE_SECONDS)
        columns["before"], objects = count(), _objects()
        clients = ClientPair(server.url, plain=options.http_client)
        with closing(Soak(clients, Random(options.seed + 1))) as soak:
            runner.run(soak.run(options.streams, options.seconds, watched=True))
            turn(_IDLE_SECONDS)
            columns["client open"] = count()
            runner.run(clients.aclose())
        columns["client closed"] = wait_until_released(count, columns["before"], turn, _PATIENCE)
        left = _objects() - objects - len(soak.samples)

    grown = _grown(soak.samples, options.seconds)
    print(f"once all streams have ended: {left:+,} objects (at most {_MAX_LEFT:+,})")
    print(f"chats: {soak.ends.total():,}; {', '.join(f'{ending} {n:,}' for ending, n in soak.ends.most_common())}\n")
    print(table(columns))
    errors = soak.errors + grown + reports
    errors += [f"remaining: {what}" for what in increases(columns["client closed"], columns["before"])]
    return [*errors, f"{left:,} objects remain"] if left > _MAX_LEFT else errors


def main() -> None:
    """Run the program."""
    parser = ArgumentParser(description="Run many chats at the same time, again and again, and watch the memory.")
    parser.add_argument("--streams", type=int, default=50, help="the number of chats at the same time")
    parser.add_argument("--seconds", type=float, default=60, help="the duration after the warm-up")
    parser.add_argument("--seed", type=int, default=Random().randrange(1_000_000), help="repeats the endings")
    parser.add_argument("--http-client", action="store_true", help="use a plain httpx.AsyncClient")
    parser.add_argument("--smoke", action="store_true", help="run briefly, to check that everything works")
    options = parser.parse_args()
    if options.smoke:
        options.streams, options.seconds = 20, 4.0
    transport = "a plain httpx.AsyncClient" if options.http_client else "the default transport"
    print(f"Soak with {transport}: {options.streams} streams for {options.seconds:g} s, seed {options.seed}\n")
    try:
        with server_process(reply_to) as server, Path(os.devnull).open("wb") as log:
            errors = _run(server, options, log)
    except KeyboardInterrupt:
        sys.exit("stopped")
    for error in errors[:_SHOWN]:
        print(f"ERROR: {error}")
    if errors:
        sys.exit(f"\n{len(errors)} errors.")
    print("\nThe memory is flat, and no resource remained open.")


if __name__ == "__main__":
    main()
