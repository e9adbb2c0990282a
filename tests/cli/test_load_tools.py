"""The tools of a Python file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rxollama.cli._load_tools import load_tools
from rxollama.cli._output import CommandError

PUBLIC = '''
"""A file of tools."""
from __future__ import annotations
import helper
from dataclasses import dataclass
from functools import cache
from helper import borrowed
from json import dumps
from rxollama.tools import ToolProgress, Tool

LIMIT = 3

@dataclass
class Place:
    x: int

class Helper:
    def __call__(self, x: int) -> int: return x

helper_object = Helper()

def dig(at: Place) -> str:
    """Dig a hole."""
    return helper.TEXT

again = dig

async def wait(seconds: float) -> None: ...
async def stream(seconds: float):
    yield ToolProgress("soon")

@cache
def look(x: int) -> int: return x

def _secret() -> None: ...

renamed = Tool(_secret, name="open-sesame")
print("loaded")
'''


@pytest.fixture(autouse=True)
def _modules() -> Iterator[None]:
    """Remove the modules that a test loads."""
    before = sys.modules.copy()
    yield
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]


def write(folder: Path, code: str, name: str = "tools.py") -> Path:
    """Write a file of tools and the module beside it."""
    (folder / "helper.py").write_text("TEXT = 'dug'\ndef borrowed() -> None: ...\n")
    file = folder / name
    file.write_text(code)
    return file


def error(*paths: Path) -> str:
    """Load files that are refused, and return the error's message."""
    with pytest.raises(CommandError) as refused:
        load_tools(paths)
    assert refused.value.code == 2
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_public_functions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file's own public functions and its `Tool` objects are its tools. It may import modules beside it."""
    path = list(sys.path)

    tools = load_tools([write(tmp_path, PUBLIC)])

    assert [tool.name for tool in tools] == ["dig", "wait", "stream", "look", "open-sesame"]
    assert tools[0].description == "Dig a hole."
    assert tools[0].schema["function"]["parameters"]["properties"]["at"]["properties"]["x"]["type"] == "integer"
    assert sys.path == path
    assert capsys.readouterr() == ("", "loaded\n")


def test_all(tmp_path: Path) -> None:
    """A file with `__all__` has the tools that it names."""
    code = "__all__ = ['_hidden', 'borrowed']\nfrom helper import borrowed\ndef _hidden(): ...\ndef public(): ...\n"

    assert [tool.name for tool in load_tools([write(tmp_path, code)])] == ["_hidden", "borrowed"]


def test_several_files(tmp_path: Path) -> None:
    """Two files may have the same name, and two tools may not."""
    (tmp_path / "other").mkdir()
    one = write(tmp_path, "def dig(): ...\n")
    two = write(tmp_path / "other", "def fill(): ...\n")
    three = write(tmp_path, "def dig(): ...\n", "three.py")

    assert [tool.name for tool in load_tools([one, two])] == ["dig", "fill"]
    assert error(one, three) == f"two tools are named dig, one in {one} and one in {three}: rename one of them"


def test_path_that_the_file_changes(tmp_path: Path) -> None:
    """A file that removes its folder from `sys.path` itself does no harm."""
    before = list(sys.path)

    load_tools([write(tmp_path, "import sys\nsys.path.pop(0)\ndef dig(): ...\n")])

    assert sys.path == before


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1\ndef f(:\n", ", line 2: SyntaxError: invalid syntax"),
        ("\n\nboom()\n", ", line 3: NameError: name 'boom' is not defined"),
        ("def f():\n    import nothing_such\nf()\n", ", line 2: ModuleNotFoundError: No module named 'nothing_such'"),
        ("import json\njson.loads('')\n", ", line 2: JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        ("raise SystemExit\n", ", line 1: SystemExit"),
        ("raise SystemExit('bye')\n", ", line 1: SystemExit: bye"),
        ("\0", ": SyntaxError: source code string cannot contain null bytes"),
        ("import broken\n", ", line 1: SyntaxError: invalid syntax (broken.py, line 2)"),
    ],
)
def test_files_that_fail(code: str, words: str, tmp_path: Path) -> None:
    """The error of a file that cannot be loaded names the line, in one line."""
    (tmp_path / "broken.py").write_text("x = 1\ny = )\n".replace(")", "*"))
    file = write(tmp_path, code)

    assert error(file).removeprefix(f"cannot load the tools in {file}").startswith(words)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1\n", "{file} has no tools: expected a function whose name does not start with an underscore"),
        ("__all__ = 5\n", "the __all__ of {file}: expected a list of names"),
        ("__all__ = 'f'\ndef f(): ...\n", "the __all__ of {file}: expected a list of names"),
        ("__all__ = [5]\n", "the __all__ of {file}: expected a list of names"),
        ("__all__ = ['gone']\n", "the __all__ of {file} names 'gone', which the file does not define"),
        ("def f(*args): ...\n", "cannot use 'f' of {file}: f(*args): "),
        ("__all__ = ['x']\nx = 1\n", "cannot use 'x' of {file}: "),
        (
            "from rxollama.tools import Tool\nt = Tool({'type': 'function', 'function': {'name': 'f'}})\n",
            "cannot use 't' of {file}: it has no function: write Tool(schema, run=function)",
        ),
    ],
)
def test_unusable_tools(code: str, words: str, tmp_path: Path) -> None:
    """The error of an unusable tool names it and says why."""
    file = write(tmp_path, code)

    assert error(file).startswith(words.format(file=file))


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C while a file is loaded is passed on."""
    with pytest.raises(KeyboardInterrupt):
        load_tools([write(tmp_path, "raise KeyboardInterrupt\n")])


def test_not_a_python_file(tmp_path: Path) -> None:
    """A missing file and a file of another kind have an error each."""
    text = write(tmp_path, "Hello.\n", "notes.txt")

    assert error(text) == f"--tools: expected a Python file whose name ends in .py, got {text}"
    assert error(tmp_path / "no.py") == f"cannot load the tools in {tmp_path}/no.py: there is no such file"
