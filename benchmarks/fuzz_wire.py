"""
Feed spoiled answers to the decoders and to the whole client, and see that nothing but our own errors comes of them.

What a real server sent (`tests/recordings`) is spoiled in one to five ways: bits flipped; cut off; slices doubled,
deleted, swapped; garbage, newlines and nulls inserted; two recordings spliced; numbers blown up; keys renamed; values
of other types; nesting up to 100,000 levels. Each input goes to its decoder whole, byte by byte and at random cuts,
with and without a short limit for a record, and as the body of a refusal. Every fifth goes through a real connection
to the whole client as well: as a body that ends properly, compressed or not, whose connection is closed or reset in
the middle, whose compression is broken, or in place of HTTP at all.

What must hold: only `RxOllamaError` comes out, and nobody complains; it ends; records and failure are the same
whatever the cuts; they are those of the lines read one by one; every record that was whole before the first spoiled
byte is handed out; the client hands out what the decoder does. Each finding is printed with a shrunk input, and can
be tried again with its seed by `--only`.

Run it:

    uv run python benchmarks/fuzz_wire.py [--inputs 20000] [--seconds N] [--seed N] [--only N] [--httpx] [--smoke]
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from itertools import count
from pathlib import Path
from random import Random
from types import FrameType
from typing import NamedTuple

import httpx
from _complaints import complaints
from _decoding import WrongError, check
from _mutate import mutated
from _playing import PLAYED, Case, Stage, drawn
from _shrink import shrunk

from rxollama import Ollama
from rxollama._wire import MAX_LINE
from rxollama.testing import Recording, ScriptedOllama

_RECORDINGS = Path(__file__).parent.parent / "tests" / "recordings"
_INPUTS, _SMOKE_INPUTS = 20_000, 1500
_BATCH, _EVERY = 80, 5
_LONGEST = 40_000
_SHORT_LINES = (60, 200, 1000)
_HANG_SECONDS, _TELL_SECONDS = 10.0, 5.0
_SHOWN, _SHOWN_BYTES = 20, 600
_TRIES, _PLAYED_TRIES = 2000, 200


class _Input(NamedTuple):
    path: str
    status: int
    original: bytes
    body: bytes
    max_line: int
    seed: str


class _HangError(Exception):
    pass


class _Fuzz:
    """Draw inputs, try them, and keep what is found."""

    def __init__(self, seed: int, stage: Stage, complained: list[str]) -> None:
        recordings = Recording.load_all(_RECORDINGS).values()
        self.inputs = self.played = 0
        self.findings: list[str] = []
        self.ends: Counter[str] = Counter()
        self.heard: Counter[str] = Counter()
        self._seed = seed
        self._stage = stage
        self._complained = complained
        self._bodies = [(one.request.path, one.status, one.body[:_LONGEST]) for one in recordings]
        self._others = [body for _, _, body in self._bodies if body]

    def draw(self, number: int) -> _Input:
        """Draw an input by its number."""
        seed = f"{self._seed}/{number}"
        random = Random(seed)
        path, status, original = random.choice(self._bodies)
        body = mutated(original, random, self._others)
        max_line = MAX_LINE if random.randrange(_EVERY) else random.choice(_SHORT_LINES)
        return _Input(path, status, original, body, max_line, seed)

    async def try_all(self, numbers: list[int]) -> None:
        """Try inputs: each at the decoders, some of them at the whole client."""
        cases: list[Case] = []
        for number in numbers:
            one = self.draw(number)
            self.inputs += 1
            end, wrong = _tried(one, one.body)
            self.ends[end] += 1
            if wrong:
                await self._found_decoding(number, one, wrong)
            if number % _EVERY == 0 and one.path in PLAYED:
                cases.append(drawn(one.path, one.status, one.body, self._others, one.seed))
        for case, (heard, wrong) in zip(cases, await asyncio.gather(*map(self._stage.play, cases)), strict=True):
            self.played += 1
            self.heard[f"{case.how}: {heard.failure or 'completion'}"] += 1
            if wrong:
                await self._found_playing(case, wrong)
        during = f"somebody complained during inputs {numbers[0]} to {numbers[-1]}"
        for complaint in self._complained:
            self._find(f"{during}: {complaint}")
        self._complained.clear()

    async def _found_decoding(self, number: int, one: _Input, wrong: str) -> None:
        async def fails(body: bytes) -> bool:
            return bool(_tried(one, body)[1])

        body = await shrunk(one.body, fails, _TRIES)
        self._find(f"input {number}, {one.path}, max_line {one.max_line}: {wrong}", body, _tried(one, body)[1])

    async def _found_playing(self, case: Case, wrong: str) -> None:
        async def fails(body: bytes) -> bool:
            return bool((await self._stage.play(case._replace(body=body)))[1])

        body = await shrunk(case.body, fails, _PLAYED_TRIES)
        _, again = await self._stage.play(case._replace(body=body))
        number = case.seed.partition("/")[2]
        self._find(f"input {number}, {case.path}, status {case.status}, {case.how}: {wrong}", body, again)

    def _find(self, what: str, body: bytes | None = None, wrong: str = "") -> None:
        if body is not None:
            shown = repr(body) if len(body) <= _SHOWN_BYTES else f"{body[:_SHOWN_BYTES]!r}... ({len(body):,} bytes)"
            what += f"\n    shrunk: {shown}\n    of which: {wrong or 'nothing is wrong when it is tried again'}"
        self.findings.append(what)
        if len(self.findings) <= _SHOWN:
            print(f"FOUND: {what}", flush=True)


def _tried(one: _Input, body: bytes) -> tuple[str, str]:
    """Return the name of the failure that a body comes to, and what is wrong or an empty text."""
    try:
        with _watched():
            return check(one.path, body, one.original, one.max_line, Random(one.seed)).failure or "no failure", ""
    except WrongError as wrong:
        return "wrong", str(wrong)
    except Exception as error:  # noqa: BLE001 - It is what is looked for.
        return "wrong", f"the decoder raised {error!r}"


@contextmanager
def _watched() -> Generator[None]:
    """Raise in what keeps this thread busy for too long; the time counts that this process has the processor."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, _HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _hang(_: int, __: FrameType | None) -> None:
    raise _HangError(f"it takes over {_HANG_SECONDS:g} s")


