"""
Measure the cost of following JSON as it grows, per delta.

There are two documents: an object with a list of small objects, and one with a long text. They come in deltas of about
four characters through `partial_json()`. Either no snapshot is read, or each tenth one, as `throttle(1 / 30)` would at
300 deltas per second, or each one.
They are compared with parsing the whole text again after each delta, with pydantic's parser (jiter, in Rust), which
accepts an incomplete document. The results are medians of alternating runs, in CPU time. A method whose last value is
not the document is an error.

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
from _json_methods import AGAIN, DOCUMENTS, METHODS, READ, SHOWN, UNREAD, chunks_of, text_of
from _measure import Run, cpu, ratio

_SIZES = (1000, 4000, 16_000, 64_000)
_GROWING = (UNREAD, SHOWN, READ)
_AIM = 1.5

Runs: TypeAlias = dict[str, list[Run]]
"""The runs of each method."""


def _measured(method: str, text: str) -> Run:
    """Follow a document by one method."""
    chunks = chunks_of(text)
    gc.collect()
    began = process_time()
    last = METHODS[method](chunks)
    busy = process_time() - began
    if last != orjson.loads(text):
        raise SystemExit(f"{method}: the last value is not the document")
    return Run(len(chunks) / busy, busy / len(chunks) * 1e6)


def _compared(document: str, deltas: int, methods: tuple[str, ...], rounds: int) -> Runs:
    """Follow a document by several methods, in alternation."""
    text = text_of(document, deltas)
    runs: Runs = {method: [] for method in methods}
    for turn in range(rounds):
        for method in reversed(methods) if turn % 2 else methods:
            runs[method].append(_measured(method, text))
    return runs


def _median(runs: list[Run]) -> float:
    return median(run.cpu for run in runs)


def _once(text: str) -> float:
    """Return the microseconds of parsing a complete document once, for reference."""
    began = process_time()
    for _ in range(10):
        orjson.loads(text)
    return (process_time() - began) / 10 * 1e6


def _show(document: str, sizes: dict[int, Runs]) -> float:
    """Print the cost of a delta at each size, and return its growth to the largest if no snapshot is read."""
    print(f"\n{document}\n\n{'CPU us/delta':24}" + "".join(f"{f'{size:,}':>12}" for size in sizes) + f"{'growth':>10}")
    growth = 0.0
    for method in reversed(_GROWING):
        costs = [_median(runs[method]) for runs in sizes.values()]
        growth = costs[-1] / costs[0]
        print(f"{method:24}" + "".join(f"{cost:12.2f}" for cost in costs) + f"{growth:10.2f}")
    return growth


def _show_again(document: str, deltas: int, rounds: int) -> None:
    """Print the comparison of the methods with parsing again."""
    runs = _compared(document, deltas, (*_GROWING, AGAIN), rounds)
    text = text_of(document, deltas)
    print(f"\n{document}, {deltas:,} deltas: {AGAIN} costs {_median(runs[AGAIN]):.1f} us/delta,")
    for method in _GROWING:
        print(f"    {ratio(runs, AGAIN, method, cpu):7.1f} x the cost of {method}")
    print(f"    (the complete document of {len(text):,} characters, once, with orjson: {_once(text):,.0f} us)")


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description="Measure the cost of following JSON as it grows.")
    parser.add_argument("--deltas", type=int, nargs="+", default=list(_SIZES), help="the sizes of the documents")
    parser.add_argument("--again", type=int, default=16_000, help="the size for parsing the whole again")
    parser.add_argument("--rounds", type=int, default=5, help="the number of runs of each method")
    parser.add_argument("--smoke", action="store_true", help="run briefly, to check that everything works")
    options = parser.parse_args()
    deltas, again, rounds = ([100, 400], 400, 1) if options.smoke else (options.deltas, options.again, options.rounds)
    print(f"Partial JSON: deltas of about four characters, {rounds} alternating runs of each method, medians")
    growths = [
        _show(document, {size: _compared(document, size, _GROWING, rounds) for size in deltas})
        for document in DOCUMENTS
    ]
    for document in DOCUMENTS:
        _show_again(document, again, rounds)
    if options.smoke:
        print("\nEvery method reached the whole document. So short a run is not a measurement.")
        return
    most = max(growths)
    print(f"\nFrom {deltas[0]:,} to {deltas[-1]:,} deltas a delta costs {most:.2f} x as much, if no snapshot is read.")
    print(f"The aim is flat: {_AIM} x or less. Reading a snapshot copies the open part, which grows with the document.")


if __name__ == "__main__":
    main()
