"""A server and a client of it over both transports; nothing between them may be left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faults_cases import Client, sockets_to

from rxollama import Ollama
from rxollama.testing import ScriptedOllama


@pytest.fixture
def server() -> Iterator[ScriptedOllama]:
    """Run a scripted server; when a test is over, and its clients are closed, it has no connection any more."""
    with ScriptedOllama() as server:
        yield server
        server.wait_closed()
        assert sockets_to(server.port) == []


@pytest.fixture
def http_client(server: ScriptedOllama, http_client: Client) -> Client:
    """Stand for both transports; what was given is closed before the server looks at what was left."""
    assert server.port
    return http_client


@pytest.fixture
def ollama(server: ScriptedOllama, http_client: Client) -> Iterator[Ollama]:
    """Make a client of the scripted server."""
    with Ollama(server.url, http_client=http_client) as client:
        yield client
