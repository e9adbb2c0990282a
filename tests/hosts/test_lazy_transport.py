"""The import of the default transport: beside the loop, once, and never across a fork."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from textwrap import dedent

import pytest
from programs import Program

from rxollama._hosts import LazyTransport
from rxollama.errors import ClientClosedError
from rxollama.testing import Reply, ScriptedOllama
from rxollama.transport import Request

Start = Callable[..., Program]

# A finder that is asked about every import and finds none. A program replaces `seen`.
FINDER = """
import asyncio
import os
import threading
from rxollama import Ollama, run
from rxollama.errors import ClientClosedError

PATIENCE = 10.0
URL = sys.argv[1]


class Finder:
    def find_spec(self, name, path=None, target=None):
        seen(name)


sys.meta_path.insert(0, Finder())
"""

# A program that forks, and asks in each child. It prints the exit statuses of the children. A child that hangs shows
# where its threads are.
FORKING = """
import faulthandler
import signal
import time
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads.
children = []


def limit():
    faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)
    signal.alarm(15)


def fork():
    if child := os.fork():
        children.append(child)
        return
    limit()
    status = 5
    try:
        status = 0 if run(Ollama(URL).chat("m", "Are you there?")).done else 4
    finally:
        os._exit(status)


def ask():
    print(run(Ollama(URL).chat("m", "Hello")).message.content)


