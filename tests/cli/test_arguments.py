"""The arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from rxollama.cli import main
from rxollama.cli._arguments import Options, parse


def options(*arguments: str) -> Options:
    """Read arguments that name a command."""
    found = parse(arguments)
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
    """`--think` takes a level where one follows, and never the prompt for one."""
    found = options("chat", *arguments)

    assert (found.think, found.prompt) == (think, prompt)


def test_chat() -> None:
    """A chat takes a model, a system prompt and a log file."""
    found = options("chat", "-m", "qwen3", "--system", "Be brief.", "--json-log", "log.jsonl", "--host", "box", "hi")

    assert (found.model, found.system, found.json_log, found.host) == ("qwen3", "Be brief.", Path("log.jsonl"), "box")
    assert not found.demo
    assert (found.tools, found.yes, found.max_rounds, found.tool_timeout) == ([], False, 8, None)


def test_tools() -> None:
    """Tools may come from several files, and have limits."""
    found = options("chat", "--tools", "a.py", "--tools", "b.py", "-y", "--max-rounds", "3", "--tool-timeout", "0.5")

    assert (found.tools, found.yes) == ([Path("a.py"), Path("b.py")], True)
    assert (found.max_rounds, found.tool_timeout) == (3, 0.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "--think=much", "hi"], "'much' is none of low, medium, high, max"),
        (["chat", "--think", "--no-think", "hi"], "not allowed with"),
        (["chat", "--json-log", "-", "hi"], "standard output is the answer's: name a file"),
        (["chat", "--demo", "--host", "box"], "--demo brings its own server"),
        (["chat", "--demo", "--tools", "t.py"], "--demo plays recorded answers, which call no tools of yours"),
        (["chat", "--yes", "hi"], "--yes is about tools: it needs --tools"),
        (["chat", "--max-rounds", "3", "hi"], "--max-rounds is about tools: it needs --tools"),
        (["chat", "--tool-timeout", "3", "hi"], "--tool-timeout is about tools: it needs --tools"),
        (["chat", "--tools", "t.py", "--max-rounds", "0"], "'0' is no whole number above 0"),
        (["chat", "--tools", "t.py", "--max-rounds", "2.5"], "'2.5' is no whole number above 0"),
        (["chat", "--tools", "t.py", "--tool-timeout", "nan"], "'nan' is no number above 0"),
        (["chat", "two", "prompts"], "unrecognized arguments: prompts"),
        (["pull"], "required: MODEL"),
        (["sing"], "invalid choice: 'sing'"),
    ],
)
def test_usage(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments end with exit code 2 and a word on what is wrong."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command there is the help, with examples."""
    assert main([]) == 0

    assert "rxollama chat --demo" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` names the program and its version."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("rxollama 0.")
