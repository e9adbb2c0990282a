"""Tools on a terminal: the questions, the display and the history."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from terminals import CTRL_C, CTRL_D, Terminal

from rxollama.testing import Reply, ScriptedOllama

TOOLS = '''
from collections.abc import Iterator
from rxollama.tools import ToolProgress

def get_weather(city: str) -> str:
    """Current weather of a city."""
    return f"-3 degrees in {city}"

def wait(gate: str, after: str = "") -> Iterator[ToolProgress | str]:
    """Wait at a gate."""
    yield ToolProgress("standing  at\\x1b[2J the gate")
    open(gate).close()
    print("the gate\\x1b[2J is open")
    if after:
        open(after, "w").close()
    yield "through"

def listen(gate: str) -> Iterator[ToolProgress | str]:
    """Listen for keys."""
    import tty
    tty.setcbreak(0)
    yield ToolProgress("listening")
    open(gate).close()

def complain() -> None:
    """Complain."""
    import sys
    print("oh dear", file=sys.stderr)
    raise RuntimeError("this tool is broken")
'''


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """Write a file of tools."""
    file = tmp_path / "tools.py"
    file.write_text(TOOLS)
    return str(file)


@pytest.fixture
def gates(tmp_path: Path) -> tuple[str, str]:
    """Make two named pipes. Opening one waits until its other end is opened."""
    made = str(tmp_path / "gate"), str(tmp_path / "after")
    for name in made:
        os.mkfifo(name)
    return made


def call(name: str, call_id: str, **arguments: str) -> dict[str, Any]:
    """Return a call."""
    return {"name": name, "arguments": arguments, "id": call_id}


def weather(city: str, call_id: str) -> dict[str, Any]:
    """Return a call of `get_weather`."""
    return call("get_weather", call_id, city=city)


def results(server: ScriptedOllama, request: int) -> list[str]:
    """Return the results that a request passes to the model."""
    messages = server.requests[request].json["messages"]
    return [message["content"] for message in messages if message["role"] == "tool"]


def test_each_call_is_asked_for(server: ScriptedOllama, tools: str) -> None:
    """An allowed call runs, the model learns why another was denied, and `a` allows all later calls."""
    calls = [weather("Oslo", "1"), weather("Rome", "2"), weather("Bern", "3"), weather("Cairo", "4")]
    server.enqueue(Reply.answer("Let me look.", tool_calls=calls), Reply.answer("It is cold."))

    with Terminal("chat", "-m", "think", "--tools", tools, "Cold?", server=server) as terminal:
        terminal.expect('→ get_weather(city="Oslo")')
        terminal.expect("[q]uit: ")
        terminal.type("y\n")
        terminal.expect('→ get_weather(city="Rome")')
        terminal.expect("[q]uit: ")
        terminal.type("n too warm\n")
        terminal.expect('→ get_weather(city="Bern")')
        terminal.expect("[q]uit: ")
        terminal.type("a\n")
        terminal.expect("It is cold.")
        assert terminal.wait() == 0

    no = "this call of 'get_weather' was not allowed: too warm"
    assert results(server, 1) == ["-3 degrees in Oslo", f"Error: {no}", "-3 degrees in Bern", "-3 degrees in Cairo"]
    ask = "  run it? [y]es, [n]o and why, [a]lways get_weather, [q]uit: "
    lines = terminal.screen.split("\n")
    assert lines[:4] == ["", "Let me look.", "", '→ get_weather(city="Oslo")']
    shown = [line for line in lines if line.startswith(("→", "  run", "✓", "✗"))]
    assert shown[:2] == ['→ get_weather(city="Oslo")', f"{ask}y"]
    assert set(shown[2:]) == {
        "✓ get_weather: -3 degrees in Oslo",
        '→ get_weather(city="Rome")',
        f"{ask}n too warm",
        f"✗ get_weather: {no}",
        '→ get_weather(city="Bern")',
        f"{ask}a",
        '→ get_weather(city="Cairo")',
        "✓ get_weather: -3 degrees in Bern",
        "✓ get_weather: -3 degrees in Cairo",
    }
    assert " ".join(terminal.screen.split()).endswith("· 2 rounds, 4 tool calls (1 failed)")


def test_call_that_cannot_run(server: ScriptedOllama, tools: str) -> None:
    """An unknown tool and wrong arguments are errors without a question, shown and passed to the model."""
    calls = [call("sing\x1b[2J", "1"), call("get_weather", "2", town="Oslo")]
    server.enqueue(Reply.answer("", tool_calls=calls), Reply.answer("Sorry."))

    with Terminal("chat", "-m", "think", "--tools", tools, "Sing.", server=server) as terminal:
        assert terminal.wait() == 0

    assert "[y]es" not in terminal.screen
    assert '→ "sing\\u001b[2J"()\n✗ "sing\\u001b[2J": there is no tool' in terminal.screen
    assert '→ get_weather(town="Oslo")\n✗ get_weather: the arguments do not fit' in terminal.screen


def test_name_that_steers_the_terminal(server: ScriptedOllama, tools: str) -> None:
    """Control characters in a tool's name are escaped on the terminal."""
    server.enqueue(Reply.answer("", tool_calls=[call("sing\x1b[2J", "1")]), Reply.answer("Sorry."))

    with Terminal("chat", "-m", "think", "--tools", tools, "--yes", "Sing.", server=server) as terminal:
        terminal.expect('running "sing\\u001b[2J"')
        assert terminal.wait() == 0

    assert "\x1b[2J" not in terminal.raw


