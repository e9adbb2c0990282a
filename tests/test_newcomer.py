"""Programs as somebody writes them who has never heard of Rx, and what they see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from rxollama.testing import Reply, ScriptedOllama

ROOT = Path(__file__).parent.parent
PRELUDE = """
from rxollama import Ollama, run
from rxollama import operators as op

ollama = Ollama()
"""


def printed(program: str, server: ScriptedOllama) -> str:
    """Run a program against a server, and return what it printed."""
    ended = ran(PRELUDE + dedent(program), server)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return ended.stdout


def complaint(program: str, server: ScriptedOllama) -> str:
    """Run a program that fails, and return the last line of its complaint."""
    ended = ran(PRELUDE + dedent(program), server)
    assert ended.returncode == 1
    assert "During handling of the above exception" not in ended.stderr
    assert "direct cause of the following exception" not in ended.stderr
    return ended.stderr.strip().splitlines()[-1]


def ran(program: str, server: ScriptedOllama) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=ROOT,
        env={"OLLAMA_HOST": server.url, "PATH": "", "PYTHONPATH": str(ROOT)},
    )


class TestAnswers:
    """Programs that work as they stand."""

    def test_for(self, server: ScriptedOllama) -> None:
        """A `for` over a chat brings its chunks, and ends."""
        server.enqueue(Reply.answer(["Because", " of", " scattering."]))
        program = """
            for chunk in ollama.chat("qwen3", "Why is the sky blue?"):
                print(chunk.message.content, end="", flush=True)
        """
        assert printed(program, server) == "Because of scattering."

    def test_run(self, server: ScriptedOllama) -> None:
        """`run` of a chat is the whole answer, and printing it shows that."""
        server.enqueue(Reply.answer(["Because", " of", " scattering."], thinking="Hm"))
        seen = printed('print(run(ollama.chat("qwen3", "Why is the sky blue?")))', server)
        assert "content='Because of scattering.', thinking='Hm'" in seen
        assert "done=True" in seen

    def test_await(self, server: ScriptedOllama) -> None:
        """Awaiting a chat is the whole answer."""
        server.enqueue(Reply.answer(["Because", " of", " scattering."]))
        program = """
            import asyncio

            async def main():
                answer = await ollama.chat("qwen3", "Why is the sky blue?")
                print(answer.message.content)

            asyncio.run(main())
        """
        assert printed(program, server) == "Because of scattering.\n"

    def test_await_of_another_loop(self, server: ScriptedOllama) -> None:
        """A shared chat that was subscribed in one place may be awaited in another."""
        server.enqueue(Reply.answer(["Because", " of", " scattering."], gap=0.05))
        program = """
            import asyncio

            shared = ollama.chat("qwen3", "Why is the sky blue?").pipe(op.share())
            shared.subscribe(lambda chunk: None)

            async def main():
                print((await shared).message.content)

            asyncio.run(main())
        """
        assert printed(program, server) == "Because of scattering.\n"
        assert len(server.requests) == 1

    def test_content(self, server: ScriptedOllama) -> None:
        """The texts of a chat may be looped over, and run to the whole text."""
        server.always(Reply.answer(["Because", " of", " scattering."]))
        program = """
            chat = ollama.chat("qwen3", "Why is the sky blue?")
            print("".join(chat.pipe(op.content())))
            print(run(chat.pipe(op.content())))
        """
        assert printed(program, server) == "Because of scattering.\n" * 2


class TestMistakes:
    """Programs with a mistake, and what they are told."""

    def test_forgotten_on_error(self, server: ScriptedOllama) -> None:
        """An error that nobody handles is printed, with what to pass."""
        server.enqueue(Reply.error(404, {"error": "model 'qwen3' not found"}))
        program = """
            import logging
            import threading

            told = threading.Event()

            class Told(logging.Handler):
                def emit(self, record):
                    told.set()

            logging.getLogger("asyncio").addHandler(logging.StreamHandler())
            logging.getLogger("asyncio").addHandler(Told())
            ollama.chat("qwen3", "Hello").subscribe(print)
            told.wait()
        """
        ended = ran(PRELUDE + dedent(program), server)
        assert "unhandled error in the stream" in ended.stderr
        assert "pass on_error= to subscribe()" in ended.stderr
        assert "model 'qwen3' not found" in ended.stderr

    @pytest.mark.parametrize(
        ("program", "told"),
        [
            (
                'ollama.chat("qwen3", [{"role": "user", "text": "x"}])',
                "rxollama.errors.InvalidValueError: messages[0].text: expected ",
            ),
            (
                'ollama.chat("qwen3", "Hello", options={"temprature": 0})',
                "rxollama.errors.InvalidValueError: options.temprature: expected ",
            ),
            (
                'ollama.chat("qwen3", "Hello").pipe(op.content(), op.throttle(1))',
                "rxollama.errors.InvalidValueError: throttle(): expected ",
            ),
            (
                'ollama.chat("qwen3", "Hello").pipe(op.content(), op.collect())',
                "rxollama.errors.InvalidValueError: collect(): expected a stream of ChatChunk",
            ),
            (
                'ollama.chat("qwen3", "Hello").pipe(op.collect(), op.content())',
                "rxollama.errors.InvalidValueError: content(): expected a stream of ChatChunk",
            ),
        ],
    )
    def test_refused(self, server: ScriptedOllama, program: str, told: str) -> None:
        """A mistake in a call is refused at the call, in words, before anything is sent."""
        assert complaint(program, server).startswith(told)
        assert server.requests == ()

    def test_for_in_a_loop(self, server: ScriptedOllama) -> None:
        """A plain `for` in a coroutine is told of `async for`."""
        program = """
            import asyncio

            async def main():
                for chunk in ollama.chat("qwen3", "Hello"):
                    print(chunk)

            asyncio.run(main())
        """
        assert "use `async for item in stream`" in complaint(program, server)

    def test_no_server(self) -> None:
        """Without a server the last line says what to do, and names the host."""
        with ScriptedOllama() as gone:
            url = gone.url
        ended = subprocess.run(
            [sys.executable, "-c", PRELUDE + 'run(ollama.chat("qwen3", "Hello"))'],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            cwd=ROOT,
            env={"OLLAMA_HOST": url, "PATH": "", "PYTHONPATH": str(ROOT)},
        )
        last = ended.stderr.strip().splitlines()[-1]
        assert last.startswith("rxollama.errors.ConnectionFailedError: ")
        assert url in last
        assert ended.stderr.count("Traceback") == 1
