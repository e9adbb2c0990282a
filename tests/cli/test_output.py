"""The program's output beside the answer."""

from __future__ import annotations

import sys

import pytest

from rxollama import Ollama, RxOllamaError, run
from rxollama.cli._output import Output, strip_controls
from rxollama.testing import Reply, ScriptedOllama


@pytest.fixture(autouse=True)
def _no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close standard input, whose replacement by pytest has no encoding."""
    monkeypatch.setattr(sys, "stdin", None)


def line_of(error: RxOllamaError, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the line that the program shows for an error."""
    Output().fail(error)
    [line] = capsys.readouterr().err.splitlines()
    return line


def failure(server: ScriptedOllama, reply: Reply, max_line: int = 1000) -> RxOllamaError:
    """Return the error of a chat."""
    server.enqueue(reply)
    with Ollama(server.url, max_line=max_line) as ollama, pytest.raises(RxOllamaError) as failed:
        run(ollama.chat("think", "Count."))
    return failed.value


def test_truncated_answer(server: ScriptedOllama, capsys: pytest.CaptureFixture[str]) -> None:
    """The error of an incomplete answer does not name `.partial`."""
    error = failure(server, Reply.answer("One two three.").truncated(2))

    assert line_of(error, capsys) == "rxollama: the answer ended before it was complete: ask again"


def test_long_record(server: ScriptedOllama, capsys: pytest.CaptureFixture[str]) -> None:
    """The error of a long record does not name `max_line=`, and keeps the rest of its message."""
    error = failure(server, Reply.answer("One two three."), max_line=10)

    line = line_of(error, capsys)

    assert "more than 10 bytes (model 'think', " in line
    assert "max_line" not in line


def test_server_error(server: ScriptedOllama, capsys: pytest.CaptureFixture[str]) -> None:
    """The server's own words are shown unchanged, in one line."""
    error = failure(server, Reply.answer("One two").with_error("bad option;\nset x=1", after=1))

    assert line_of(error, capsys).startswith("rxollama: the server reported: bad option; set x=1")


def test_strip_controls() -> None:
    """Control characters are removed, except tabs and line feeds."""
    assert strip_controls("a\x1b[31mred\x07\x9b1m\r\n\tb\x7f") == "a[31mred1m\n\tb"
