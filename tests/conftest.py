"""What the tests share: a scripted server, clients of it, the recordings, and a look at what was left behind."""

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
from programs import Program

from rxollama import Ollama
from rxollama._runtime import background
from rxollama.testing import Recording, ScriptedOllama

# Older releases of pytest-asyncio ask for this thread's loop; were it not said that there is none, asyncio would make
# one for them, and nobody would close it.
asyncio.set_event_loop(None)

_RECORDINGS = Path(__file__).parent / "recordings"
_PATIENCE = 10.0


def pytest_configure() -> None:
    """Refuse to run without assertions: every test would pass."""
    if not __debug__:
        raise pytest.UsageError("python -O removes the assertions of the tests: run pytest without -O")


def _our_threads() -> set[threading.Thread]:
    # Executors keep their threads: those belong to asyncio.
    return {thread for thread in threading.enumerate() if not thread.name.startswith(("asyncio_", "rxollama"))}


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Fail a test that leaves a thread behind, or a task on the background loop."""
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
    """Keep the settings of this machine out of the tests."""
    for name in list(os.environ):
        if name.startswith("OLLAMA_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def recordings() -> dict[str, Recording]:
    """Load all recordings of a real server, by name."""
    return Recording.load_all(_RECORDINGS)


@pytest.fixture
def server() -> Iterator[ScriptedOllama]:
    """Run a scripted server."""
    with ScriptedOllama() as server:
        yield server


@pytest.fixture
def ollama(server: ScriptedOllama) -> Iterator[Ollama]:
    """Make a client of the scripted server."""
    with Ollama(server.url) as client:
        yield client


@pytest.fixture(params=["default", "httpx"])
def http_client(request: pytest.FixtureRequest) -> Iterator[httpx.AsyncClient | None]:
    """Stand for both transports: None for the default one, and a plain httpx client for use outside of any loop."""
    if request.param == "default":
        yield None
        return
    client = httpx.AsyncClient()
    yield client
    asyncio.run_coroutine_threadsafe(client.aclose(), background()).result(_PATIENCE)


@pytest.fixture
def full_port() -> Iterator[int]:
    """Listen without ever accepting, with a queue that is full: connecting takes for ever."""
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
    """Start programs, and end those that a test leaves running."""
    started: list[Program] = []

    def start(code: str, *arguments: str) -> Program:
        started.append(Program(code, *arguments))
        return started[-1]

    yield start
    for program in started:
        program.kill()
