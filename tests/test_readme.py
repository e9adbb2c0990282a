"""Every code block of the README and the documents runs, and the README's promises are kept."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from programs import STRICT

from rxollama.testing import Reply, ScriptedOllama

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
DOCS = [
    ROOT / "README.md",
    *(
        ROOT / "docs" / f"{name}.md"
        for name in ("calls", "conversations", "hosts", "structured", "waiting", "when-things-go-wrong")
    ),
]
BLOCKS = [
    pytest.param(block, id=f"{path.name}-{place}")
    for path in DOCS
    for place, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.DOTALL))
]
ANSWER = Reply.answer("17 × 23 = 391", thinking="Multiply.")
REPORT = Reply.answer('{"summary": "Cold.", "cities": [{"name": "Oslo", "celsius": -3}]}')
SNIPPET_LINE = 25


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_run(block: str, tmp_path: Path) -> None:
    """A Python block runs as it stands, prints something, and nothing on stderr."""
    with ScriptedOllama(default=REPORT if "class Report" in block else ANSWER) as server:
        environment = {**os.environ, "OLLAMA_HOST": server.url, "PYTHONUTF8": "1"}
        done = subprocess.run(
            [sys.executable, *STRICT, "-c", block],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.strip()


def test_a_snippet_comes_early() -> None:
    """A runnable snippet stands before line 25."""
    assert README[: README.index("```python")].count("\n") < SNIPPET_LINE


def test_the_first_snippet_is_short() -> None:
    """The first snippet is five lines, of what a newcomer knows."""
    first = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]

    assert 5 == len(first.splitlines())
    assert set() == {"run", "iterate", "share"} & set(re.findall(r"\w+", first))


def test_every_operator_is_in_the_table() -> None:
    """The table of operators lists all of them, and nothing else."""
    table = README.partition("## Operators")[2].partition("Buffered items")[0]
    listed = set(re.findall(r"`(\w+)\(", table))
    code = "import rxollama.operators as o; print(*(n for n in o.__all__ if n.islower()))"

    exported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert set(exported.split()) == listed


def test_layers_are_drawn_once() -> None:
    """The drawing of the layers is the one in the package."""
    drawn = README.partition("```text\n")[2].partition("```")[0].strip().splitlines()
    source = (ROOT / "rxollama" / "__init__.py").read_text("utf-8")

    assert all(f"#   {line}" in source for line in drawn)


def test_links_lead_somewhere() -> None:
    """Every relative link names a file that is there."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)

    assert [] == [target for target in targets if not (ROOT / target).exists()]
