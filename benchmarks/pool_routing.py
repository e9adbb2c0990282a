"""
What does a pool of hosts cost per request, beside the same request over one host?

Short chats run one after another: the same conversation of ten messages is sent to a client of one host, and to clients
of pools. Each host is a server process of its own. The cost of a pool is the difference to the neighbour in the same
turn, and includes the choice and the counting. A pool repeats answers that break, so the client of one host does so,
too.
"""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from time import process_time

from _fast_server import AnswerPlan, fast_server
from _harness import Aim, alternate_here, main, print_table, ratio, spread

from rxollama import Host, Message, Ollama, Pool

_SIZES = (1, 3, 5)
_LARGEST = _SIZES[-1]
_PLAN = AnswerPlan(3)
_MESSAGES = [Message.user(f"Question {number} " * 20) for number in range(10)]


async def _cost(ollama: Ollama, count: int) -> float:
    """Return the microseconds of CPU of a chat. It collects no garbage, which would cost more than the chats."""
    began = process_time()
    for _ in range(count):
        await ollama.chat(_PLAN.model(), _MESSAGES, after_break="restart")
    return (process_time() - began) * 1e6 / count


async def _costs(urls: list[str], count: int, turns: int) -> dict[str, list[float]]:
    async with AsyncExitStack() as stack:
        clients = {"one host": await stack.enter_async_context(Ollama(urls[0]))}
        for size in _SIZES:
            # The server has no list of models: it only writes answers.
            hosts = [Host(url, models=[_PLAN.model()]) for url in urls[:size]]
            pool = await stack.enter_async_context(Pool(*hosts, connect_timeout=0.1))
            clients[f"a pool of {size}"] = await stack.enter_async_context(Ollama(transport=pool))
        gc.collect()
        gc.disable()
        return await alternate_here(
            {name: partial(_cost, client, count) for name, client in clients.items()}, turns=turns
        )


def measure(smoke: bool) -> list[Aim]:
    """Measure one host, and pools of several sizes."""
    count, turns = (5, 1) if smoke else (10, 150)
    with ExitStack() as stack:
        servers = [stack.enter_context(fast_server(_PLAN)) for _ in range(_LARGEST)]
        costs = asyncio.run(_costs([server.url for server in servers], count, turns))
    one = costs["one host"]
    more = {name: spread(mine - its for mine, its in zip(each, one, strict=True)) for name, each in costs.items()}
    print(f"µs of CPU per chat of {_PLAN.chunks} chunks:")
    rows = ((name, spread(each).show(), more[name].show(), ratio(each, one).show()) for name, each in costs.items())
    print_table(("", "µs of CPU per chat", "more than over one host", "by one host"), rows)
    return [Aim(f"a pool of {_LARGEST}, µs of CPU more per request", more[f"a pool of {_LARGEST}"].median, most=20)]


if __name__ == "__main__":
    main(measure, __doc__)
