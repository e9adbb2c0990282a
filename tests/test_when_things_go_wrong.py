"""The programs of docs/when-things-go-wrong.md, in the situations that they are written for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from programs import STRICT

from rxollama.testing import Reply, ScriptedOllama

_PAGE = (Path(__file__).parent.parent / "docs" / "when-things-go-wrong.md").read_text("utf-8")
_SECTIONS = {
    title: re.findall(r"```python\n(.*?)```", body, re.DOTALL)
    for title, body in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", _PAGE, re.DOTALL | re.MULTILINE)
}
_ANSWER = Reply.answer("The sky is blue.")
_BROKEN = _ANSWER.dropped(sum(len(piece.data) for piece in _ANSWER.pieces[:2]))
_LIMIT = "you (me) have reached your weekly usage limit, upgrade for higher limits: https://ollama.com/upgrade"
_CALL = '{"name": "get_time", "arguments": {"city": "Oslo"}}'
_MISSING = Reply.error(404, {"error": "model 'qwen3' not found"})
_PULLED = Reply.records([{"status": "pulling manifest"}, {"status": "success"}])

# The section, the place of its program, the replies of the server, and the end of what the program prints.
_CASES = {
    "server starting": ("The server does not answer", 0, [Reply.error(503, {"error": "busy"}), _ANSWER], "is blue."),
    "model missing": ("The model is missing", 0, [_MISSING, _PULLED, _ANSWER], "is blue."),
    "other model": ("The model is missing", 1, [_MISSING, _ANSWER], "is blue."),
    "broken, restart": ("The answer breaks off in the middle", 0, [_BROKEN, _ANSWER], "The sky is blue."),
    "broken, continue": (
        "The answer breaks off in the middle",
        1,
        [_BROKEN, Reply.answer([" is", " blue."])],
        "The sky is blue.",
    ),
    "server's guard": (
        "The model repeats itself",
        0,
        [Reply.answer(["so"] * 40).truncated(31), _ANSWER],
        "a loop, found by server\nThe sky is blue.",
    ),
    "loop": (
        "The model repeats itself",
        0,
        [Reply.answer(["I will now list the prime numbers, one by one. "] * 200), _ANSWER],
        "a loop, found by stop_loops\nThe sky is blue.",
    ),
    "only thinking": ("There is no answer at all", 0, [Reply.answer(thinking="Hm")], "no answer: thinking_only"),
    "nothing": ("There is no answer at all", 0, [Reply.answer()], "no answer: empty"),
    "call as text": ("A tool call arrives as text", 0, [Reply.answer([_CALL]), Reply.answer("Noon.")], "Noon."),
    "usage limit": (
        "The usage limit of a cloud is reached",
        0,
        [Reply.error(429, {"error": _LIMIT}), _ANSWER],
        "blue.",
    ),
}


@pytest.mark.parametrize(("section", "place", "replies", "end"), _CASES.values(), ids=_CASES)
def test_program(section: str, place: int, replies: list[Reply], end: str, tmp_path: Path) -> None:
    """A program of the page does what the page says, and uses every reply of the server."""
    with ScriptedOllama() as server:
        server.enqueue(*replies)
        environment = {**os.environ, "OLLAMA_HOST": server.url, "PYTHONUTF8": "1"}
        done = subprocess.run(
            [sys.executable, *STRICT, "-c", _SECTIONS[section][place]],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        asked = len([each for each in server.requests if each.method == "POST"])

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.strip().endswith(end)
    assert asked == len(replies)
