"""A server that listens on IPv6."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from faults_cases import WORDS, Client, owned, partial_of, sum_of, until_sockets
from heard import Heard, text_of

from rxollama import Ollama
from rxollama import operators as op
from rxollama.errors import ConnectionFailedError, ConnectionLostError
from rxollama.testing import Reply, ScriptedOllama


def has_ipv6() -> bool:
    """Return whether this machine has an IPv6 loopback."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="this machine has no loopback of IPv6")


@pytest.fixture
def server() -> Iterator[ScriptedOllama]:
    """Yield a server on IPv6."""
    with ScriptedOllama(host="::1") as server:
        yield server
        server.wait_closed()
        asyncio.run(until_sockets(server.port, []))


def test_answer(ollama: Ollama, server: ScriptedOllama) -> None:
    """An address in brackets works, and connections are reused."""
    server.always(Reply.answer(WORDS))
    for _ in range(2):
        assert text_of(Heard(ollama.chat("m", "Count.")).wait().items) == "One two three"
    assert server.url == f"http://[::1]:{server.port}"
    assert {seen.headers["host"] for seen in server.requests} == {f"[::1]:{server.port}"}
    assert len({seen.peer_port for seen in server.requests}) == 1


def test_from_the_environment(server: ScriptedOllama, http_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address from the environment works without a scheme."""
    monkeypatch.setenv("OLLAMA_HOST", f"[::1]:{server.port}")
    server.enqueue(Reply.answer(WORDS))
    with Ollama(http_client=http_client) as ollama:
        assert Heard(ollama.chat("m", "Count.")).wait().completed


def test_proxies_are_not_for_it(server: ScriptedOllama, http_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is not used for this machine."""
    if http_client is None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.enqueue(Reply.answer(WORDS))
    with Ollama(server.url, http_client=http_client) as ollama:
        assert Heard(ollama.chat("m", "Count.")).wait().completed


def test_lost(ollama: Ollama, server: ScriptedOllama) -> None:
    """A broken connection is an error with the partial response."""
    server.enqueue(Reply.answer(WORDS).reset(200))
    heard = Heard(ollama.chat("m", "Count."))
    assert type(heard.failure) is ConnectionLostError
    assert partial_of(heard.failure) == sum_of(heard.items)


def test_refused(ollama: Ollama, server: ScriptedOllama) -> None:
    """The error for a server that is not there names its address."""
    url = server.url
    server.stop()
    failure = Heard(ollama.chat("m", "Count.")).failure
    assert type(failure) is ConnectionFailedError
    assert f"cannot connect to {url}: connection refused" in str(failure)


def test_left(ollama: Ollama, server: ScriptedOllama) -> None:
    """Dispose closes the request."""
    server.enqueue(Reply.answer(WORDS).stalled(2))
    heard = Heard(ollama.chat("m", "Count.")).wait_items(2)
    heard.dispose()
    server.requests[0].wait_left()


async def test_in_asyncio(server: ScriptedOllama, http_client: Client) -> None:
    """A request from a coroutine works."""
    server.enqueue(Reply.answer(WORDS))
    async with owned(server.url, http_client) as ollama:
        response = await ollama.chat("m", "Count.").pipe(op.collect())
    assert response.message.content == "One two three"
