"""Fixtures that many tests share: a scripted server, its clients, recordings, and checks for leftovers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, settings
from programs import Program

from rxollama import Ollama
from rxollama._runtime import background
from rxollama.testing import Recording, ScriptedOllama

# Older releases of pytest-asyncio ask for this thread's loop. Without this line asyncio would create one for them,
# and nothing would close it.
asyncio.set_event_loop(None)

# A busy machine is no reason to fail: how long an example takes says nothing about the law. This stands here and not
# in a module that some tests import, because a test takes the settings at the moment at which it is defined.
settings.register_profile("rxollama", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rxollama")

_RECORDINGS = Path(__file__).parent / "recordings"
_PATIENCE = 10.0


def pytest_configure() -> None:
    """Refuse to run without assertions: every test would pass."""
    if not __debug__:
        raise pytest.UsageError("python -O removes the assertions of the tests: run pytest without -O")


def _our_threads() -> set[threading.Thread]:
    # Executors keep their threads, which belong to asyncio.
    return {thread for thread in threading.enumerate() if not thread.name.startswith(("asyncio_", "rxollama"))}


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Fail a test that leaves a thread, or a task on the background loop."""
    before = _our_threads()
    yield
    assert _our_threads() <= before
    if any(thread.name == "rxollama" for thread in threading.enumerate()):
        asyncio.run_coroutine_threadsafe(_tasks_end(), background()).result(_PATIENCE)


async def _tasks_end() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=_PATIENCE / 2)
        assert not pending


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the environment variables that would change the tests."""
    for name in list(os.environ):
        if name.startswith("OLLAMA_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def recordings() -> dict[str, Recording]:
    """Return all recordings of a real server by name."""
    return Recording.load_all(_RECORDINGS)


@pytest.fixture
def server() -> Iterator[ScriptedOllama]:
    """Yield a scripted server that runs."""
    with ScriptedOllama() as server:
        yield server


@pytest.fixture
def ollama(server: ScriptedOllama) -> Iterator[Ollama]:
    """Yield a client of the scripted server."""
    with Ollama(server.url) as client:
        yield client


@pytest.fixture(params=["default", "httpx"])
def http_client(request: pytest.FixtureRequest) -> Iterator[httpx.AsyncClient | None]:
    """Yield None for the default transport, and a plain httpx client for the other one."""
    if request.param == "default":
        yield None
        return
    client = httpx.AsyncClient()
    yield client
    asyncio.run_coroutine_threadsafe(client.aclose(), background()).result(_PATIENCE)


@pytest.fixture
def full_port() -> Iterator[int]:
    """Yield a port whose queue of connections is full, so that connecting never ends."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Yield a function that starts programs. Those still running are killed after the test."""
    started: list[Program] = []

    def start(code: str, *arguments: str) -> Program:
        started.append(Program(code, *arguments))
        return started[-1]

    yield start
    for program in started:
        program.kill()
