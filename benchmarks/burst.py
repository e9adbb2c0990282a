"""
Measure how fast a client reads an answer that comes as fast as the socket carries it.

There is one stream, from a server in its own process that is never the slowest part. The benchmark compares:

- rxollama with the whole pipeline: log with structlog and orjson, share, thinking and content each paced to 30 updates
  per second, tool calls gathered, the response collected;
- rxollama with one bare callback;
- Ollama's own Python client in a bare loop;
- a raw socket with orjson, as the lower bound of the cost.

The results are medians of alternating runs, of the client's process only. A client that loses text is an error.

Run it:

    uv run python benchmarks/burst.py [--chunks 20000] [--rounds 5] [--smoke]
"""

from __future__ import annotations

from argparse import ArgumentParser

from _fast_server import AnswerPlan
from _measure import OFFICIAL, PIPELINE, compare, cpu, ratio, show, speed

_AIM = 4.0


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description="Measure how fast a client reads an answer.")
    parser.add_argument("--chunks", type=int, default=20_000, help="the number of chunks of the answer")
    parser.add_argument("--rounds", type=int, default=5, help="the number of runs of each client")
    parser.add_argument("--smoke", action="store_true", help="run briefly, to check that everything works")
    options = parser.parse_args()
    chunks, rounds = (1000, 1) if options.smoke else (options.chunks, options.rounds)
    runs = compare(AnswerPlan(chunks), streams=1, rounds=rounds)
    show(f"Burst: one stream of {chunks:,} chunks, {rounds} alternating runs of each client, medians", runs)
    if options.smoke:
        print("\nEvery client received the whole text. So short a run is not a measurement.")
        return
    reached, frugal = ratio(runs, PIPELINE, OFFICIAL, speed), ratio(runs, OFFICIAL, PIPELINE, cpu)
    print(f"\nThe whole pipeline is {reached:.1f} x as fast as the official client, and by CPU time {frugal:.1f} x.")
    print(f"The aim is {_AIM:.0f} x or more. If other programs share the cores, CPU time is the steadier measure.")


if __name__ == "__main__":
    main()
