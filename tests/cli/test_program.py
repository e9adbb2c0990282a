"""The program as it is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from terminals import ROOT, piped


def without(module: str) -> subprocess.CompletedProcess[str]:
    """Run the program where a module is missing."""
    code = f"import sys; sys.modules[{module!r}] = None; from rxollama.cli import main; sys.exit(main(['models']))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize("module", ["rich", "rich.live", "markdown_it"])
def test_without_rich(module: str) -> None:
    """Without the extra, one line says how to get it."""
    done = without(module)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "rxollama: the command line needs rich; install it with pip install 'rxollama[cli]'\n"


def test_without_something_else() -> None:
    """Whatever else is missing is told as it is."""
    assert "ModuleNotFoundError" in without("argparse").stderr


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
