"""The programs in docs/values.md print what the document shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "values.md").read_text("utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_prints_its_comments(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each comment line is the output of the line above it."""
    exec(program, {"__name__": "__main__"})  # noqa: S102 - The document is our own.

    assert capsys.readouterr().out.splitlines() == re.findall(r"^# (.*)$", program, re.MULTILINE)
