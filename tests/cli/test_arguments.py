"""The command line's arguments."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from rxollama.cli import main
from rxollama.cli._arguments import Options, parse_arguments


def options(*arguments: str) -> Options:
    """Return the options of arguments that name a command."""
    found = parse_arguments(arguments)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("arguments", "think", "prompt"),
    [
        (["hi"], None, "hi"),
        (["--think", "hi"], True, "hi"),
        (["hi", "--think"], True, "hi"),
        (["--think", "high", "hi"], "high", "hi"),
        (["--think=low", "hi"], "low", "hi"),
        (["--think", "-m", "qwen3", "hi"], True, "hi"),
        (["--no-think", "hi"], False, "hi"),
        (["--think", "--", "--think"], True, "--think"),
        (["--", "--no-think"], None, "--no-think"),
    ],
)
def test_think(arguments: list[str], think: object, prompt: str) -> None:
    """`--think` takes the next argument only if it is a level, so that a prompt may follow it."""
    found = options("chat", *arguments)

    assert (found.think, found.prompt) == (think, prompt)


def test_chat() -> None:
    """The command `chat` has options for the model, the system prompt and the log file."""
    found = options("chat", "-m", "qwen3", "--system", "Be brief.", "--json-log", "log.jsonl", "--host", "box", "hi")

    assert (found.model, found.system, found.json_log, found.host) == ("qwen3", "Be brief.", Path("log.jsonl"), "box")
    assert not found.demo
    assert (found.tools, found.yes, found.max_rounds, found.tool_timeout) == ([], False, 8, None)


def test_tools() -> None:
    """`--tools` may be repeated, and its limits are numbers."""
    found = options("chat", "--tools", "a.py", "--tools", "b.py", "-y", "--max-rounds", "3", "--tool-timeout", "0.5")

    assert (found.tools, found.yes) == ([Path("a.py"), Path("b.py")], True)
    assert (found.max_rounds, found.tool_timeout) == (3, 0.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "--think=much", "hi"], "expected low, medium, high or max, got 'much'"),
        (["chat", "--think", "--no-think", "hi"], "not allowed with"),
        (["chat", "--json-log", "-", "hi"], "expected a file, got '-': standard output is used by the answer"),
        (["chat", "--demo", "--host", "box"], "--demo runs its own server: leave out --host"),
        (
            ["chat", "--demo", "--tools", "t.py"],
            "which call no tools: leave out --tools",
        ),
        (["chat", "--yes", "hi"], "--yes has no effect without tools: add --tools FILE.py"),
        (["chat", "--max-rounds", "3", "hi"], "--max-rounds has no effect without tools: add --tools FILE.py"),
        (["chat", "--tool-timeout", "3", "hi"], "--tool-timeout has no effect without tools: add --tools FILE.py"),
        (["chat", "--tools", "t.py", "--max-rounds", "0"], "expected a whole number above 0, got '0'"),
        (["chat", "--tools", "t.py", "--max-rounds", "2.5"], "expected a whole number above 0, got '2.5'"),
        (["chat", "--tools", "t.py", "--tool-timeout", "nan"], "expected a number of seconds above 0, got 'nan'"),
        (["chat", "two", "prompts"], "unrecognized arguments: prompts"),
        (["pull"], "required: MODEL"),
        (["sing"], "invalid choice: 'sing'"),
        (["--"], "required: COMMAND"),
    ],
)
def test_usage(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments give exit code 2 and a line that says what is wrong."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Without arguments the help is printed, with examples."""
    assert main([]) == 0

    assert "rxollama chat --demo" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the installed version."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"rxollama {version('rxollama')}\n"
