"""The layers and rooms of the design, held against the imports and docstrings of the package."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "rxollama"
MAX_LINES = 400
MAX_FUNCTION_LINES = 60

# From the floor up. A module may import from rows below its own, and from rooms further left in its own row.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("_public", "testing", "_invalid_value", "_schema", "_checks", "messages", "errors", "transport"),
    ("_wire", "_runtime"),
    ("tools", "operators", "_http", "_hosts"),
    ("_tool_loop",),
    ("client",),
    ("conversation", "pool"),
    ("", "cli", "__main__"),
)
RANKS = {name: (layer, place) for layer, row in enumerate(LAYERS) for place, name in enumerate(row)}

# Private modules that every room may import. They stand at the floor and are no room's own.
FLOOR = {"rxollama._checks", "rxollama._invalid_value", "rxollama._public"}

# A docstring states what something is or what a function does. These openings do neither.
POOR_OPENINGS = re.compile(r"(Be|Say|Tell|Take|Know|See to|Hold out)\b")

# The rooms that may import a foreign package.
EDGES: dict[str, set[str]] = {
    "httpx": {"_http"},
    "httpx_aiohttp": set(),
    "h11": {"_http"},
    "aiohttp": {"testing"},
    "docstring_parser": {"tools"},
    "structlog": {"operators", "cli"},
    "rich": {"cli"},
    "uvloop": {"_runtime"},
}

# The default transport takes a third of the import time, so it is loaded when a client first connects. Few programs
# ask for the version.
IMPORTS_IN_FUNCTIONS = {("_hosts", "rxollama._http"), ("", "importlib.metadata")}


def modules() -> list[Path]:
    """Return the package's modules."""
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """Return the room that a file belongs to: a folder or a module of the package, or "" for the package itself."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else "" if path.stem == "__init__" else path.stem


def imports_of(path: Path) -> list[tuple[str, bool]]:
    """Return the absolute name of each import in a file, and whether it is inside a function."""
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
    """Return the line on which a function begins, after its docstring."""
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
    """A foreign package is imported only by the rooms that it belongs to."""
    strays = [
        name for name, _ in imports_of(path) if part_of(path) not in EDGES.get(name.split(".")[0], {part_of(path)})
    ]

    assert [] == strays


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_import_nothing(path: Path) -> None:
    """Imports stand at the top of a module, with two exceptions."""
    hidden = {(part_of(path), name) for name, inside in imports_of(path) if inside}

    assert hidden <= IMPORTS_IN_FUNCTIONS


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    """A file has at most 400 lines, and a function at most 60."""
    text = path.read_text("utf-8")
    long = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - start_of(node) > MAX_FUNCTION_LINES
    ]

    assert [] == long
    assert text.count("\n") <= MAX_LINES


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_private_modules_stay_in_their_room(path: Path) -> None:
    """No module imports a private module of another room."""
    part = part_of(path)
    names = {name for name, _ in imports_of(path) if name.startswith("rxollama.") and name not in FLOOR}
    strays = {
        (part, name)
        for name in names
        if (parts := name.split("."))[1] != part and any(each.startswith("_") for each in parts[2:])
    }

    assert set() == strays


@pytest.mark.parametrize("folder", ["rxollama", "tests", "benchmarks", "examples"])
def test_docstrings_open_plainly(folder: str) -> None:
    """A docstring opens with a noun phrase or an imperative that says what is done."""
    documented = [
        (path.relative_to(ROOT), node)
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    ]

    poor = [
        (str(name), text) for name, node in documented if POOR_OPENINGS.match(text := ast.get_docstring(node) or "")
    ]
    assert [] == poor


def test_benchmarks_import_what_is_public() -> None:
    """Benchmarks import only one private room, the decoders, which are what the fuzzer is for."""
    private = {
        module
        for path in (ROOT / "benchmarks").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (module := node.module or "").startswith("rxollama._")
    }

    assert {"rxollama._wire"} == private


def test_every_module_name_occurs_once() -> None:
    """A module's name alone says where it is."""
    names = Counter(path.stem for path in modules() if path.stem not in {"__init__", "__main__"})

    assert [] == [name for name, count in names.items() if count > 1]


def drawing_of(path: Path) -> list[str]:
    """Return the drawing of the layers in a file, without comment signs and indentation."""
    lines = path.read_text("utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if "__main__  cli/" in line)
    stripped = (line.removeprefix("#").strip() for line in lines[start:])
    return list(itertools.takewhile(lambda line: line and line != "```", stripped))


def test_the_drawings_agree() -> None:
    """README and the package draw the same layers, and every room is in the drawing."""
    drawing = drawing_of(ROOT / "README.md")

    assert drawing == drawing_of(PACKAGE / "__init__.py")
    words = {word.rstrip("/") for line in drawing for word in line.split()}
    assert RANKS.keys() - words <= {""}


def test_every_part_has_a_layer() -> None:
    """Every module has a layer, and every layer's rooms exist."""
    assert {part_of(path) for path in modules()} <= RANKS.keys()


def names_of(path: Path) -> set[str]:
    """Return the names of the tests in a file, as pytest writes them after the file's name."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse(path.read_text("utf-8")).body
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    methods = {f"{node.name}::{each.name}" for node in classes for each in node.body if isinstance(each, functions)}
    return methods | {node.name for node in body if isinstance(node, functions)}


@pytest.mark.parametrize("document", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_documents_cite_tests_that_exist(document: Path) -> None:
    """Every test that a document cites as a proof exists."""
    cited = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)", document.read_text("utf-8"))

    assert [] == [(file, name) for file, name in cited if name not in names_of(ROOT / file)]


def test_import_loads_no_http_library() -> None:
    """Importing the library loads neither httpx nor h11 nor aiohttp."""
    code = "import sys, rxollama; print(sorted({'aiohttp', 'h11', 'httpx'} & sys.modules.keys()))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert "[]" == done.stdout.strip()


def test_the_link_is_not_a_second_copy() -> None:
    """`import operators` fails from the repository's root, though the folder can be seen there."""
    done = subprocess.run(
        [sys.executable, "-c", "import operators"], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert "ImportError" in done.stderr


def test_the_link_points_to_the_operators() -> None:
    """The repository's `operators` is the package's folder, where links are supported."""
    link = ROOT / "operators"

    assert not link.is_symlink() or link.resolve() == PACKAGE / "operators"
