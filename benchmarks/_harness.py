"""
The harness of the benchmarks: child processes, alternating runs, ratios and Markdown.

A measurement is an async generator. It prepares before its first `yield`, which yields None. Each later step is one
run, and yields its result. `alternate` runs each measurement in a process of its own, which is idle between its runs.
The runs of all measurements alternate, so that other programs on the machine affect all of them. Ratios are formed
between neighbours: the median of the ratios in each turn.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
from argparse import ArgumentParser
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import ExitStack, aclosing, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from statistics import median, quantiles
from typing import Any, NamedTuple, TypeAlias, TypeVar

__all__ = (
    "AIM",
    "Aim",
    "Case",
    "Spread",
    "alternate",
    "alternate_here",
    "child_process",
    "in_turn",
    "main",
    "percentiles",
    "print_table",
    "ratio",
    "spread",
)

T = TypeVar("T")

Measurement: TypeAlias = AsyncGenerator[Any, None]
"""Yields None once it is prepared, then the result of one run at each step."""

AIM = "Aim, "
"""The beginning of a line that names an aim."""

_QUARTERS = 4


class Case(NamedTuple):
    """A measurement, by the names of a module and a function there, so that only its own process imports the module."""

    module: str
    function: str
    args: tuple[Any, ...]


class Aim(NamedTuple):
    """A number that a measurement should reach: *least* or more, or *most* or less."""

    what: str
    reached: float
    least: float = 0.0
    most: float = float("inf")

    def __str__(self) -> str:
        limit = f"at least {self.least:g}" if self.least else f"at most {self.most:g}"
        missed = "" if self.least <= self.reached <= self.most else " (missed)"
        return f"- {AIM}{self.what}: {limit}. Reached: {self.reached:.2f}{missed}"


class Spread(NamedTuple):
    """The median of some values, and half the range between their quartiles."""

    median: float
    noise: float

    def show(self, digits: int = 2) -> str:
        """Return both as text."""
        return f"{self.median:,.{digits}f} ± {self.noise:.{digits}f}"


def spread(values: Iterable[float]) -> Spread:
    """Return the median and the noise of some values."""
    found = sorted(values)
    if len(found) == 1:
        return Spread(found[0], 0.0)
    low, middle, high = quantiles(found, n=_QUARTERS, method="inclusive")
    return Spread(middle, (high - low) / 2)


def ratio(ones: Iterable[float], others: Iterable[float]) -> Spread:
    """Return the ratio of two measurements, from the ratio in each turn."""
    return spread(one / other for one, other in zip(ones, others, strict=True))


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the 50th and the 99th percentile."""
    cuts = quantiles(values, n=100, method="inclusive")
    return median(values), cuts[-1]


def alternate(cases: dict[str, Case], *, rounds: int, turns: int = 1) -> dict[str, list[Any]]:
    """
    Run measurements in alternation, each in a process of its own.

    Args:
        cases: The measurements by their names.
        rounds: The number of times that the processes are started.
        turns: The number of runs of each measurement in each round.

    Returns:
        The results of each measurement, in the order of the turns.

    Raises:
        SystemExit: If a measurement fails.
    """
    results: dict[str, list[Any]] = {name: [] for name in cases}
    for first in range(rounds):
        with ExitStack() as stack:
            pipes = {name: stack.enter_context(child_process(_measure, case)) for name, case in cases.items()}
            for name, pipe in pipes.items():
                _receive(name, pipe)
            for turn in range(first, first + turns):
                for name in in_turn(pipes, turn):
                    pipes[name].send(None)
                    results[name].append(_receive(name, pipes[name]))
    return results


async def alternate_here(
    cases: Mapping[str, Callable[[], Awaitable[T]]], *, turns: int, warm_up: bool = True
) -> dict[str, list[T]]:
    """Run measurements in alternation in this process, on this loop. The warm-up is a turn that does not count."""
    results: dict[str, list[T]] = {name: [] for name in cases}
    for turn in range(turns + warm_up):
        for name in in_turn(cases, turn):
            results[name].append(await cases[name]())
    return {name: own[warm_up:] for name, own in results.items()}


def in_turn(names: Mapping[str, Any], turn: int) -> Iterator[str]:
    """Return names in their order, or in each second turn the other way round."""
    return reversed([*names]) if turn % 2 else iter(names)


def _receive(name: str, pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        raise SystemExit(f"{name}: failed") from None


async def _measure(pipe: Connection, case: Case) -> None:
    work: Callable[..., Measurement] = getattr(importlib.import_module(case.module), case.function)
    async with aclosing(work(*case.args)) as steps:
        async for result in steps:
            pipe.send(result)
            # This blocks the loop, so that the process is idle until its next turn.
            pipe.recv()


@contextmanager
def child_process(work: Callable[..., Coroutine[Any, Any, None]], *args: object) -> Generator[Connection]:
    """
    Run a coroutine in a new process during a `with` block.

    Args:
        work: The coroutine function. It gets the other end of the pipe, and *args*.
        args: The other arguments.

    Yields:
        One end of the pipe. The process is killed at the end of the block.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(work, theirs, *args), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def _main(work: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent process ends this one.
    asyncio.run(work(*args))


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table whose first column is text and whose other columns are numbers."""
    print(f"\n| {' | '.join(head)} |\n|---{'|--:' * (len(head) - 1)}|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def main(measure: Callable[[bool], list[Aim]], doc: str | None) -> None:
    """
    Run a benchmark as a program, with the option `--smoke`.

    Args:
        measure: Measures, prints Markdown, and returns the aims. It gets whether to run only briefly, to check that
            everything works. So short a run is not a measurement, and its aims are not printed.
        doc: The program's docstring. Its first paragraph is printed above the results.
    """
    summary = (doc or "").strip().partition("\n\n")[0].replace("\n", " ")
    parser = ArgumentParser(description=summary)
    parser.add_argument("--smoke", action="store_true", help="run briefly, to check that everything works")
    smoke: bool = parser.parse_args().smoke
    # A proxy or a default host would be used by some clients and not by others.
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("OLLAMA_")]:
        del os.environ[name]
    print(f"{summary}\n")
    aims = measure(smoke)
    if not smoke:
        print("\n".join(map(str, aims)))
