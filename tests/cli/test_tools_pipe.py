"""Tools in a pipe: they run without a question, or not at all."""

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


def test_no_terminal_to_ask_on(server: ScriptedOllama, tools: str) -> None:
    """Tools need a terminal to ask on, or `--yes`. Otherwise no request is sent."""
    done = piped("chat", "-m", "think", "--tools", tools, "Cold?", server=server)

    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "rxollama: tools need a terminal to ask on before each call: pass --yes to run them without asking\n"
    )
    assert server.requests == ()


def test_yes(server: ScriptedOllama, tools: str) -> None:
    """With `--yes`, standard output holds only the answer, and calls and results are shown beside it."""
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
    """The output of a program that a tool runs is kept out of the answer."""
    server.enqueue(Reply.answer("Let me look.", tool_calls=[{"name": "list_files"}]), Reply.answer("There are none."))

    done = piped("chat", "-m", "think", "--tools", tools, "-y", "Which files?", server=server)

    assert (done.returncode, done.stdout) == (0, "Let me look.\n\nThere are none.\n")
    assert "from a program\n" in done.stderr


def test_answer_that_only_comes_after_the_calls(server: ScriptedOllama, tools: str) -> None:
    """No blank line stands before an answer that begins after its calls."""
    server.enqueue(Reply.answer("", tool_calls=[{"name": "sing"}]), Reply.answer("Sorry."))

    assert piped("chat", "-m", "think", "--tools", tools, "-y", "Sing.", server=server).stdout == "Sorry.\n"


def test_timeout(server: ScriptedOllama, tools: str) -> None:
    """A tool that takes too long has a result that says so."""
    call = {"name": "sleep", "arguments": {"seconds": 30}}
    server.enqueue(Reply.answer("", tool_calls=[call]), Reply.answer("Too slow."))

    done = piped("chat", "-m", "think", "--tools", tools, "-y", "--tool-timeout", "0.05", "Sleep.", server=server)

    assert (done.returncode, done.stdout) == (0, "Too slow.\n")
    assert "✗ sleep: the tool 'sleep' gave no result in 0.05 s\n" in done.stderr


def test_slow_machine(server: ScriptedOllama, tmp_path: Path) -> None:
    """The program does not warn its user of its own callbacks, which a busy machine may hold up."""
    file = tmp_path / "tools.py"
    file.write_text(
        "import warnings\n\nfrom rxollama.errors import SlowCallbackWarning\n\n"
        "def hold() -> None:\n    for kind in (SlowCallbackWarning, UserWarning):\n"
        "        warnings.warn('held', kind)\n"
    )
    server.enqueue(Reply.answer("", tool_calls=[{"name": "hold", "arguments": {}}]), Reply.answer("Yes."))

    done = piped("chat", "-m", "think", "--tools", str(file), "-y", "Well?", server=server)

    assert (done.returncode, done.stdout) == (0, "Yes.\n")
    assert "UserWarning: held" in done.stderr
    assert "SlowCallbackWarning" not in done.stderr


def test_file_that_fails(tmp_path: Path) -> None:
    """A file that cannot be loaded is wrong usage, reported in one line."""
    file = tmp_path / "tools.py"
    file.write_text("def f() -> None: ...\n\nboom\n")

    done = piped("chat", "--tools", str(file), "--yes", "Hi.")

    assert (done.returncode, done.stdout) == (2, "")
    words = f"rxollama: cannot load the tools in {file}, line 3: NameError: name 'boom' is not defined\n"
    assert done.stderr == words
