"""
Cancel chats at random moments, in every phase and by every method, and count the resources that remain open.

Phases: while connecting, while the request is sent, while the server is silent before its answer, while chunks arrive,
while the answer stalls, inside a callback, and after the end.
Methods: `dispose()` from another thread, on the stream's own loop, from a coroutine, and several times from several
threads; `take_until`; leaving `iterate` and `aiterate`, or closing them while they wait; cancelling a task that awaits
a chat or is in an `async for` loop.
Eight threads (with chats on the background loop) and 24 coroutines (with chats on their own loop) cancel at once.

The server is its own process and records when each client left. Both processes use the same clock.
Before and after, the program counts the tasks, timers, threads, files and sockets of the client's process, and the
connections of the server. When the client is closed, no more may be open than before. While it is open, only idle
connections may remain, at most one for each chat at a time.

The program also fails if the server did not notice a cancel within two seconds, if a chat ended in another way than
planned, if the client does not work afterwards, if anything was emitted after a `dispose()` on the stream's own loop,
or if there was a warning, a log record or an unhandled exception.

Run it:

    uv run python benchmarks/cancel_storm.py [--cancels 10000] [--alone 300] [--seed N] [--http-client] [--smoke]
"""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from functools import cache, partial
from random import Random
from statistics import quantiles

from _cancel import PATIENCE, CancelLog, Phase, PlannedCancel, WatchedChat, reply_kind_of
from _cancel_load import AT_ONCE, Clients, check_service, run_cancels
from _reports import captured_reports
from _resources import Resources, count_resources, increases, table, wait_until_released
from _server_process import RequestTimes, ServerProcess, server_process

from rxollama import Ollama, run
from rxollama import operators as op
from rxollama.testing import Reply

_SHOWN = 20
_IDLE_SECONDS = 1.0
# A generous limit, for a machine with other work.
_LATE_SECONDS = 2.0
_POOL = ("timers", "files", "sockets", "server_connections")
# The first number of the cancels that are carried out one at a time.
_ALONE = 1_000_000
_SHOWN_PHASES: dict[Phase, str] = {
    "silent": "silent, before headers",
    "streaming": "streaming",
    "stalled": "silent, after some chunks",
    "callback": "streaming, in a callback",
}


@cache
def _reply(kind: str) -> Reply:
    if kind in {"streaming", "callback"}:
        return Reply.answer("word " * 3000, gap=0.01)
    whole = Reply.answer("The sky is blue.")
    return whole.stalled({"stalled": 3}.get(kind, 0)) if kind in {"sending", "silent", "stalled"} else whole


def reply_to(model: str) -> Reply:
    """Return the reply for a model's name."""
    return _reply(reply_kind_of(model))


def _cancel_one_at_a_time(clients: Clients, count: int, random: Random, log: CancelLog) -> None:
    """Cancel one chat after another, with nothing else in progress."""
    for turn in range(2 * count):
        phase: Phase = "streaming" if turn % 2 else "silent"
        chat = WatchedChat(PlannedCancel(_ALONE + turn, phase, random.uniform(0.01, 0.04), 0), "alone", log)
        chat.subscribe(clients.working.of_threads.chat(chat.planned.model, "Why is the sky blue?"))
        chat.wait_for_moment()
        chat.cancel()
        time.sleep(0.005)


def _delays(requests: dict[str, RequestTimes], log: CancelLog, phase: Phase, *, alone: bool) -> list[float]:
    """Return how many milliseconds the server took to notice each cancel of a request that it was answering."""
    delays: list[float] = []
    for model, moment in log.moments.items():
        times = requests.get(model)
        if reply_kind_of(model) != phase or (int(model.partition("/")[2]) >= _ALONE) != alone or times is None:
            continue
        begun = times.received_at if phase == "silent" else times.first_byte_at
        if begun is not None and begun < moment and times.left_at is not None:
            delays.append((times.left_at - moment) * 1000)
    return delays


def _show_delays(requests: dict[str, RequestTimes], log: CancelLog) -> None:
    title = "ms from dispose() until the server notices"
    print(f"\n{title:50}{'cancels':>9}{'p50':>9}{'p99':>9}{'max':>9}")
    for alone in (False, True):
        for phase, words in _SHOWN_PHASES.items():
            delays = _delays(requests, log, phase, alone=alone)
            if len(delays) > 1:
                cuts = quantiles(delays, n=100, method="inclusive")
                name = f"{'one at a time' if alone else 'many at once'}: {words}"
                print(f"{name:50}{len(delays):9,}{cuts[49]:9.2f}{cuts[98]:9.2f}{max(delays):9.2f}")


