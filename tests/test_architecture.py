"""The layers of the design, held against the imports that are there."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "rxollama"
MAX_LINES = 400
MAX_FUNCTION_LINES = 60

# From the floor up; a module may import those below it, and those of its own row only in this order.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("_invalid_value", "_schema", "_checks", "messages", "errors"),
    ("transport", "_wire", "_runtime"),
    ("_witness", "operators", "tools", "_http"),
    ("_tool_loop", "client"),
    ("conversation", "testing"),
    ("", "cli", "__main__"),
)
RANKS = {name: (layer, place) for layer, row in enumerate(LAYERS) for place, name in enumerate(row)}

# Who may import what is not ours: every other module keeps away from it.
EDGES = {
    "httpx": {"_http"},
    "httpx_aiohttp": {"_http"},
    "aiohttp": {"_http", "testing"},
    "docstring_parser": {"tools"},
    "structlog": {"operators", "cli"},
    "rich": {"cli"},
    "uvloop": {"_runtime"},
}

# The default transport takes a third of the import time, and loads when a client first connects.
IMPORTS_IN_FUNCTIONS = {("client", "rxollama._http")}


def modules() -> list[Path]:
    """List the package's files."""
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """Name the part of the package that a file belongs to."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else "" if path.stem == "__init__" else path.stem


def imports_of(path: Path) -> list[tuple[str, bool]]:
    """List what a file imports, by absolute name, and whether a function does it."""
    tree = ast.parse(path.read_text("utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    package = ("rxollama", *path.relative_to(PACKAGE).parent.parts)
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            # What `__init__` itself defines or gathers belongs to its own layer; a module does not.
            whole = [
                f"rxollama.{alias.name}" if alias.name in RANKS else "rxollama."
                for alias in node.names
                if name == "rxollama"
            ] or [name]
            found += [(each, id(node) in inside) for each in whole]
    return found


def start_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Find the line on which a function begins, after its contract."""
    documented = ast.get_docstring(function) is not None
    return (function.body[0].end_lineno or 0) if documented else function.lineno


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    """A module imports only modules of layers below it, or further left in its own."""
    part = part_of(path)

    upward = [
        name
        for name, _ in imports_of(path)
        if name.startswith("rxollama.") and (other := name.split(".")[1]) != part and RANKS[other] >= RANKS[part]
    ]

    assert [] == upward


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_edges_are_kept(path: Path) -> None:
    """A foreign package with an edge of its own is imported there only."""
    strays = [
        name for name, _ in imports_of(path) if part_of(path) not in EDGES.get(name.split(".")[0], {part_of(path)})
    ]

    assert [] == strays


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_import_nothing(path: Path) -> None:
    """Imports stand at the top of a module, but for the one exception."""
    hidden = {(part_of(path), name) for name, inside in imports_of(path) if inside}

    assert hidden <= IMPORTS_IN_FUNCTIONS


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    """No file is longer than one sitting, and no function longer than one screen."""
    text = path.read_text("utf-8")
    long = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - start_of(node) > MAX_FUNCTION_LINES
    ]

    assert [] == long
    assert text.count("\n") <= MAX_LINES


def test_every_part_has_a_layer() -> None:
    """No module stands outside of the drawing."""
    assert {part_of(path) for path in modules()} <= RANKS.keys()


def test_importing_connects_to_nothing_heavy() -> None:
    """Importing the library loads neither httpx nor aiohttp."""
    code = "import sys, rxollama; print(sorted({'aiohttp', 'httpx'} & sys.modules.keys()))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert "[]" == done.stdout.strip()


def test_the_link_is_no_second_copy() -> None:
    """`import operators` fails from the repository's root, though the folder can be seen there."""
    done = subprocess.run(
        [sys.executable, "-c", "import operators"], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert "ImportError" in done.stderr


def test_the_link_points_to_the_operators() -> None:
    """The repository's `operators` is the package's folder, where links are supported."""
    link = ROOT / "operators"

    assert not link.is_symlink() or link.resolve() == PACKAGE / "operators"
