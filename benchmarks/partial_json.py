"""
Measure what it costs to follow JSON as it grows, delta by delta.

Two documents, an object with a list of small objects and one with a long text, come in deltas of about four characters
through `partial_json()`: with no snapshot read, with each tenth read, as `throttle(1 / 30)` does of 300 deltas a
second, and with each one read. What is compared: parsing the whole text again after each delta with the parser of
pydantic (jiter, in Rust), which is told to allow for a document that is not complete. Medians of alternating runs, in
time of the processor. A way whose last value is not the document is an error.

Run it:

    uv run python benchmarks/partial_json.py [--deltas 1000 4000 16000 64000] [--again 16000] [--rounds 5] [--smoke]
"""

from __future__ import annotations

import gc
from argparse import ArgumentParser
from statistics import median
from time import process_time
from typing import TypeAlias

import orjson
from _json_ways import AGAIN, DOCUMENTS, READ, SHOWN, UNREAD, WAYS, chunks_of, text_of
from _measure import Run, cpu, ratio

_SIZES = (1000, 4000, 16_000, 64_000)
_GROWING = (UNREAD, SHOWN, READ)
_AIM = 1.5

Runs: TypeAlias = dict[str, list[Run]]
"""Of each way its runs."""


def _measured(way: str, text: str) -> Run:
    """Follow a document in one way."""
    chunks = chunks_of(text)
    gc.collect()
    began = process_time()
    last = WAYS[way](chunks)
    busy = process_time() - began
    if last != orjson.loads(text):
        raise SystemExit(f"{way}: the last value is not the document")
    return Run(len(chunks) / busy, busy / len(chunks) * 1e6)


def _compared(document: str, deltas: int, ways: tuple[str, ...], rounds: int) -> Runs:
    """Follow a document in several ways, in alternation."""
    text = text_of(document, deltas)
    runs: Runs = {way: [] for way in ways}
    for turn in range(rounds):
        for way in reversed(ways) if turn % 2 else ways:
            runs[way].append(_measured(way, text))
    return runs


def _median(runs: list[Run]) -> float:
    return median(run.cpu for run in runs)


def _once(text: str) -> float:
    """Parse a complete document once, for reference; in microseconds."""
    began = process_time()
    for _ in range(10):
        orjson.loads(text)
    return (process_time() - began) / 10 * 1e6


def _show(document: str, sizes: dict[int, Runs]) -> float:
    """Print what a delta costs at each size, and tell how much more it costs at the largest where nothing is read."""
    print(f"\n{document}\n\n{'CPU us/delta':24}" + "".join(f"{f'{size:,}':>12}" for size in sizes) + f"{'growth':>10}")
    growth = 0.0
    for way in reversed(_GROWING):
        costs = [_median(runs[way]) for runs in sizes.values()]
        growth = costs[-1] / costs[0]
        print(f"{way:24}" + "".join(f"{cost:12.2f}" for cost in costs) + f"{growth:10.2f}")
    return growth


def _show_again(document: str, deltas: int, rounds: int) -> None:
    """Print how the ways compare with parsing again."""
    runs = _compared(document, deltas, (*_GROWING, AGAIN), rounds)
    text = text_of(document, deltas)
    print(f"\n{document}, {deltas:,} deltas: {AGAIN} costs {_median(runs[AGAIN]):.1f} us/delta,")
    for way in _GROWING:
        print(f"    {ratio(runs, AGAIN, way, cpu):7.1f} x what it costs {way}")
    print(f"    (the complete document of {len(text):,} characters, once, with orjson: {_once(text):,.0f} us)")


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description="What it costs to follow JSON as it grows.")
    parser.add_argument("--deltas", type=int, nargs="+", default=list(_SIZES), help="sizes of the documents")
    parser.add_argument("--again", type=int, default=16_000, help="size at which the whole is parsed again each time")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each way")
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that everything works")
    options = parser.parse_args()
    deltas, again, rounds = ([100, 400], 400, 1) if options.smoke else (options.deltas, options.again, options.rounds)
    print(f"Partial JSON: deltas of about four characters, {rounds} alternating runs of each way, medians")
    growths = [
        _show(document, {size: _compared(document, size, _GROWING, rounds) for size in deltas})
        for document in DOCUMENTS
    ]
    for document in DOCUMENTS:
        _show_again(document, again, rounds)
    if options.smoke:
        print("\nEvery way came to the whole document; so short a run measures nothing.")
        return
    most = max(growths)
    print(f"\nFrom {deltas[0]:,} to {deltas[-1]:,} deltas one costs {most:.2f} x as much, where nothing is read.")
    print(
        f"The aim is flat: {_AIM} x or less. Reading each snapshot copies what is open, which grows with the document."
    )


if __name__ == "__main__":
    main()
