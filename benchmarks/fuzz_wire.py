"""
Feed mutated answers to the decoders and to the whole client, and check that only our own errors come out.

Recorded answers of a real server (`tests/recordings`) are mutated one to five times: bits flipped; the body cut off;
slices doubled, deleted, swapped; garbage, line ends and nulls inserted; two recordings spliced; extreme numbers;
other keys; values of other types; nesting up to 100,000 levels.
Each input goes to its decoder whole, byte by byte and at random cuts, with and without a small limit for a record, and
as the body of an error status. Every fifth one also goes through a real connection to the whole client: as a proper
body, compressed or not; with the connection closed or reset midway; with broken compression; or instead of HTTP.

These properties must hold:

- only `RxOllamaError` is raised, and there is no warning, log record or unhandled exception;
- decoding ends;
- records and failure do not depend on the cuts, and equal those of the lines decoded one by one;
- every record that was whole before the first mutated byte is emitted;
- the client emits what the decoder returns.

Each finding is printed with a smaller input, and can be repeated with its seed and `--only`.

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
from _client_cases import CALLS, CasePlayer, ClientCase, draw_case
from _decoding import MismatchError, check_decoding
from _mutations import mutate
from _reports import captured_reports
from _shrink import shrink

from rxollama import Ollama
from rxollama._wire import MAX_LINE
from rxollama.testing import Recording, ScriptedOllama

_RECORDINGS = Path(__file__).parent.parent / "tests" / "recordings"
_INPUTS, _SMOKE_INPUTS = 20_000, 1500
_BATCH, _EVERY = 80, 5
_LONGEST = 40_000
_SHORT_LINES = (60, 200, 1000)
_HANG_SECONDS, _PRINT_SECONDS = 10.0, 5.0
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
    """The inputs, tried one batch after another, and the findings."""

    def __init__(self, seed: int, player: CasePlayer, reports: list[str]) -> None:
        recordings = Recording.load_all(_RECORDINGS).values()
        self.inputs = self.played = 0
        self.findings: list[str] = []
        self.ends: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self._seed = seed
        self._player = player
        self._reports = reports
        self._bodies = [(one.request.path, one.status, one.body[:_LONGEST]) for one in recordings]
        self._others = [body for _, _, body in self._bodies if body]

    def draw(self, number: int) -> _Input:
        """Return the input of a number."""
        seed = f"{self._seed}/{number}"
        random = Random(seed)
        path, status, original = random.choice(self._bodies)
        body = mutate(original, random, self._others)
        max_line = MAX_LINE if random.randrange(_EVERY) else random.choice(_SHORT_LINES)
        return _Input(path, status, original, body, max_line, seed)

    async def try_inputs(self, numbers: list[int]) -> None:
        """Try inputs with the decoders, and some of them with the whole client."""
        cases: list[ClientCase] = []
        for number in numbers:
            one = self.draw(number)
            self.inputs += 1
            end, error = _try_decoding(one, one.body)
            self.ends[end] += 1
            if error:
                await self._report_decoding(number, one, error)
            if number % _EVERY == 0 and one.path in CALLS:
                cases.append(draw_case(one.path, one.status, one.body, self._others, one.seed))
        for case, (received, error) in zip(cases, await asyncio.gather(*map(self._player.play, cases)), strict=True):
            self.played += 1
            self.received[f"{case.transfer}: {received.failure or 'completion'}"] += 1
            if error:
                await self._report_playing(case, error)
        for report in self._reports:
            self._add_finding(f"during inputs {numbers[0]} to {numbers[-1]}: {report}")
        self._reports.clear()

    async def _report_decoding(self, number: int, one: _Input, error: str) -> None:
        async def fails(body: bytes) -> bool:
            return bool(_try_decoding(one, body)[1])

        body = await shrink(one.body, fails, _TRIES)
        _, again = _try_decoding(one, body)
        self._add_finding(f"input {number}, {one.path}, max_line {one.max_line}: {error}", body, again)

    async def _report_playing(self, case: ClientCase, error: str) -> None:
        async def fails(body: bytes) -> bool:
            return bool((await self._player.play(case._replace(body=body)))[1])

        body = await shrink(case.body, fails, _PLAYED_TRIES)
        _, again = await self._player.play(case._replace(body=body))
        number = case.seed.partition("/")[2]
        self._add_finding(f"input {number}, {case.path}, status {case.status}, {case.transfer}: {error}", body, again)

    def _add_finding(self, what: str, body: bytes | None = None, error: str = "") -> None:
        if body is not None:
            shown = repr(body) if len(body) <= _SHOWN_BYTES else f"{body[:_SHOWN_BYTES]!r}... ({len(body):,} bytes)"
            what += f"\n    smaller input: {shown}\n    its error: {error or 'none at the second try'}"
        self.findings.append(what)
        if len(self.findings) <= _SHOWN:
            print(f"FOUND: {what}", flush=True)


def _try_decoding(one: _Input, body: bytes) -> tuple[str, str]:
    """Return the name of a body's failure, and a description of an error or an empty str."""
    try:
        with _time_limit():
            outcome = check_decoding(one.path, body, one.original, one.max_line, Random(one.seed))
            return outcome.failure or "no failure", ""
    except MismatchError as error:
        return "error", str(error)
    except Exception as error:  # noqa: BLE001 - Any error is a finding.
        return "error", f"the decoder raised {error!r}"


