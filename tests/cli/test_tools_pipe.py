"""Tools in a pipe: they run unasked, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from terminals import piped

from rxollama.testing import Reply, ScriptedOllama

TOOLS = """
import subprocess
import sys
import time

print("loaded")

def get_weather(city: str) -> str:
    print("asking the station")
    return f"-3 degrees\\nin {city}"

def list_files() -> None:
    subprocess.run([sys.executable, "-c", "print('from a program')"], check=True)

def sleep(seconds: float) -> None:
    time.sleep(seconds)
"""


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """Write a file of tools."""
    file = tmp_path / "tools.py"
    file.write_text(TOOLS)
    return str(file)


def test_nobody_to_ask(server: ScriptedOllama, tools: str) -> None:
    """Where nobody can be asked, nothing is."""
    done = piped("chat", "-m", "think", "--tools", tools, "Cold?", server=server)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "rxollama: no terminal to ask on before a tool runs: pass --yes to run tools without asking\n"
    assert server.requests == ()


def test_unasked(server: ScriptedOllama, tools: str) -> None:
    """With `--yes` standard output has the answer alone, and calls and results are told beside it."""
    text = "x" * 300
    calls = [{"name": "get_weather", "arguments": {"city": "Oslo"}}, {"name": "sing", "arguments": {"text": text}}]
    server.enqueue(Reply.answer("Let me look.\n", tool_calls=calls), Reply.answer("It is cold."))

    done = piped("chat", "-m", "think", "--tools", tools, "--yes", server=server, stdin="Cold?")

    assert (done.returncode, done.stdout) == (0, "Let me look.\n\nIt is cold.\n")
    lines = done.stderr.splitlines()
    assert lines[0] == "loaded"
    assert sorted(lines[1:]) == sorted(
        [
            '→ get_weather(city="Oslo")',
            f'→ sing(text="{"x" * 149}[… 73 characters …]{"x" * 78}")',
            "asking the station",
            "✓ get_weather: -3 degrees in Oslo",
            "✗ sing: there is no tool 'sing'; those offered are: get_weather, list_files, sleep",
        ]
    )
    offered = [tool["function"]["name"] for tool in server.requests[0].json["tools"]]
    assert offered == ["get_weather", "list_files", "sleep"]


def test_what_a_program_prints(server: ScriptedOllama, tools: str) -> None:
    """What a program prints that a tool runs is no part of the answer."""
    server.enqueue(Reply.answer("Let me look.", tool_calls=[{"name": "list_files"}]), Reply.answer("There are none."))

    done = piped("chat", "-m", "think", "--tools", tools, "-y", "Which files?", server=server)

    assert (done.returncode, done.stdout) == (0, "Let me look.\n\nThere are none.\n")
    assert "from a program\n" in done.stderr


def test_answer_that_only_comes_after_the_calls(server: ScriptedOllama, tools: str) -> None:
    """No blank line stands before an answer."""
    server.enqueue(Reply.answer("", tool_calls=[{"name": "sing"}]), Reply.answer("Sorry."))

    assert piped("chat", "-m", "think", "--tools", tools, "-y", "Sing.", server=server).stdout == "Sorry.\n"


def test_timeout(server: ScriptedOllama, tools: str) -> None:
    """A tool that takes too long is told to have done so."""
    call = {"name": "sleep", "arguments": {"seconds": 30}}
    server.enqueue(Reply.answer("", tool_calls=[call]), Reply.answer("Too slow."))

    done = piped("chat", "-m", "think", "--tools", tools, "-y", "--tool-timeout", "0.05", "Sleep.", server=server)

    assert (done.returncode, done.stdout) == (0, "Too slow.\n")
    assert "✗ sleep: the tool 'sleep' gave no result in 0.05 s\n" in done.stderr


def test_file_that_fails(tmp_path: Path) -> None:
    """A file that cannot be loaded is wrong usage, told in one line."""
    file = tmp_path / "tools.py"
    file.write_text("def f() -> None: ...\n\nboom\n")

    done = piped("chat", "--tools", str(file), "--yes", "Hi.")

    assert (done.returncode, done.stdout) == (2, "")
    words = f"rxollama: cannot load the tools in {file}, line 3: NameError: name 'boom' is not defined\n"
    assert done.stderr == words