def test_progress(server: ScriptedOllama, tools: str, gates: tuple[str, str]) -> None:
    """A tool's progress is shown live, and its output stands above the status line."""
    calls = [call("wait", "1", gate=gates[0]), call("complain", "2")]
    server.enqueue(Reply.answer("", tool_calls=calls), Reply.answer("Done."))

    with Terminal("chat", "-m", "think", "--tools", tools, "--yes", "Go.", server=server, columns=200) as terminal:
        terminal.expect("· wait: standing at\\u001b[2J the gate")
        terminal.expect("running 2 tools")
        terminal.expect("running 2 tools")
        with Path(gates[0]).open("w"):
            terminal.expect("the gate[2J is open")
        terminal.expect("✓ wait: through")
        terminal.expect("✗ complain: the tool 'complain' raised RuntimeError: this tool is broken")
        assert terminal.wait() == 0

    assert "oh dear" in terminal.screen.splitlines()
    assert "running" not in terminal.screen
    assert "standing" not in terminal.screen


def test_nothing_moves_while_asking(server: ScriptedOllama, tools: str, gates: tuple[str, str]) -> None:
    """Output that arrives during a question is shown after the answer."""
    calls = [call("wait", "1", gate=gates[0], after=gates[1]), weather("Oslo", "2")]
    server.enqueue(Reply.answer("", tool_calls=calls), Reply.answer("Done."))

    with Terminal("chat", "-m", "think", "--tools", tools, "Go.", server=server, columns=200) as terminal:
        terminal.expect("[q]uit: ")
        terminal.type("y\n")
        terminal.expect('→ get_weather(city="Oslo")')
        terminal.expect("[q]uit: ")
        with Path(gates[0]).open("w"):
            pass
        with Path(gates[1]).open():
            pass
        terminal.type("what\n")
        terminal.expect("is passed to the model: ")
        terminal.type("n not now\n")
        terminal.expect("not now")
        terminal.expect("the gate[2J is open")
        terminal.expect("✓ wait: through")
        terminal.expect("✗ get_weather: this call of 'get_weather' was not allowed: not now")
        assert terminal.wait() == 0


def test_keys_before_the_question(server: ScriptedOllama, tools: str, gates: tuple[str, str]) -> None:
    """Keys that were pressed before the question do not answer it."""
    first = Reply.answer("", tool_calls=[call("wait", "1", gate=gates[0])])
    server.enqueue(first, Reply.answer("", tool_calls=[weather("Oslo", "2")]), Reply.answer("Done."))

    with Terminal("chat", "-m", "think", "--tools", tools, "Go.", server=server, columns=200) as terminal:
        terminal.expect("[q]uit: ")
        terminal.type("y\n")
        terminal.expect("running wait")
        terminal.type("yes\n")
        # The terminal echoes the keys when it receives them.
        terminal.expect("yes")
        with Path(gates[0]).open("w"):
            pass
        terminal.expect('→ get_weather(city="Oslo")')
        terminal.expect("[q]uit: ")
        terminal.type("\n")
        assert terminal.wait() == 0

    assert results(server, 2) == ["through", "Error: this call of 'get_weather' was not allowed"]


@pytest.mark.parametrize("keys", [CTRL_C, CTRL_D, "q\n"])
def test_quit_at_the_question(server: ScriptedOllama, tools: str, keys: str) -> None:
    """Ctrl-C, Ctrl-D and `q` at the question end the program, and the tool does not run."""
    server.enqueue(Reply.answer("Let me look.", tool_calls=[weather("Oslo", "1")]))

    with Terminal("chat", "-m", "think", "--tools", tools, "Cold?", server=server) as terminal:
        terminal.expect("[q]uit: ")
        assert terminal.press_until_exit(keys) == 130

    assert "\n  run it? [y]es" in terminal.screen
    assert "interrupted after" in terminal.screen.split("\n")[-1]
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l")
    assert len(server.requests) == 1


