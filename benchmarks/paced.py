"""
Measure the cost of a chunk for a client that follows many chats at the pace of a model.

Each stream sends its records one by one, as a model produces its tokens, so that nearly every chunk wakes the client.
The cost of each stream's request is included. The benchmark compares:

- rxollama with the whole pipeline: log with structlog and orjson, share, thinking and content each paced to 30 updates
  per second, tool calls gathered, the response collected;
- rxollama with one bare callback;
- Ollama's own Python client in a bare loop;
- a raw socket with orjson, as the lower bound of the cost.

The results are medians of alternating runs, of the client's process only. A client that loses text is an error.

Run it:

    uv run python benchmarks/paced.py [--streams 100] [--rate 50] [--seconds 5] [--rounds 3] [--smoke]
"""

from __future__ import annotations

from argparse import ArgumentParser

from _fast_server import AnswerPlan
from _measure import OFFICIAL, PIPELINE, compare, cpu, ratio, show

_AIM = 0.6


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description="Measure the cost of a chunk at the pace of a model.")
    parser.add_argument("--streams", type=int, default=100, help="the number of chats at the same time")
    parser.add_argument("--rate", type=float, default=50, help="the number of chunks per second of each chat")
    parser.add_argument("--seconds", type=float, default=5, help="the duration of each chat")
    parser.add_argument("--rounds", type=int, default=3, help="the number of runs of each client")
    parser.add_argument("--smoke", action="store_true", help="run briefly, to check that everything works")
    options = parser.parse_args()
    streams, seconds, rounds = (10, 0.5, 1) if options.smoke else (options.streams, options.seconds, options.rounds)
    plan = AnswerPlan(max(3, round(options.rate * seconds)), options.rate)
    runs = compare(plan, streams=streams, rounds=rounds)
    show(
        f"Paced: {streams} streams of {plan.rate:g} chunks a second for {seconds:g} s, "
        f"{rounds} alternating runs of each client, medians",
        runs,
    )
    if options.smoke:
        print("\nEvery client received the whole text. So short a run is not a measurement.")
        return
    reached = ratio(runs, PIPELINE, OFFICIAL, cpu)
    print(f"\nA chunk costs the whole pipeline {reached:.2f} x the official client's CPU; the aim is {_AIM} x or less.")


if __name__ == "__main__":
    main()