def _show_phases(requests: dict[str, RequestTimes], log: CancelLog) -> None:
    cancelled = Counter(map(reply_kind_of, log.moments))
    came = Counter(reply_kind_of(times.model) for times in requests.values())
    left = Counter(reply_kind_of(times.model) for times in requests.values() if times.left_at is not None)
    print(f"\n{'phase':20}{'cancels':>10}{'reached server':>16}{'seen leaving':>16}")
    for phase, count in sorted(cancelled.items()):
        print(f"{phase:20}{count:10,}{came[phase]:16,}{left[phase]:16,}")


def _run(server: ServerProcess, options: Namespace) -> list[str]:
    """Carry out all cancels, print the numbers, and return the errors."""
    random, log = Random(options.seed), CancelLog()
    columns: dict[str, Resources] = {}
    count = partial(count_resources, server.open_connections)

    with captured_reports() as reports, asyncio.Runner() as runner:

        def turn(seconds: float) -> None:
            runner.run(asyncio.sleep(seconds))

        runner.run(_warm_up(server))
        with Ollama(server.url) as client:
            run(client.chat("warm-up", "Hello").pipe(op.collect()))
        turn(_IDLE_SECONDS / 4)
        columns["before"] = count()
        clients = Clients(server, plain=options.http_client)
        began = time.monotonic()

        def halfway() -> None:
            columns["halfway"] = count(collect=False)

        runner.run(run_cancels(clients, options.cancels, random, log, halfway))
        seconds = time.monotonic() - began
        _cancel_one_at_a_time(clients, options.alone, random, log)
        check_service(clients, runner, 2 * _ALONE, log)
        turn(_IDLE_SECONDS)
        requests = {times.model: times for times in server.requests()}
        columns["client open"] = count()
        runner.run(clients.aclose())
        columns["client closed"] = wait_until_released(count, columns["before"], turn, PATIENCE)

    print(f"{log.count:,} cancels in {seconds:.0f} s, then {2 * options.alone:,} one at a time\n")
    print(table(columns))
    _show_phases(requests, log)
    _show_delays(requests, log)
    errors = log.errors + reports + [error for times in requests.values() for error in _errors_of(times, log)]
    if log.count != options.cancels:
        errors.append(f"only {log.count} cancels were carried out")
    idle = columns["client open"].server_connections
    # How many of its connections a client of httpx keeps is its own affair, as long as it closes them in the end.
    if idle > AT_ONCE and not options.http_client:
        errors.append(f"with the client open, {idle} idle connections, for at most {AT_ONCE} chats at a time")
    # Idle connections may remain open, but nothing else.
    others = columns["client open"]._replace(**dict.fromkeys(_POOL, 0))
    errors += [f"with the client open, {what}" for what in increases(others, columns["before"])]
    errors += [f"with the client closed, {what}" for what in increases(columns["client closed"], columns["before"])]
    return errors


def _errors_of(times: RequestTimes, log: CancelLog) -> list[str]:
    """Return the errors of one request, which its cancel must end at once."""
    if reply_kind_of(times.model) in {"warm-up", "done"}:
        return [] if times.finished_at else [f"the server could not finish its answer to {times.model}"]
    if times.left_at is None:
        return [f"the server did not see that {times.model} was cancelled"]
    late = times.left_at - log.moments[times.model]
    return [f"the server saw only after {late:.1f} s that {times.model} was cancelled"] if late > _LATE_SECONDS else []


async def _warm_up(server: ServerProcess) -> None:
    async with Ollama(server.url) as client:
        await client.chat("warm-up", "Hello").pipe(op.collect())


def main() -> None:
    """Run the program."""
    parser = ArgumentParser(description="Cancel chats at random moments, and count the resources that remain open.")
    parser.add_argument("--cancels", type=int, default=10_000, help="the number of cancels at once")
    parser.add_argument(
        "--alone", type=int, default=300, help="the number of further cancels, one at a time, of each of two phases"
    )
    parser.add_argument("--seed", type=int, default=Random().randrange(1_000_000), help="repeats a run")
    parser.add_argument("--http-client", action="store_true", help="use a plain httpx.AsyncClient")
    parser.add_argument("--smoke", action="store_true", help="run briefly, to check that everything works")
    options = parser.parse_args()
    if options.smoke:
        options.cancels, options.alone = 600, 20
    transport = "a plain httpx.AsyncClient" if options.http_client else "the default transport"
    print(f"Cancel storm with {transport}, seed {options.seed}")
    try:
        with server_process(reply_to) as server:
            errors = _run(server, options)
    except KeyboardInterrupt:
        sys.exit("stopped")
    for error in errors[:_SHOWN]:
        print(f"ERROR: {error}")
    if errors:
        sys.exit(f"\n{len(errors)} errors.")
    print("\nNo resource remained open.")


if __name__ == "__main__":
    main()