async def _fuzz(options: Namespace) -> _Fuzz:
    async with AsyncExitStack() as stack:
        complained = stack.enter_context(complaints())
        server = stack.enter_context(ScriptedOllama())
        clients: list[Ollama] = []
        for _ in range(2):
            passed = await stack.enter_async_context(httpx.AsyncClient()) if options.httpx else None
            clients.append(await stack.enter_async_context(Ollama(server.url, http_client=passed)))
        fuzz = _Fuzz(options.seed, Stage(server, *clients), complained)
        if options.only is not None:
            await fuzz.try_all([options.only])
        else:
            await _go_on(fuzz, options)
        return fuzz


async def _go_on(fuzz: _Fuzz, options: Namespace) -> None:
    began = told = time.monotonic()
    for first in count(0, _BATCH):
        now = time.monotonic()
        if first >= options.inputs or now - began > options.seconds:
            return
        if now - told > _TELL_SECONDS:
            told = now
            print(f"{fuzz.inputs:,} inputs in {now - began:.0f} s, {len(fuzz.findings)} findings", file=sys.stderr)
        await fuzz.try_all(list(range(first, min(first + _BATCH, options.inputs))))


def main() -> None:
    """Run the fuzzer."""
    parser = ArgumentParser(description="Feed spoiled answers to the decoders and to the whole client.")
    parser.add_argument("--inputs", type=int, help=f"how many; without --seconds {_INPUTS:,}")
    parser.add_argument("--seconds", type=float, help="how long at most")
    parser.add_argument("--seed", type=int, help="for the same inputs again")
    parser.add_argument("--only", type=int, help="try one input by its number; of those played, a multiple of 5")
    parser.add_argument("--httpx", action="store_true", help="with a plain httpx.AsyncClient passed in")
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that everything works")
    options = parser.parse_args()
    if options.inputs is None:
        options.inputs = _SMOKE_INPUTS if options.smoke else _INPUTS if options.seconds is None else sys.maxsize
    if options.smoke and options.seed is None:
        # The same every time: what is found by chance is for those who look for it.
        options.seed = 1
    options.seed = Random().randrange(1_000_000) if options.seed is None else options.seed
    options.seconds = options.seconds or float("inf")
    if hasattr(signal, "SIGPROF"):
        signal.signal(signal.SIGPROF, _hang)
    transport = "a plain httpx.AsyncClient" if options.httpx else "the default transport"
    print(f"Fuzzing with {transport}, seed {options.seed}", flush=True)
    began = time.monotonic()
    try:
        fuzz = asyncio.run(_fuzz(options))
    except KeyboardInterrupt:
        sys.exit("stopped")
    seconds = time.monotonic() - began
    print(f"\n{fuzz.inputs:,} inputs tried in {seconds:.0f} s, {fuzz.played:,} of them through the whole client")
    print(f"decoded: {', '.join(f'{end} {n:,}' for end, n in fuzz.ends.most_common())}")
    print(f"played: {', '.join(f'{end} {n:,}' for end, n in sorted(fuzz.heard.items()))}")
    if fuzz.findings:
        sys.exit(f"\n{len(fuzz.findings)} findings.")
    print("\nNo findings.")


if __name__ == "__main__":
    main()
