"""
What does it cost to follow JSON as it grows, per delta?

There are two documents: an object with a list of small objects, and one with a long text. They come in deltas of about
four characters through `partial_json()`. Either no snapshot is read, or each tenth one, as `throttle(1 / 30)` would at
300 deltas per second, or each one. The peer parses the whole text again after each delta, with pydantic's parser
(jiter, in Rust), which accepts an incomplete document. A method whose last value is not the document is an error.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import process_time

import orjson
from _harness import Aim, alternate_here, main, print_table, ratio, spread
from _json_methods import AGAIN, DOCUMENTS, METHODS, READ, SHOWN, UNREAD, chunks_of, text_of
from _sources import one_by_one

_SIZES = (1000, 4000, 16_000, 64_000)
_GROWING = (UNREAD, SHOWN, READ)
_FLAT = 1.5


async def _cost(method: str, text: str) -> float:
    """Return the microseconds per delta of following a document by one method."""
    chunks = chunks_of(text)
    source = one_by_one(chunks)
    began = process_time()
    last = await METHODS[method](source)
    busy = process_time() - began
    if last != orjson.loads(text):
        raise ValueError(f"{method}: the last value is not the document")
    return busy / len(chunks) * 1e6


def _compared(text: str, methods: tuple[str, ...], turns: int) -> dict[str, list[float]]:
    works = {method: partial(_cost, method, text) for method in methods}
    return asyncio.run(alternate_here(works, turns=turns, warm_up=turns > 1))


def _show(document: str, sizes: tuple[int, ...], turns: int) -> Aim:
    """Print the cost of a delta at each size."""
    runs = [_compared(text_of(document, size), _GROWING, turns) for size in sizes]
    costs = {method: [spread(one[method]).median for one in runs] for method in _GROWING}
    print(f"Of {document}, µs of CPU per delta:")
    rows = ((method, *(f"{cost:.2f}" for cost in own), f"{own[-1] / own[0]:.2f}") for method, own in costs.items())
    print_table(("deltas", *(f"{size:,}" for size in sizes), "growth"), rows)
    unread = costs[UNREAD]
    return Aim(f"{document}, {UNREAD}, growth to {sizes[-1]:,} deltas", unread[-1] / unread[0], most=_FLAT)


def measure(smoke: bool) -> list[Aim]:
    """Measure each document at each size, and parsing it again at one size."""
    sizes, again, turns = ((100, 400), 400, 1) if smoke else (_SIZES, 16_000, 2)
    aims = [_show(document, sizes, turns) for document in DOCUMENTS]
    rows: list[tuple[str, ...]] = []
    for document in DOCUMENTS:
        runs = _compared(text_of(document, again), (*_GROWING, AGAIN), 1)
        shown = (f"{ratio(runs[AGAIN], runs[method]).median:.1f}" for method in _GROWING)
        rows.append((document, f"{spread(runs[AGAIN]).median:.1f}", *shown))
    print(f"{AGAIN.capitalize()} after each of {again:,} deltas, µs of CPU per delta, and by the methods above:")
    print_table(("", AGAIN, *(f"by {method}" for method in _GROWING)), rows)
    return aims


if __name__ == "__main__":
    main(measure, __doc__)
