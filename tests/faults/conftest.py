"""A server, and a client of it over both transports, between which nothing may stay."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from faults_cases import Client, until_sockets

from rxollama import Ollama
from rxollama.testing import ScriptedOllama


@pytest.fixture
def server() -> Iterator[ScriptedOllama]:
    """Yield a scripted server, and check afterwards that no connection stays."""
    with ScriptedOllama() as server:
        yield server
        server.wait_closed()
        # A server that broke a connection off knows of its end before the client.
        asyncio.run(until_sockets(server.port, []))


@pytest.fixture
def http_client(server: ScriptedOllama, http_client: Client) -> Client:
    """Return the HTTP client of both transports, which is closed before the server checks for connections."""
    assert server.port
    return http_client


@pytest.fixture
def ollama(server: ScriptedOllama, http_client: Client) -> Iterator[Ollama]:
    """Yield a client of the scripted server."""
    with Ollama(server.url, http_client=http_client) as client:
        yield client
