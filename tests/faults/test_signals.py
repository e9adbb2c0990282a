"""Programs that are interrupted, are terminated, or end, which the server sees at once."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator

import pytest
from faults_cases import CLIENTS, WORDS
from programs import Program

from rxollama.testing import Reply, ScriptedOllama

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")

Start = Callable[..., Program]
BOTH = pytest.mark.parametrize("client", CLIENTS, ids=["default", "httpx"])
PRELUDE = """
import asyncio, httpx, signal, threading
from queue import SimpleQueue  # Unlike an event, it has no lock that a signal handler could wait for.
from rxollama import Ollama, aiterate, iterate, run
from rxollama import operators as op
from rxollama._runtime import background

background().slow_callback_duration = 10  # httpx loads as it goes.
client = {client}
ollama = Ollama(sys.argv[1], http_client=client)
chat = ollama.chat("m", "Count.")

def close():
    # Who makes an HTTP client closes it, on the loop that its connections belong to.
    if client:
        asyncio.run_coroutine_threadsafe(client.aclose(), background()).result(10)
"""
LOOPS = {
    "run": "run(chat)",
    "iterate": "for chunk in iterate(chat): pass",
    "operators": "run(chat.pipe(op.timeouts(total=60), op.retry(), op.coalesce(30), op.share(), op.collect()))",
}
AGAIN = """
try:
    {loop}
except KeyboardInterrupt:
    print("interrupted", threading.active_count(), flush=True)
print(run(ollama.chat("m", "Again.").pipe(op.collect())).message.content)
close()
"""


@pytest.fixture
def server() -> Iterator[ScriptedOllama]:
    """Yield a server, to which programs make their own clients."""
    with ScriptedOllama() as server:
        yield server
        server.wait_closed()


def dedented(*parts: str, **fields: str) -> str:
    """Return the parts of a program joined, with their fields filled in."""
    return "".join(parts).format(**fields)


@pytest.mark.parametrize(
    ("loop", "client", "pieces"),
    [
        ("run", CLIENTS[0], 0),
        ("run", CLIENTS[1], 0),
        ("run", CLIENTS[0], 2),
        ("iterate", CLIENTS[1], 2),
        ("operators", CLIENTS[0], 2),
    ],
)
def test_interrupt(start: Start, server: ScriptedOllama, client: str, pieces: int, loop: str) -> None:
    """Ctrl-C ends the blocking call and closes its request, and the client can be used again."""
    server.enqueue(Reply.answer(WORDS).stalled(pieces), Reply.answer("Here I am."))
    program = start(dedented(PRELUDE, AGAIN, client=client, loop=LOOPS[loop]), server.url)
    seen = server.wait_for(1, timeout=20)[0]
    program.interrupt()
    assert program.line() == "interrupted 2"
    assert seen.wait_left() < server.wait_for(2)[1].received_at
    assert program.end() == "Here I am."


@BOTH
def test_interrupt_in_asyncio(start: Start, server: ScriptedOllama, client: str) -> None:
    """Ctrl-C in `asyncio.run` cancels the task that iterates, which closes the request."""
    server.enqueue(Reply.answer(WORDS).stalled(2))
    main = """
async def main():
    asyncio.get_running_loop().slow_callback_duration = 10
    try:
        async for chunk in aiterate(chat, overflow="keep"):
            print(chunk.message.content, flush=True)
    finally:
        if client:
            await client.aclose()

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""
    program = start(dedented(PRELUDE, main, client=client), server.url)
    assert [program.line(), program.line()] == ["One", "two"]
    program.interrupt()
    server.requests[0].wait_left()
    assert program.end().splitlines()[-1] == "interrupted"


@BOTH
def test_terminate(start: Start, server: ScriptedOllama, client: str) -> None:
    """SIGTERM without a handler ends the program at once, and the server sees it leave."""
    server.enqueue(Reply.answer(WORDS).stalled(2))
    program = start(dedented(PRELUDE, "run(chat)", client=client), server.url)
    seen = server.wait_for(1, timeout=20)[0]
    program.send(signal.SIGTERM)
    seen.wait_left()
    assert program.status() == -signal.SIGTERM


@BOTH
def test_terminate_handled(start: Start, server: ScriptedOllama, client: str) -> None:
    """A handler of SIGTERM that exits closes the request of a `run`."""
    server.enqueue(Reply.answer(WORDS).stalled(2))
    main = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
try:
    run(chat)
finally:
    close()
"""
    program = start(
        dedented(PRELUDE, main, client=client),
        server.url,
    )
    seen = server.wait_for(1, timeout=20)[0]
    program.send(signal.SIGTERM)
    seen.wait_left()
    assert program.end() == ""


@pytest.mark.parametrize(("client", "pieces"), [(CLIENTS[0], 0), (CLIENTS[1], 2)])
def test_exit(start: Start, server: ScriptedOllama, client: str, pieces: int) -> None:
    """A program that ends during a stream closes its request without a notification."""
    server.enqueue(Reply.answer(WORDS).stalled(pieces))
    main = """
ending = SimpleQueue()
signal.signal(signal.SIGUSR1, lambda *_: ending.put(None))
chat.subscribe(lambda chunk: print(chunk.message.content, flush=True), print, lambda: print("completed"))
ending.get()
"""
    program = start(dedented(PRELUDE, main, client=client), server.url)
    seen = server.wait_for(1, timeout=20)[0]
    assert [program.line() for _ in range(pieces)] == ["One", "two"][:pieces]
    program.send(signal.SIGUSR1)
    seen.wait_left()
    assert program.end() == ""


def test_exit_after_the_end(start: Start, server: ScriptedOllama) -> None:
    """A program that ends after its last answer closes its connection without a warning."""
    server.enqueue(Reply.answer(WORDS))
    program = start(dedented(PRELUDE, "print(run(chat).done)", client="None"), server.url)
    assert program.end() == "True"


def test_left_by_a_signal_handler(start: Start, server: ScriptedOllama) -> None:
    """A signal handler may dispose, and the program goes on."""
    server.enqueue(Reply.answer(WORDS).stalled(2))
    main = """
ready, done = threading.Event(), SimpleQueue()
def show(chunk):
    # The test sends the signal after the last line.
    ready.wait()
    print(chunk.message.content, flush=True)
subscription = chat.subscribe(show)
def leave(*_):
    subscription.dispose()
    done.put(None)
signal.signal(signal.SIGUSR1, leave)
ready.set()
done.get()
print("disposed", flush=True)
"""
    program = start(dedented(PRELUDE, main, client="None"), server.url)
    assert [program.line(), program.line()] == ["One", "two"]
    program.send(signal.SIGUSR1)
    server.requests[0].wait_left()
    assert program.end() == "disposed"
