"""The program as it is installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
from terminals import ROOT, piped

NEEDS = "rxollama: the command line needs rich and aiohttp: install them with pip install 'rxollama[cli]'\n"
VERSION = f"rxollama {version('rxollama')}\n"


def without(module: str, *arguments: str, as_module: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the program in an interpreter without a module."""
    start = (
        "import runpy; runpy.run_module('rxollama', run_name='__main__')"
        if as_module
        else "from rxollama.cli import main; sys.exit(main())"
    )
    code = f"import sys; sys.modules[{module!r}] = None; {start}"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


@pytest.mark.parametrize("as_module", [False, True])
@pytest.mark.parametrize("module", ["rich", "rich.live", "markdown_it", "aiohttp"])
def test_without_rich(module: str, as_module: bool) -> None:
    """Without the extra, one line says how to install it."""
    done = without(module, "models", as_module=as_module)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == NEEDS


@pytest.mark.parametrize("as_module", [False, True])
def test_version_without_rich(as_module: bool) -> None:
    """`--version` works without the extra."""
    done = without("rich", "--version", as_module=as_module)

    assert (done.returncode, done.stdout, done.stderr) == (0, VERSION, "")


def test_help_without_rich() -> None:
    """The help works without the extra, and so does the message on wrong arguments."""
    assert "rxollama chat --demo" in without("rich", "--help").stdout
    assert "invalid choice: 'sing'" in without("rich", "sing").stderr


def test_without_another_module() -> None:
    """Another missing module is a Python error."""
    assert "ModuleNotFoundError" in without("rxollama.testing", "models").stderr


def test_version() -> None:
    """`python -m rxollama --version` prints the installed version."""
    done = piped("--version")

    assert (done.returncode, done.stdout, done.stderr) == (0, VERSION, "")


def test_help_of_a_command() -> None:
    """Each command has its help."""
    done = piped("chat", "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert "--think [LEVEL]" in done.stdout


def test_importing_runs_nothing() -> None:
    """Importing `rxollama.__main__` does not run the program."""
    code = "import rxollama.__main__; print('imported')"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)

    assert (done.stdout, done.stderr) == ("imported\n", "")
