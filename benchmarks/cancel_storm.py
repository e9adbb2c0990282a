"""
Cancel chats at random moments, in every phase and in every way, and count what is left behind.

Phases: while connecting, while the request is sent, while the server is silent before its answer, between chunks that
come, between chunks that do not come, inside a callback, and after the end. Ways: `dispose()` from another thread,
from the stream's own loop, from a coroutine, and several times from several threads; `take_until`; leaving `iterate`
and `aiterate`, or closing them while they wait; cancelling a task that awaits a chat or is in an `async for`. Eight
threads (their chats live on the background loop) and 24 coroutines (on their own loop) cancel at the same time.

The server is a process of its own, and notes when each client left; the clocks of both are the same. Counted are
tasks, timers, threads, files and sockets of the client's process and connections of the server, before and after:
once the client is closed, all must be what it was, and while it is open no more may be left than idle connections,
as many as there were chats at a time. The program fails if anything is left, if the server did not see a cancel within
two seconds, if a chat ended otherwise than it should, if the client serves nobody after the storm, if anything was
heard after a `dispose()` on the stream's own loop, or if anybody complained: a warning, a log line, an exception that
nobody took.

Run it:

    uv run python benchmarks/cancel_storm.py [--cancels 10000] [--alone 300] [--seed N] [--httpx] [--smoke]
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

from _attempt import PATIENCE, Attempt, Cancel, Ledger, Phase, kind_of
from _complaints import complaints
from _counts import Held, held, more, settle, table
from _hosted import Host, Visit, hosted
from _storm import AT_ONCE, Clients, serve, storm

from rxollama import Ollama, run
from rxollama import operators as op
from rxollama.testing import Reply

_SHOWN = 20
_IDLE_SECONDS = 1.0
# Soon, on a machine with other work.
_LATE_SECONDS = 2.0
_POOL = ("timers", "files", "sockets", "server_connections")
_ALONE = 1_000_000
_LATER: dict[Phase, str] = {
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


def choose(model: str) -> Reply:
    """Give the reply for a model, by the kind that its name begins with."""
    return _reply(kind_of(model))


def _alone(clients: Clients, count: int, random: Random, ledger: Ledger) -> None:
    """Cancel one chat after another, with nothing else going on."""
    for turn in range(2 * count):
        phase: Phase = "streaming" if turn % 2 else "silent"
        attempt = Attempt(Cancel(_ALONE + turn, phase, random.uniform(0.01, 0.04), 0), "alone", ledger)
        attempt.begin(clients.of_threads.chat(attempt.cancel.model, "Why is the sky blue?"))
        attempt.wait()
        attempt.strike()
        time.sleep(0.005)


def _delays(visits: dict[str, Visit], ledger: Ledger, phase: Phase, *, alone: bool) -> list[float]:
    """Tell for each cancel that struck while the server was busy with it how long it took the server to see it."""
    delays: list[float] = []
    for model, moment in ledger.struck.items():
        visit = visits.get(model)
        if kind_of(model) != phase or (int(model.partition("/")[2]) >= _ALONE) != alone or visit is None:
            continue
        begun = visit.received_at if phase == "silent" else visit.first_byte_at
        if begun is not None and begun < moment and visit.left_at is not None:
            delays.append((visit.left_at - moment) * 1000)
    return delays


def _show_delays(visits: dict[str, Visit], ledger: Ledger) -> None:
    title = "from dispose() to the server seeing it, ms"
    print(f"\n{title:50}{'cancels':>9}{'p50':>9}{'p99':>9}{'max':>9}")
    for alone in (False, True):
        for phase, words in _LATER.items():
            delays = _delays(visits, ledger, phase, alone=alone)
            if len(delays) > 1:
                cuts = quantiles(delays, n=100, method="inclusive")
                name = f"{'one at a time' if alone else 'in the storm'}: {words}"
                print(f"{name:50}{len(delays):9,}{cuts[49]:9.2f}{cuts[98]:9.2f}{max(delays):9.2f}")


def _show_phases(visits: dict[str, Visit], ledger: Ledger) -> None:
    struck = Counter(map(kind_of, ledger.struck))
    came, left = (Counter(kind_of(one.model) for one in visits.values() if test(one)) for test in (bool, _was_left))
    print(f"\n{'phase':20}{'cancels':>10}{'reached server':>16}{'seen to leave':>16}")
    for phase, count in sorted(struck.items()):
        print(f"{phase:20}{count:10,}{came[phase]:16,}{left[phase]:16,}")


def _was_left(visit: Visit) -> bool:
    return visit.left_at is not None


def _weather(host: Host, options: Namespace) -> list[str]:
    """Let the storm pass, print what it did, and return what was wrong."""
    random, ledger = Random(options.seed), Ledger()
    columns: dict[str, Held] = {}
    count = partial(held, host.open_connections)

    with complaints() as complained, asyncio.Runner() as runner:

        def turn(seconds: float) -> None:
            runner.run(asyncio.sleep(seconds))

        runner.run(_once(host))
        with Ollama(host.url) as client:
            run(client.chat("warm-up", "Hello").pipe(op.collect()))
        turn(_IDLE_SECONDS / 4)
        columns["before"] = count()
        clients = Clients(host, plain=options.httpx)
        began = time.monotonic()

        def halfway() -> None:
            columns["in the storm"] = count(collect=False)

        runner.run(storm(clients, options.cancels, random, ledger, halfway))
        seconds = time.monotonic() - began
        _alone(clients, options.alone, random, ledger)
        serve(clients, runner, 2 * _ALONE, ledger)
        turn(_IDLE_SECONDS)
        visits = {visit.model: visit for visit in host.visits()}
        columns["client open"] = count()
        runner.run(clients.aclose())
        columns["client closed"] = settle(count, columns["before"], turn, PATIENCE)

    print(f"{ledger.count:,} cancels in {seconds:.0f} s, then {2 * options.alone:,} one at a time\n")
    print(table(columns))
    _show_phases(visits, ledger)
    _show_delays(visits, ledger)
    wrongs = ledger.wrongs + complained + [wrong for visit in visits.values() for wrong in _wrong(visit, ledger)]
    if ledger.count != options.cancels:
        wrongs.append(f"only {ledger.count} cancels were carried out")
    idle = columns["client open"].server_connections
    if idle > AT_ONCE:
        wrongs.append(f"with the client open, {idle} idle connections, for at most {AT_ONCE} chats at a time")
    # Those may wait for the next request, but nothing may be at work.
    at_work = columns["client open"]._replace(**dict.fromkeys(_POOL, 0))
    wrongs += [f"with the client open, {what}" for what in more(at_work, columns["before"])]
    wrongs += [f"with the client closed, {what}" for what in more(columns["client closed"], columns["before"])]
    return wrongs


def _wrong(visit: Visit, ledger: Ledger) -> list[str]:
    """Tell what is wrong with a request: it is the cancel that has to end it, and at once."""
    if kind_of(visit.model) in {"warm-up", "done"}:
        return [] if visit.finished_at else [f"the server could not finish its answer to {visit.model}"]
    if visit.left_at is None:
        return [f"the server did not see that {visit.model} was cancelled"]
    late = visit.left_at - ledger.struck[visit.model]
    return [f"the server saw only after {late:.1f} s that {visit.model} was cancelled"] if late > _LATE_SECONDS else []


async def _once(host: Host) -> None:
    async with Ollama(host.url) as client:
        await client.chat("warm-up", "Hello").pipe(op.collect())


def main() -> None:
    """Run the storm."""
    parser = ArgumentParser(description="Cancel chats at random moments, and count what is left behind.")
    parser.add_argument("--cancels", type=int, default=10_000, help="how many")
    parser.add_argument("--alone", type=int, default=300, help="how many more, silent and streaming, one at a time")
    parser.add_argument("--seed", type=int, default=Random().randrange(1_000_000), help="for the same storm again")
    parser.add_argument("--httpx", action="store_true", help="with a plain httpx.AsyncClient passed in")
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that everything works")
    options = parser.parse_args()
    if options.smoke:
        options.cancels, options.alone = 600, 20
    transport = "a plain httpx.AsyncClient" if options.httpx else "the default transport"
    print(f"Cancel storm with {transport}, seed {options.seed}")
    try:
        with hosted(choose) as host:
            wrongs = _weather(host, options)
    except KeyboardInterrupt:
        sys.exit("stopped")
    for wrong in wrongs[:_SHOWN]:
        print(f"WRONG: {wrong}")
    if wrongs:
        sys.exit(f"\n{len(wrongs)} things were wrong.")
    print("\nNothing was left behind.")


if __name__ == "__main__":
    main()
