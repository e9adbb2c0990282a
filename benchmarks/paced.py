"""
Measure what a chunk costs a client that follows many chats at the pace of a model.

Each stream brings its records one by one, as a model makes its tokens, so that nearly every chunk wakes the client up;
a request of its own comes with each stream. What is compared: rxollama with the whole pipeline (log with structlog and
orjson, share, thinking and content each paced to 30 updates a second, tool calls gathered, the response collected) and
with one bare callback, Ollama's own Python client iterated bare, and a raw socket with orjson as the floor. Medians of
alternating runs; only the client's process is measured. A client that loses text is an error.

Run it:

    uv run python benchmarks/paced.py [--streams 100] [--rate 50] [--seconds 5] [--rounds 3] [--smoke]
"""

from __future__ import annotations

from argparse import ArgumentParser

from _measure import OFFICIAL, PIPELINE, compare, cpu, ratio, show
from _server import Plan

_AIM = 0.6


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description="What a chunk costs a client that follows many chats at the pace of a model.")
    parser.add_argument("--streams", type=int, default=100, help="chats at the same time")
    parser.add_argument("--rate", type=float, default=50, help="chunks in a second, of each chat")
    parser.add_argument("--seconds", type=float, default=5, help="length of each chat")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each client")
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that everything works")
    options = parser.parse_args()
    streams, seconds, rounds = (10, 0.5, 1) if options.smoke else (options.streams, options.seconds, options.rounds)
    plan = Plan(max(3, round(options.rate * seconds)), options.rate)
    runs = compare(plan, streams=streams, rounds=rounds)
    show(
        f"Paced: {streams} streams of {plan.rate:g} chunks a second for {seconds:g} s, "
        f"{rounds} alternating runs of each client, medians",
        runs,
    )
    if options.smoke:
        print("\nEverybody received the whole text; so short a run measures nothing.")
        return
    reached = ratio(runs, PIPELINE, OFFICIAL, cpu)
    print(f"\nA chunk costs the whole pipeline {reached:.2f} x the official client's CPU; the aim is {_AIM} x or less.")


if __name__ == "__main__":
    main()