def statuses():
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
"""


@pytest.fixture
def program(start: Start, server: ScriptedOllama) -> Callable[[str], Program]:
    """Return a function that starts a program that watches its imports."""
    server.always(Reply.answer("Yes"))
    return lambda code: start(FINDER + FORKING + dedent(code), server.url)


def test_the_loop_goes_on(program: Callable[[str], Program]) -> None:
    """A loop runs its callbacks while the first request imports the transport."""
    code = """
    async def main():
        loop, ran = asyncio.get_running_loop(), threading.Event()

        def watch(name):
            if name in {"rxollama._http", "httpx"}:
                ran.clear()
                loop.call_soon_threadsafe(ran.set)
                print(name, ran.wait(PATIENCE))

        global seen
        seen = watch
        print((await Ollama(URL).chat("m", "Hello")).done)
        for thread in threading.enumerate():
            if thread.name == "rxollama-import":
                # Its work is done, and it may be about to end.
                thread.join(PATIENCE)
        print(*(thread.name for thread in threading.enumerate()))

    seen = print
    asyncio.run(main())
    """
    assert program(code).end().splitlines() == ["rxollama._http True", "httpx True", "True", "MainThread"]


@pytest.mark.parametrize("address", ["http://127.0.0.1", "http://localhost", "https://127.0.0.1"])
@pytest.mark.parametrize("asked", ["asyncio.run(main())", "run(chat)"], ids=["asyncio", "background"])
def test_nothing_is_imported_later(program: Callable[[str], Program], address: str, asked: str) -> None:
    """A first request imports all that it needs on that one thread, even what libraries import late."""
    code = f"""
    def seen(name):
        if threading.current_thread().name != "rxollama-import":
            names.append(name)

    async def main():
        await chat

    names = []
    ollama = Ollama(URL.replace("http://127.0.0.1", {address!r}))
    chat = ollama.chat("m", "Hello")
    try:
        {asked}
    except Exception as error:
        print(type(error).__name__)
    print(names)
    """
    ended = ["ConnectionFailedError"] if address.startswith("https") else []
    assert program(code).end().splitlines() == [*ended, "[]"]


def test_shared(program: Callable[[str], Program]) -> None:
    """Two first requests, of two clients on two loops, share one import."""
    code = """
    def seen(name):
        if name == "rxollama._http":
            names.append(name)
            both.wait(PATIENCE)

    async def main():
        request = asyncio.ensure_future(Ollama(URL).chat("m", "Hello"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        both.wait(PATIENCE)
        answers.append((await request).done)

    names, answers, both = [], [], threading.Barrier(3)
    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(names, answers)
    """
    assert program(code).end() == "['rxollama._http'] [True, True]"


def test_failing(program: Callable[[str], Program]) -> None:
    """Subscribers receive the error of an import that failed, and the next request tries it again."""
    code = """
    def seen(name):
        if name == "httpx" and failing:
            raise SyntaxError("it is written for another Python")

    failing = True
    with Ollama(URL) as ollama:
        for _ in range(2):
            ended = threading.Event()
            ollama.version().subscribe(on_error=lambda error: print(repr(error), error.__cause__) or ended.set())
            ended.wait(PATIENCE)
        failing = False
        print(run(ollama.chat("m", "Hello")).done)
    """
    told = (
        "ImportError('the HTTP transport cannot be imported (SyntaxError: it is written for another Python): expected "
        "the packages that rxollama depends on; install them again') it is written for another Python"
    )
    assert program(code).end().splitlines() == [told, told, "True"]


@pytest.mark.parametrize("closing", ["ollama.close()", "asyncio.run(ollama.aclose())"])
def test_closed_meanwhile(program: Callable[[str], Program], server: ScriptedOllama, closing: str) -> None:
    """A client that is closed during the import ends its streams, and sends nothing."""
    code = f"""
    def seen(name):
        if name == "rxollama._http":
            importing.set()
            print(ended.wait(PATIENCE))

    def on_error(error):
        print(repr(error))
        ended.set()

    importing, ended = threading.Event(), threading.Event()
    ollama = Ollama(URL)
    ollama.chat("m", "Hello").subscribe(on_error=on_error)
    importing.wait(PATIENCE)
    {closing}
    """
    told = "ClientClosedError('the client was closed while this stream was running')"
    assert sorted(program(code).end().splitlines()) == [told, "True"]
    assert not server.requests


@pytest.mark.parametrize("where", ["asyncio.run(main())", "Ollama(URL).chat('m', 'Hello').subscribe()"])
def test_exit_meanwhile(program: Callable[[str], Program], where: str) -> None:
    """A program that ends during the import waits for it, and ends quietly."""
    code = f"""
    def seen(name):
        if name == "rxollama._http":
            importing.set()
            threading.main_thread().join()
            time.sleep(0.1)  # The interpreter would be gone by then.
            print("imported")

    async def main():
        Ollama(URL).chat("m", "Hello").subscribe()
        await asyncio.to_thread(importing.wait, PATIENCE)

    importing = threading.Event()
    {where}
    importing.wait(PATIENCE)
    """
    assert program(code).end() == "imported"


def test_without_threads(program: Callable[[str], Program]) -> None:
    """Where no thread can be started, the request imports the transport by itself."""
    code = """
    async def main():
        threading.stack_size(1 << 46)
        print((await Ollama(URL).chat("m", "Hello")).done)

    seen = str
    asyncio.run(main())
    """
    assert program(code).end() == "True"


@pytest.mark.parametrize("module", ["rxollama._http", "httpx._models"])
def test_fork_meanwhile(program: Callable[[str], Program], module: str) -> None:
    """A process that forks during the import has a child that can ask."""
    code = f"""
    def seen(name):
        if name == {module!r} and not forking.is_set():
            importing.set()
            forking.wait(PATIENCE)

    importing, forking = threading.Event(), threading.Event()
    asker = threading.Thread(target=ask)
    asker.start()
    importing.wait(PATIENCE)
    forking.set()
    if not (child := os.fork()):
        limit()
        sys.exit(not run(Ollama(URL).chat("m", "Are you there?")).done)
    children.append(child)
    asker.join()
    print(statuses())
    """
    assert program(code).end().splitlines() == ["Yes", "[0]"]


def test_fork_during_a_slow_import(program: Callable[[str], Program]) -> None:
    """A fork waits for an import that is slow, as on a busy machine, as long as it goes on."""
    code = """
    def seen(name):
        importing.set()
        if len(names) < 12:
            names.append(name)
            time.sleep(0.5)

    names, importing = [], threading.Event()
    asker = threading.Thread(target=ask)
    asker.start()
    importing.wait(PATIENCE)
    fork()
    asker.join()
    print(statuses())
    """
    assert program(code).end().splitlines() == ["Yes", "[0]"]


def test_fork_by_an_import(program: Callable[[str], Program]) -> None:
    """A module that forks while it is imported does not wait for itself."""
    code = """
    def seen(name):
        if name == "httpx":
            children.append(os.fork())
            if not children[-1]:
                os._exit(3)

    ask()
    print(statuses())
    """
    assert program(code).end().splitlines() == ["Yes", "[3]"]


def test_fork_that_an_import_waits_for(program: Callable[[str], Program]) -> None:
    """A fork that the import itself waits for is late, and its child gets an error instead of a wait without end."""
    code = """
    def watch(event, arguments):
        # Finders are asked under a lock that forks take, but modules are run without it.
        if event == "exec" and arguments[0].co_filename.endswith(os.path.join("httpx", "_models.py")):
            importing.set()
            print(forked.wait(PATIENCE))

    seen = str
    importing, forked = threading.Event(), threading.Event()
    sys.addaudithook(watch)
    asker = threading.Thread(target=ask)
    asker.start()
    importing.wait(PATIENCE)
    if not (child := os.fork()):
        limit()
        try:
            ask()
        except ImportError as error:
            print(error)
        sys.exit(3)
    children.append(child)
    forked.set()
    asker.join()
    print(statuses())
    """
    told = (
        "the HTTP transport cannot be imported: expected a fork before or after its import, got one that the import "
        "waited for; let a first request end before the process forks"
    )
    assert sorted(program(code).end().splitlines()) == ["True", "Yes", "[3]", told]


@pytest.mark.parametrize("seed", range(4))
def test_fork_at_any_moment(program: Callable[[str], Program], seed: int) -> None:
    """A process that forks at random moments of its first requests has children that can ask."""
    code = f"""
    import random

    def fork_often():
        moments = random.Random({seed})
        for _ in range(8):
            time.sleep(moments.random() / 25)
            fork()

    seen = str
    forker = threading.Thread(target=fork_often)
    forker.start()
    for _ in range(3):
        ask()
    forker.join()
    print(statuses())
    """
    assert program(code).end().splitlines() == ["Yes"] * 3 + [str([0] * 8)]


def test_closed_before_it_was_used() -> None:
    """A transport that was closed before its first request opens no connection."""

    async def main() -> None:
        transport = LazyTransport("http://127.0.0.1:9", "", None, None)
        await transport.aclose()
        async with transport.open(Request(method="GET", path="/api/version")):
            raise AssertionError

    with pytest.raises(ClientClosedError):
        asyncio.run(main())
