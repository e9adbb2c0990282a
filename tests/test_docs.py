"""The documents name tests and errors that are there, and say of `retry()` what it does."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from guards import Stage
from reactivex.testing import ReactiveTest

from rxollama import errors
from rxollama.errors import StreamError
from rxollama.operators import retry

ROOT = Path(__file__).parent.parent
ENDINGS = (ROOT / "docs" / "endings.md").read_text("utf-8")
HEADER, _, *ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")] for line in ENDINGS.splitlines() if line.startswith("|")
]
DOCS = "".join(path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
NAMES = sorted(set(re.findall(r"`(tests/[\w/]+\.py::[\w:]+)`", DOCS)))


def names_in(path: Path) -> set[str]:
    """List the tests of a file, those of a class with its name before them."""
    tree = ast.parse(path.read_text("utf-8"))
    found = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = (each for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)))
            found |= {f"{node.name}::{method.name}" for method in methods}
    return {name for name in found if name.split("::")[-1].startswith("test_")}


@pytest.mark.parametrize("name", NAMES)
def test_named_tests_exist(name: str) -> None:
    """A test that a document names is there."""
    path, _, test = name.partition("::")
    assert test in names_in(ROOT / path)


def test_every_row_is_proved() -> None:
    """Every row of the table is whole, and names a test."""
    assert len(ROWS) > 30
    assert {len(HEADER)} == {len(row) for row in ROWS}
    assert [] == [row[0] for row in ROWS if "`tests/" not in row[-1]]


def test_every_error_is_told() -> None:
    """Every error and warning is in the document."""
    assert set(errors.__all__) <= set(re.findall(r"`(\w+)`", ENDINGS))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_retry_does(row: list[str]) -> None:
    """Where a row says that `retry()` asks again, it does, and where not, it does not."""
    told = re.search(r"`(\w+Error)`", row[1])
    kind: object = getattr(errors, told[1], None) if told else None
    if not (isinstance(kind, type) and issubclass(kind, StreamError)):
        assert "asks again" not in row[4]
        return
    stage = Stage()
    detail: dict[str, Any] = {"detail": "error parsing tool call"} if "parser" in row[0] else {}
    error = kind("it went wrong", **detail)
    stage.play(stage.source(ReactiveTest.on_error(1, error)).pipe(retry(2, backoff=1)))
    assert row[4].startswith("asks again" if len(stage.subscriptions[0]) == 2 else "passes it on")
