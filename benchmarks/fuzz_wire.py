"""
Feed mutated answers to the decoders and to the whole client, and check that only our own errors come out.

Recorded answers of a real server (`tests/recordings`) are mutated one to five times: bits flipped; the body cut off;
slices doubled, deleted, swapped; garbage, line ends and nulls inserted; two recordings spliced; extreme numbers;
other keys; values of other types; nesting up to 100,000 levels.
Each input goes to its decoder whole, byte by byte and at random cuts, with and without a small limit for a record, and
as the body of an error status. A chat also goes from memory through own operators (`_ways.py`), which receive its reads
as batches. Every tenth input goes through a real connection to the whole client: as a proper body, compressed or not;
with the connection closed or reset midway; with broken compression; or instead of HTTP. A callback receives it, or own
operators.

These properties must hold:

- only `RxOllamaError` is raised, and there is no warning, log record or unhandled exception;
- decoding ends;
- records and failure do not depend on the cuts, and equal those of the lines decoded one by one;
- every record that was whole before the first mutated byte is emitted;
- the client emits what the decoder returns;
- own operators emit for a chat what they emit for its chunks one by one.

Each finding is printed with a smaller input, and can be repeated with its seed and `--only`.

Run it:

    uv run python benchmarks/fuzz_wire.py [--inputs 20000] [--every 10] [--processes N] [--seed N] [--only N]
        [--http-client] [--smoke]
"""

from __future__ import annotations

import os
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from contextlib import AsyncExitStack, ExitStack
from multiprocessing.connection import Connection, wait
from random import Random

import httpx
from _fuzz import Fuzz, raise_hang
from _harness import child_process
from _reports import captured_reports

from rxollama import Ollama
from rxollama.testing import ScriptedOllama

_INPUTS, _SMOKE_INPUTS = 20_000, 1500
_BATCH = 80
_PRINT_SECONDS = 5.0


async def _fuzz(pipe: Connection, options: Namespace, first: int) -> None:
    """Try this process's share of the inputs, and send counts after each batch."""
    if hasattr(signal, "SIGPROF"):
        signal.signal(signal.SIGPROF, raise_hang)
    async with AsyncExitStack() as stack:
        reports = stack.enter_context(captured_reports())
        server = stack.enter_context(ScriptedOllama())
        clients: list[Ollama] = []
        for _ in range(2):
            passed = await stack.enter_async_context(httpx.AsyncClient()) if options.http_client else None
            clients.append(await stack.enter_async_context(Ollama(server.url, http_client=passed)))
        fuzz = Fuzz(options.seed, options.every, server, clients, reports)
        numbers = [options.only] if options.only is not None else range(first, options.inputs, options.processes)
        for start in range(0, len(numbers), _BATCH):
            await fuzz.try_inputs(numbers[start : start + _BATCH])
            pipe.send(fuzz.take_counts())


def _total(pipes: list[Connection], inputs: int) -> Counter[str]:
    """Add up the counts of all processes until they end, and print the progress."""
    total: Counter[str] = Counter()
    began = printed = time.monotonic()
    while pipes:
        for pipe in wait(pipes):
            assert isinstance(pipe, Connection)  # noqa: S101 - A narrowing for type checkers.
            try:
                total += pipe.recv()
            except EOFError:
                pipes.remove(pipe)
        if time.monotonic() - printed > _PRINT_SECONDS:
            printed = time.monotonic()
            done = f"{total['inputs']:,} of {inputs:,} inputs, {total['live']:,} of them live"
            print(f"{done}, in {printed - began:.0f} s, {total['findings']} findings", file=sys.stderr)
    return total


def _options() -> Namespace:
    parser = ArgumentParser(description="Feed mutated answers to the decoders and to the whole client.")
    parser.add_argument("--inputs", type=int, default=_INPUTS, help="the number of inputs")
    parser.add_argument("--every", type=int, default=10, help="every how manieth input goes through a connection")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="the number of processes")
    parser.add_argument("--seed", type=int, help="repeats the inputs")
    parser.add_argument("--only", type=int, help="try one input by its number")
    parser.add_argument("--http-client", action="store_true", help="use a plain httpx.AsyncClient")
    parser.add_argument("--smoke", action="store_true", help="run briefly, to check that everything works")
    options = parser.parse_args()
    if options.smoke:
        # Always the same inputs: a short check should not fail by chance.
        options.inputs, options.seed = _SMOKE_INPUTS, options.seed or 1
    if options.only is not None:
        options.inputs, options.processes = 1, 1
    options.seed = Random().randrange(1_000_000) if options.seed is None else options.seed
    return options


def main() -> None:
    """Run the fuzzer."""
    options = _options()
    transport = "a plain httpx.AsyncClient" if options.http_client else "the default transport"
    print(f"Fuzzing with {transport}, seed {options.seed}, {options.processes} processes", flush=True)
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            parts = (child_process(_fuzz, options, first) for first in range(options.processes))
            total = _total([stack.enter_context(part) for part in parts], options.inputs)
    except KeyboardInterrupt:
        sys.exit("stopped")
    print(f"\nin {time.monotonic() - began:.0f} s: " + ", ".join(f"{what} {n:,}" for what, n in sorted(total.items())))
    if total["inputs"] < options.inputs:
        sys.exit("\nA process died.")
    if total["findings"]:
        sys.exit(f"\n{total['findings']} findings.")
    print("\nNo findings.")


if __name__ == "__main__":
    main()
