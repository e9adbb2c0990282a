"""Tool calls, progress and results as lines."""

from __future__ import annotations

import pytest
from rich.console import Console

from rxollama.cli._tool_lines import RunningTools, call_line, format_call, format_result, result_line, shorten
from rxollama.messages import ChatChunk, Function, Message, ToolCall


def call(name: str, **arguments: object) -> ToolCall:
    """Return a call."""
    return ToolCall(Function(name, dict(arguments)))


def test_call() -> None:
    """A call is written as in Python, with JSON values."""
    line = format_call(call("get_weather", city="Zürich", days=3, exact=None, at=[{"x": 1.5}]))

    assert line == 'get_weather(city="Zürich", days=3, exact=null, at=[{"x": 1.5}])'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\r\n\x7f\x9b", '"\\u001b[2J\\r\\n\\u007f\\u009b"'),
        ("a\u202eb\u2066\u200b\ufeff", '"a\\u202eb\\u2066\\u200b\\ufeff"'),
        ("\u3164\u115f\ufe0f\u2800\U000e0101", '"\\u3164\\u115f\\ufe0f\\u2800\\U000e0101"'),
        ("\u00a0\u2028\ud800\U000e0041", '"\\u00a0\\u2028\\ud800\\U000e0041"'),
        ('", path="/etc', '"\\", path=\\"/etc"'),
        ("\\u202e", '"\\\\u202e"'),
    ],
)
def test_invisible_characters(text: str, shown: str) -> None:
    """Invisible characters and control characters are escaped."""
    assert format_call(call("f", x=text)) == f"f(x={shown})"


def test_odd_names() -> None:
    """An unusual name is in quotes, so that one argument cannot look like two."""
    odd = ToolCall(Function("rm\x1b(", {'a="1", b': 2}))

    assert format_call(odd) == '"rm\\u001b("("a=\\"1\\", b"=2)'


def test_shorten() -> None:
    """A long text is shortened in its middle, and a note says by how much."""
    assert shorten("x" * 30, 30) == "x" * 30
    assert shorten("a" * 20 + "b" * 20, 30) == "a" * 20 + "[… 10 characters …]" + "b" * 10


def test_result() -> None:
    """A result is one line. The mark of an error stands for the word at its start."""
    message = Message.tool("Error: it\n  broke\x1b[0m", call=call("f"))

    assert format_result(ChatChunk(message=message)) == "f: Error: it broke\\u001b[0m"
    assert format_result(ChatChunk(message=message, tool_failed=True)) == "f: it broke\\u001b[0m"


def test_layout() -> None:
    """A call and an error are shown whole, and a result on one line."""
    console = Console(width=20, color_system=None)
    long = Message.tool("word " * 10, call=call("f"))
    with console.capture() as capture:
        console.print(call_line(format_call(call("f", x="word word word"))))
        console.print(result_line(ChatChunk(message=long)))
        console.print(result_line(ChatChunk(message=long, tool_failed=True)))

    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert lines[:3] == ['→ f(x="word word', '  word")', "✓ f: word word word…"]
    assert lines[3] == "✗ f: word word word"
    assert len(lines) == 7


def test_running() -> None:
    """Running tools have a title, and a line for the latest progress of each."""
    running = RunningTools()
    first, second = call("dig", at=1), ToolCall(Function("dig", {"at": 2}), id="2")
    assert (running.title, running.tail(5)) == ("", None)

    running.start(first)
    running.start(second)
    assert (running.title, running.tail(5)) == ("running 2 tools", None)

    running.progress(Message.tool("", call=second), "40 %\n\x1b[2J")
    running.progress(Message.tool("", name="other"), "lost")
    console = Console(width=40, color_system=None)
    with console.capture() as capture:
        console.print(running.tail(5))
    assert capture.get().strip() == "· dig: 40 % \\u001b[2J"

    running.end(call("never started"))
    running.end(second)
    assert (running.title, running.tail(5)) == ("running dig", None)
