"""Where a stream may be waited for: not in a running loop, in trio, or under gevent."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest
import trio

from rxollama import Ollama, aiterate, iterate, run
from rxollama.errors import UnsupportedRuntimeError
from rxollama.testing import Reply, ScriptedOllama

IN_A_THREAD = r"use `await trio\.to_thread\.run_sync\(run, stream\)`"


class TestTrio:
    """A program that trio runs."""

    def test_blocking(self, ollama: Ollama) -> None:
        """Blocking calls would block trio, and are refused with what works."""
        chat = ollama.chat("m", "Hello")

        async def main() -> None:
            with pytest.raises(UnsupportedRuntimeError, match=r"run\(...\) would block trio.*" + IN_A_THREAD):
                run(chat)
            with pytest.raises(UnsupportedRuntimeError, match=r"iterate\(...\) would block trio.*" + IN_A_THREAD):
                iterate(chat)
            with pytest.raises(UnsupportedRuntimeError, match=r"`for item in stream` would block trio"):
                iter(chat)

        trio.run(main)

    def test_waiting(self, ollama: Ollama) -> None:
        """Waiting needs asyncio, and is refused with what works."""
        chat = ollama.chat("m", "Hello")

        async def main() -> None:
            with pytest.raises(UnsupportedRuntimeError, match=r"`await stream` needs asyncio.*" + IN_A_THREAD):
                await chat
            with pytest.raises(UnsupportedRuntimeError, match=r"aiterate\(...\) needs asyncio"):
                await anext(aiterate(chat))

        trio.run(main)

    def test_in_a_thread(self, server: ScriptedOllama) -> None:
        """The way out that the error names works."""
        server.enqueue(Reply.answer("Hello!"))
        # In a process of its own, since trio keeps its threads for a while.
        program = """
            import trio
            from rxollama import Ollama, run

            async def main() -> None:
                with Ollama(sys.argv[1]) as ollama:
                    print((await trio.to_thread.run_sync(run, ollama.chat("m", "Hello"))).message.content)

            trio.run(main)
        """
        assert printed(program, server.url) == "Hello!"

    def test_subscribe(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Subscribing blocks nothing, and works in trio as anywhere."""
        server.enqueue(Reply.answer("Hello!"))

        async def main() -> str:
            token = trio.lowlevel.current_trio_token()
            ended = trio.Event()
            texts: list[str] = []
            ollama.chat("m", "Hello").subscribe(
                lambda chunk: texts.append(chunk.message.content),
                on_completed=lambda: token.run_sync_soon(ended.set),
            )
            await ended.wait()
            return "".join(texts)

        assert trio.run(main) == "Hello!"


class TestGevent:
    """A program whose threads gevent has patched."""

    def test_patched(self, server: ScriptedOllama) -> None:
        """The error says what to do, instead of waiting without an end."""
        program = """
            import gevent.monkey
            gevent.monkey.patch_all()
            from rxollama import Ollama, run
            from rxollama.errors import UnsupportedRuntimeError

            try:
                run(Ollama(sys.argv[1]).chat("m", "Hello"))
            except UnsupportedRuntimeError as error:
                print(error)
        """
        assert "gevent.monkey.patch_all(thread=False)" in printed(program, server.url)

    def test_threads_left_alone(self, server: ScriptedOllama) -> None:
        """With real threads everything works."""
        server.enqueue(Reply.answer("Hello!"))
        program = """
            import gevent.monkey
            gevent.monkey.patch_all(thread=False)
            from rxollama import Ollama, run

            print(run(Ollama(sys.argv[1]).chat("m", "Hello")).message.content)
        """
        assert printed(program, server.url) == "Hello!"


def printed(program: str, url: str) -> str:
    """Run a program in an interpreter of its own, and return what it printed."""
    code = "import sys\n" + dedent(program)
    return subprocess.run(
        [sys.executable, "-c", code, url], capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()
