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


def test_child_that_asks(start: Callable[..., Program], server: ScriptedOllama) -> None:
    """A child has connections of its own, and leaves those of its parent as they are, idle or in use."""
    server.always(Reply.answer("Yes"))
    server.enqueue(Reply.answer("Yes"), Reply.answer(["One", " two"], gap=1.0))
    program = start(
        """
        import os, threading
        from rxollama import Ollama, iterate, run

        ollama = Ollama(sys.argv[1])
        run(ollama.chat("m", "Hello"))
        stream = iterate(ollama.chat("m", "Hello"), overflow="keep")
        next(stream)
        if not os.fork():
            print(run(ollama.chat("m", "Hello")).message.content, flush=True)
            ollama.close()
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
        print([chunk.message.content for chunk in stream], flush=True)
        print(run(ollama.chat("m", "Hello")).message.content, flush=True)
        ollama.close()
        """,
        server.url,
    )
    assert program.end() == "Yes\n0\n[' two', '']\nYes"
    ports = [seen.peer_port for seen in server.requests]
    assert ports[0] == ports[1] == ports[3] != ports[2]


@pytest.mark.parametrize("delay", [0, 0.001, 0.003, 0.01, 0.03])
def test_during_the_first_request(start: Callable[..., Program], server: ScriptedOllama, delay: float) -> None:
    """A process that forks at any moment of its first request has a child that can ask, and can go on itself."""
    server.always(Reply.answer("Yes"))
    program = start(
        """
        import os, time
        from rxollama import Ollama, run

        ollama = Ollama(sys.argv[1])
        parent = ollama.chat("m", "Hello").subscribe()
        time.sleep(float(sys.argv[2]))
        if not os.fork():
            print(run(ollama.chat("m", "Hello")).message.content, flush=True)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
        print(run(ollama.chat("m", "Hello")).message.content, flush=True)
        ollama.close()
        """,
        server.url,
        str(delay),
    )
    assert program.end() == "Yes\n0\nYes"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_parent_that_disposes(start: Callable[..., Program], server: ScriptedOllama, loop: str) -> None:
    """A parent that disposes closes its request, though a child that lives on has a copy of the socket."""
    server.enqueue(Reply.answer(["One", " two"]).stalled(1))
    program = start(
        """
        import asyncio, os
        import uvloop
        from rxollama import Ollama, aiterate

        # The child lives as long as its parent.
        alive, dead = os.pipe()

        async def main():
            async with Ollama(sys.argv[1]) as ollama:
                stream = aiterate(ollama.chat("m", "Hello"))
                await anext(stream)
                if not os.fork():
                    os.close(dead)
                    os.read(alive, 1)
                    os._exit(0)
                await stream.aclose()
                print("disposed", flush=True)
                await asyncio.sleep(60)

        kind = {"asyncio": asyncio, "uvloop": uvloop}[sys.argv[2]]
        with asyncio.Runner(loop_factory=kind.new_event_loop) as runner:
            runner.run(main())
        """,
        server.url,
        loop,
    )
    assert program.line() == "disposed"
    server.wait_for(1)[0].wait_left()