@contextmanager
def _time_limit() -> Generator[None]:
    """Raise an error after too much CPU time of this process."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, _HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _hang(_: int, __: FrameType | None) -> None:
    raise _HangError(f"it takes more than {_HANG_SECONDS:g} s")


async def _fuzz(options: Namespace) -> _Fuzz:
    async with AsyncExitStack() as stack:
        reports = stack.enter_context(captured_reports())
        server = stack.enter_context(ScriptedOllama())
        clients: list[Ollama] = []
        for _ in range(2):
            passed = await stack.enter_async_context(httpx.AsyncClient()) if options.httpx else None
            clients.append(await stack.enter_async_context(Ollama(server.url, http_client=passed)))
        fuzz = _Fuzz(options.seed, CasePlayer(server, *clients), reports)
        if options.only is not None:
            await fuzz.try_inputs([options.only])
        else:
            await _try_many(fuzz, options)
        return fuzz


async def _try_many(fuzz: _Fuzz, options: Namespace) -> None:
    began = printed = time.monotonic()
    for first in count(0, _BATCH):
        now = time.monotonic()
        if first >= options.inputs or now - began > options.seconds:
            return
        if now - printed > _PRINT_SECONDS:
            printed = now
            print(f"{fuzz.inputs:,} inputs in {now - began:.0f} s, {len(fuzz.findings)} findings", file=sys.stderr)
        await fuzz.try_inputs(list(range(first, min(first + _BATCH, options.inputs))))


def main() -> None:
    """Run the fuzzer."""
    parser = ArgumentParser(description="Feed mutated answers to the decoders and to the whole client.")
    parser.add_argument("--inputs", type=int, help=f"the number of inputs; {_INPUTS:,} without --seconds")
    parser.add_argument("--seconds", type=float, help="the longest duration")
    parser.add_argument("--seed", type=int, help="repeats the inputs")
    parser.add_argument("--only", type=int, help="try one input by its number; the client gets multiples of 5")
    parser.add_argument("--httpx", action="store_true", help="use a plain httpx.AsyncClient")
    parser.add_argument("--smoke", action="store_true", help="run briefly, to check that everything works")
    options = parser.parse_args()
    if options.inputs is None:
        options.inputs = _SMOKE_INPUTS if options.smoke else _INPUTS if options.seconds is None else sys.maxsize
    if options.smoke and options.seed is None:
        # Always the same inputs: a short check should not fail by chance.
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
    print(f"played: {', '.join(f'{end} {n:,}' for end, n in sorted(fuzz.received.items()))}")
    if fuzz.findings:
        sys.exit(f"\n{len(fuzz.findings)} findings.")
    print("\nNo findings.")


if __name__ == "__main__":
    main()
