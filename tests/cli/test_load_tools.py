"""The tools of a file."""

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
    """Forget what a test loads."""
    before = sys.modules.copy()
    yield
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]


def write(folder: Path, code: str, name: str = "tools.py") -> Path:
    """Write a file."""
    (folder / "helper.py").write_text("TEXT = 'dug'\ndef borrowed() -> None: ...\n")
    file = folder / name
    file.write_text(code)
    return file


def refusal(*paths: Path) -> str:
    """Load files that cannot be, and return what is said of it."""
    with pytest.raises(CommandError) as refused:
        load_tools(paths)
    assert refused.value.code == 2
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_public_functions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Offered are the file's own public functions, of any kind, and its tools; it may import what lies beside it."""
    path = list(sys.path)

    tools = load_tools([write(tmp_path, PUBLIC)])

    assert [tool.name for tool in tools] == ["dig", "wait", "stream", "look", "open-sesame"]
    assert tools[0].description == "Dig a hole."
    assert tools[0].schema["function"]["parameters"]["properties"]["at"]["properties"]["x"]["type"] == "integer"
    assert sys.path == path
    assert capsys.readouterr() == ("", "loaded\n")


def test_all(tmp_path: Path) -> None:
    """`__all__` decides where there is one."""
    code = "__all__ = ['_hidden', 'borrowed']\nfrom helper import borrowed\ndef _hidden(): ...\ndef public(): ...\n"

    assert [tool.name for tool in load_tools([write(tmp_path, code)])] == ["_hidden", "borrowed"]


def test_several_files(tmp_path: Path) -> None:
    """Files may have the same name; tools may not."""
    (tmp_path / "other").mkdir()
    one = write(tmp_path, "def dig(): ...\n")
    two = write(tmp_path / "other", "def fill(): ...\n")
    three = write(tmp_path, "def dig(): ...\n", "three.py")

    assert [tool.name for tool in load_tools([one, two])] == ["dig", "fill"]
    assert refusal(one, three) == f"two tools are named dig: one in {one}, one in {three}"


def test_path_that_the_file_changes(tmp_path: Path) -> None:
    """A file may take its folder off the path itself."""
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
    """A file that cannot be loaded is told with the line of it, in one line."""
    (tmp_path / "broken.py").write_text("x = 1\ny = )\n".replace(")", "*"))
    file = write(tmp_path, code)

    assert refusal(file).removeprefix(f"cannot load the tools in {file}").startswith(words)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1\n", "{file} offers no tools: it has no function of its own without a leading underscore"),
        ("__all__ = 5\n", "the __all__ of {file} is no list of names"),
        ("__all__ = 'f'\ndef f(): ...\n", "the __all__ of {file} is no list of names"),
        ("__all__ = [5]\n", "the __all__ of {file} is no list of names"),
        ("__all__ = ['gone']\n", "{file} has no 'gone', which its __all__ names"),
        ("def f(*args): ...\n", "cannot offer 'f' of {file}: f(*args): "),
        ("__all__ = ['x']\nx = 1\n", "cannot offer 'x' of {file}: "),
        (
            "from rxollama.tools import Tool\nt = Tool({'type': 'function', 'function': {'name': 'f'}})\n",
            "cannot offer 't' of {file}: it has only a schema; make it Tool(schema, run=function)",
        ),
    ],
)
def test_nothing_to_offer(code: str, words: str, tmp_path: Path) -> None:
    """What cannot be offered is named."""
    file = write(tmp_path, code)

    assert refusal(file).startswith(words.format(file=file))


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C while a file is loaded is what it is."""
    with pytest.raises(KeyboardInterrupt):
        load_tools([write(tmp_path, "raise KeyboardInterrupt\n")])


def test_no_python_file(tmp_path: Path) -> None:
    """A file that is not there, or is not Python, is said to be so."""
    text = write(tmp_path, "Hello.\n", "notes.txt")

    assert refusal(text) == f"{text} is no Python file: its name has to end in .py"
    assert refusal(tmp_path / "no.py") == f"cannot read the tools in {tmp_path}/no.py: there is no such file"
