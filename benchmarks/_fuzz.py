"""The fuzzing of one process: drawing inputs, trying them, and reporting what is found."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from types import FrameType
from typing import NamedTuple

from _client_cases import CALLS, CasePlayer, ClientCase, draw_case, play_in_memory
from _decoding import MismatchError, check_decoding
from _mutations import mutate
from _shrink import shrink

from rxollama import Ollama
from rxollama._wire import MAX_LINE  # Private, as the decoders that are fuzzed; see `_decoding.py`.
from rxollama.testing import Recording, ScriptedOllama

__all__ = ("Fuzz", "raise_hang")

_RECORDINGS = Path(__file__).parent.parent / "tests" / "recordings"
_LONGEST = 40_000
_SHORT_LINES = (60, 200, 1000)
_SHORT_EVERY = 5
_HANG_SECONDS = 10.0
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


class Fuzz:
    """
    The inputs of one process, tried one batch after another, and the counts of what happened.

    Args:
        seed: The seed of all inputs.
        every: The live inputs are those whose number is a multiple of this.
        server: The server. It is used for nothing else.
        clients: Two clients of the server.
        reports: The reports of the process, in a list that grows.
    """

    def __init__(
        self,
        seed: int,
        every: int,
        server: ScriptedOllama,
        clients: list[Ollama],
        reports: list[str],
    ) -> None:
        recordings = Recording.load_all(_RECORDINGS).values()
        self._seed, self._every = seed, every
        self._player = CasePlayer(server, *clients)
        self._reports = reports
        self._counts: Counter[str] = Counter()
        self._findings = 0
        self._bodies = [(one.request.path, one.status, one.body[:_LONGEST]) for one in recordings]
        self._others = [body for _, _, body in self._bodies if body]

    def take_counts(self) -> Counter[str]:
        """Return the counts since the last call."""
        counts, self._counts = self._counts, Counter()
        return counts

    async def try_inputs(self, numbers: Sequence[int]) -> None:
        """Try inputs with the decoders and from memory, and some of them with a real connection."""
        live: list[ClientCase] = []
        for number in numbers:
            one = self._draw(number)
            end, error = _try_decoding(one, one.body)
            self._counts["inputs"] += 1
            self._counts[f"decoded: {end}"] += 1
            if error:
                what = f"input {number}, {one.path}, max_line {one.max_line}: {error}"
                await self._report(what, one.body, partial(_decoding_error, one), _TRIES)
            if one.path in CALLS:
                case = ClientCase(one.path, one.status, one.body, "complete", one.seed)
                if case.way:
                    await self._try_in_memory(number, case)
                if number % self._every == 0:
                    live.append(draw_case(case, self._others))
        await self._try_live(live)
        for report in self._reports:
            self._add_finding(f"during inputs {numbers[0]} to {numbers[-1]}: {report}")
        self._reports.clear()

    async def _try_in_memory(self, number: int, case: ClientCase) -> None:
        self._counts["in memory"] += 1
        if error := await play_in_memory(case):
            what = f"input {number}, {case.path}, from memory: {error}"
            await self._report(what, case.body, lambda body: play_in_memory(case._replace(body=body)), _PLAYED_TRIES)

    async def _try_live(self, cases: list[ClientCase]) -> None:
        for case, (received, error) in zip(cases, await asyncio.gather(*map(self._player.play, cases)), strict=True):
            self._counts["live"] += 1
            self._counts[f"live, {case.transfer}: {received.failure or 'completion'}"] += 1
            self._counts[f"live, by {case.way or 'a callback'}"] += 1
            if error:
                number = case.seed.partition("/")[2]
                what = f"input {number}, {case.path}, status {case.status}, {case.transfer}: {error}"
                await self._report(what, case.body, partial(self._live_error, case), _PLAYED_TRIES)

    async def _live_error(self, case: ClientCase, body: bytes) -> str:
        return (await self._player.play(case._replace(body=body)))[1]

    def _draw(self, number: int) -> _Input:
        """Return the input of a number."""
        seed = f"{self._seed}/{number}"
        random = Random(seed)
        path, status, original = random.choice(self._bodies)
        body = mutate(original, random, self._others)
        max_line = MAX_LINE if random.randrange(_SHORT_EVERY) else random.choice(_SHORT_LINES)
        return _Input(path, status, original, body, max_line, seed)

    async def _report(self, what: str, body: bytes, error_of: Callable[[bytes], Awaitable[str]], tries: int) -> None:
        """Report a finding with a smaller input."""

        async def fails(smaller: bytes) -> bool:
            return bool(await error_of(smaller))

        small = await shrink(body, fails, tries)
        again = await error_of(small)
        shown = repr(small) if len(small) <= _SHOWN_BYTES else f"{small[:_SHOWN_BYTES]!r}... ({len(small):,} bytes)"
        self._add_finding(f"{what}\n    smaller input: {shown}\n    its error: {again or 'none at the second try'}")

    def _add_finding(self, what: str) -> None:
        self._counts["findings"] += 1
        self._findings += 1
        if self._findings <= _SHOWN:
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


async def _decoding_error(one: _Input, body: bytes) -> str:
    return _try_decoding(one, body)[1]


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


def raise_hang(_: int, __: FrameType | None) -> None:
    """Handle the signal of the time limit."""
    raise _HangError(f"it takes more than {_HANG_SECONDS:g} s")
