"""
Measure how fast a client takes an answer that comes as fast as the socket carries it.

One stream, from a server in a process of its own that is never the slowest part. What is compared: rxollama with the
whole pipeline (log with structlog and orjson, share, thinking and content each paced to 30 updates a second, tool
calls gathered, the response collected) and with one bare callback, Ollama's own Python client iterated bare, and a raw
socket with orjson as the floor. Medians of alternating runs; only the client's process is measured. A client that
loses text is an error.

Run it:

    uv run python benchmarks/burst.py [--chunks 20000] [--rounds 5] [--smoke]
"""

from __future__ import annotations

from argparse import ArgumentParser

from _measure import OFFICIAL, PIPELINE, compare, cpu, ratio, show, speed
from _server import Plan

_AIM = 4.0


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description="How fast a client takes an answer that comes as fast as it can.")
    parser.add_argument("--chunks", type=int, default=20_000, help="chunks of the answer")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each client")
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that everything works")
    options = parser.parse_args()
    chunks, rounds = (1000, 1) if options.smoke else (options.chunks, options.rounds)
    runs = compare(Plan(chunks), streams=1, rounds=rounds)
    show(f"Burst: one stream of {chunks:,} chunks, {rounds} alternating runs of each client, medians", runs)
    if options.smoke:
        print("\nEverybody received the whole text; so short a run measures nothing.")
        return
    reached, frugal = ratio(runs, PIPELINE, OFFICIAL, speed), ratio(runs, OFFICIAL, PIPELINE, cpu)
    print(f"\nThe whole pipeline is {reached:.1f} x as fast as the official client, and by CPU time {frugal:.1f} x.")
    print(f"The aim is {_AIM:.0f} x or more. Where other programs share the cores, CPU time is the steadier judge.")


if __name__ == "__main__":
    main()
