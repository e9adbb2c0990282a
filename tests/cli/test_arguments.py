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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "--think=much", "hi"], "'much' is none of low, medium, high, max"),
        (["chat", "--think", "--no-think", "hi"], "not allowed with"),
        (["chat", "--json-log", "-", "hi"], "standard output is the answer's: name a file"),
        (["chat", "--demo", "--host", "box"], "--demo brings its own server"),
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
