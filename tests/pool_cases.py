"""Hosts for the tests of the pool: scripted servers that say which models they have."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager

from heard import PATIENCE, Heard

from rxollama import Pool
from rxollama.pool import HostState
from rxollama.testing import Reply, ScriptedOllama, SeenRequest

__all__ = ("CHATS", "asked", "has", "hosts", "until")

CHATS = ("/api/chat", "/api/generate", "/api/embed")


def has(server: ScriptedOllama, *models: str, loaded: tuple[str, ...] = ()) -> None:
    """Let a server list its models."""
    server.always(_listed(models), "/api/tags")
    server.always(_listed(loaded), "/api/ps")


def _listed(models: tuple[str, ...]) -> Reply:
    return Reply.json({"models": [{"name": name, "model": name} for name in models]})


@contextmanager
def hosts(count: int, *models: str) -> Generator[list[ScriptedOllama]]:
    """Run servers that have the model "m", or *models*, and answer each chat with their number."""
    with ExitStack() as stack:
        servers = [stack.enter_context(ScriptedOllama()) for _ in range(count)]
        for number, server in enumerate(servers):
            has(server, *(models or ("m",)))
            for path in ("/api/chat", None):
                server.always(Reply.answer(f"Host {number}", model="m"), path)
        yield servers


def asked(server: ScriptedOllama) -> list[SeenRequest]:
    """Return the requests that a server received, without the questions of a pool."""
    return [seen for seen in server.requests if seen.path not in {"/api/tags", "/api/ps"}]


def until(pool: Pool, holds: Callable[[tuple[HostState, ...]], bool]) -> None:
    """Wait until the states of a pool's hosts are as expected."""
    states = Heard(pool.hosts())
    for count in range(1, 1000):
        states.wait_items(count)
        if holds(states.items[count - 1]):
            states.dispose()
            return
    raise AssertionError(PATIENCE)
