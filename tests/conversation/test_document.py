"""The code in docs/conversations.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rxollama import Conversation, Ollama
from rxollama.testing import Reply, ScriptedOllama

DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "conversations.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Return the code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def run_block(place: int, server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a Python block as a program that talks to the server."""
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    exec(blocks("python")[place], {"__name__": "__main__"})  # noqa: S102 - The document is our own.


def test_a_conversation(
    server: ScriptedOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first program prints the answer and writes a file."""
    server.enqueue(Reply.answer("Air scatters blue light most."))
    monkeypatch.chdir(tmp_path)
    run_block(0, server, monkeypatch)

    assert capsys.readouterr().out == "Air scatters blue light most."
    assert (tmp_path / "talk.jsonl").read_text("utf-8").count("\n") == 3


def test_a_stream_of_prompts(
    server: ScriptedOllama, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second program prints the failure of one answer and the text of the next."""
    server.enqueue(Reply.error(500, {"error": "out of memory"}), Reply.answer("It is dark."))
    run_block(1, server, monkeypatch)

    assert re.fullmatch("failed: .*out of memory.*\nIt is dark[.]", capsys.readouterr().out, re.DOTALL)


def test_the_file_can_be_loaded(ollama: Ollama, tmp_path: Path) -> None:
    """The file in the document can be loaded."""
    path = tmp_path / "talk.jsonl"
    path.write_text(blocks("json")[0], "utf-8")
    talk = Conversation.load(path, ollama)

    assert [message.content for message in talk.messages] == ["Why is the sky blue?", "Air scatters blue light most."]
    assert talk.metrics.eval_count == 8
