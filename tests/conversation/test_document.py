"""What the document shows works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rxollama import Conversation, Ollama
from rxollama.testing import Reply, ScriptedOllama

DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "conversations.md").read_text("utf-8")


def block(language: str) -> str:
    """Find the first block of code in a language."""
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_program_runs(server: ScriptedOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first program talks to the server, and leaves a file."""
    server.enqueue(Reply.answer("Air scatters blue light most."))
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    monkeypatch.chdir(tmp_path)
    exec(block("python"), {})  # noqa: S102 - Our own document.

    assert (tmp_path / "talk.jsonl").read_text("utf-8").count("\n") == 3


def test_the_file_can_be_loaded(ollama: Ollama, tmp_path: Path) -> None:
    """The file that is shown is one."""
    path = tmp_path / "talk.jsonl"
    path.write_text(block("json"), "utf-8")
    talk = Conversation.load(path, ollama)

    assert [message.content for message in talk.messages] == ["Why is the sky blue?", "Air scatters blue light most."]
    assert talk.metrics.eval_count == 8
