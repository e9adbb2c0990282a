"""A process that forks after it has asked something."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from programs import Program

from rxollama.testing import Reply, ScriptedOllama


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("transport", ["default", "httpx"])
def test_idle_child(start: Callable[..., Program], server: ScriptedOllama, transport: str, host: str) -> None:
    """A child that asks nothing exits with its own status, after its parent has connected to a server."""
    server.always(Reply.answer("Yes"))
    program = start(
        """
        import asyncio
        import os
        import httpx
        from rxollama import Ollama, run
        from rxollama._runtime import background

        client = httpx.AsyncClient() if sys.argv[2] == "httpx" else None
        with Ollama(sys.argv[1], http_client=client) as ollama:
            print(run(ollama.chat("m", "Hello")).done, flush=True)
        if client is not None:
            asyncio.run_coroutine_threadsafe(client.aclose(), background()).result()
        if not (child := os.fork()):
            sys.exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
        server.url.replace("127.0.0.1", host),
        transport,
    )
    assert program.end() == "True\n3"