def test_terminal_that_a_tool_changed(server: ScriptedOllama, tools: str, gates: tuple[str, str]) -> None:
    """The terminal's settings are restored, although a tool that changed them still runs."""
    server.enqueue(Reply.answer("", tool_calls=[call("listen", "1", gate=gates[0])]))

    with Terminal("chat", "-m", "think", "--tools", tools, "-y", "Go.", server=server) as terminal:
        assert terminal.echoes()
        terminal.expect("listening")
        assert not terminal.echoes()
        assert terminal.press_until_exit(CTRL_C) == 130
        assert terminal.echoes()


def test_history(server: ScriptedOllama, tools: str) -> None:
    """The history keeps calls and results. Of an interrupted round it keeps only the content."""
    server.enqueue(
        Reply.answer("", tool_calls=[weather("Oslo", "1")]),
        Reply.answer("Let me see.", tool_calls=[weather("Rome", "2"), weather("Bern", "3")]),
        Reply.answer("", tool_calls=[weather("Cairo", "4")]),
        Reply.answer("Fine."),
    )

    with Terminal("chat", "-m", "think", "--tools", tools, server=server) as terminal:
        terminal.expect(">>> ")
        terminal.type("Cold?\n")
        terminal.expect("[q]uit: ")
        terminal.type("y\n")
        terminal.expect('→ get_weather(city="Rome")')
        terminal.expect("[q]uit: ")
        terminal.type("q\n")
        terminal.expect("interrupted after")
        terminal.expect(">>> ")
        terminal.type("And Cairo?\n")
        terminal.expect('→ get_weather(city="Cairo")')
        terminal.expect("[q]uit: ")
        terminal.type("q\n")
        terminal.expect("interrupted after")
        terminal.expect(">>> ")
        terminal.type("Well?\n")
        terminal.expect("Fine.")
        terminal.expect(">>> ")
        # What answered a question is no prompt to be repeated.
        terminal.type("\x1b[A")
        terminal.expect("Well?")
        terminal.type("\x1b[A")
        terminal.expect("And Cairo?")
        terminal.type("\x15/bye\n")
        assert terminal.wait() == 0

    messages = server.requests[3].json["messages"]
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", "Cold?"),
        ("assistant", ""),
        ("tool", "-3 degrees in Oslo"),
        ("assistant", "Let me see."),
        ("user", "Well?"),
    ]
    assert messages[1]["tool_calls"][0]["id"] == messages[2]["tool_call_id"] == "1"
    assert "tool_calls" not in messages[3]


def test_too_many_rounds(server: ScriptedOllama, tools: str) -> None:
    """A model that calls tools in every round is stopped, and the next prompt lets it go on."""
    again = Reply.answer("", tool_calls=[weather("Oslo", "1")])
    server.enqueue(again, again, Reply.answer("Cold."))

    arguments = ("chat", "-m", "think", "--tools", tools, "-y", "--max-rounds", "2")
    with Terminal(*arguments, server=server, columns=200) as terminal:
        terminal.expect(">>> ")
        terminal.type("Cold?\n")
        terminal.expect("rxollama: the model still called tools in round 2, the last one: raise ")
        terminal.expect("--max-rounds, or ask for less")
        terminal.expect(">>> ")
        terminal.type("Go on.\n")
        terminal.expect("Cold.")
        terminal.expect(">>> ")
        terminal.type(CTRL_D)
        assert terminal.wait() == 0

    roles = [message["role"] for message in server.requests[2].json["messages"]]
    assert roles == ["user", "assistant", "tool", "user"]


def test_answers_elsewhere(server: ScriptedOllama, tools: str, tmp_path: Path) -> None:
    """If the answer goes into a file, the questions are asked on the terminal."""
    server.enqueue(
        Reply.answer("Let me  look.", tool_calls=[weather("Os  lo\x1b[2J", "1")]),
        Reply.answer("It is cold."),
    )
    file = tmp_path / "answer"

    with (
        file.open("wb") as answer,
        Terminal("chat", "-m", "think", "--tools", tools, "Cold?", server=server, stdout=answer.fileno()) as terminal,
    ):
        terminal.expect('→ get_weather(city="Os  lo\\u001b[2J")')
        terminal.expect("[q]uit: ")
        terminal.type("y\n")
        terminal.expect("✓ get_weather: -3 degrees in Os lo")
        assert terminal.wait() == 0

    assert file.read_text() == "Let me  look.\n\nIt is cold.\n"
