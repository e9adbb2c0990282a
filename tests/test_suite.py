"""The suite itself: when it refuses to run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("level", ["-O", "-OO"])
def test_without_assertions(level: str) -> None:
    """Under `-O` no assertion runs, so the suite refuses in one line."""
    command = [sys.executable, level, "-m", "pytest", "-p", "no:cacheprovider", __file__]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)

    assert (done.returncode, done.stdout.strip()) == (pytest.ExitCode.USAGE_ERROR, "")
    assert done.stderr.strip() == "ERROR: python -O removes the assertions of the tests: run pytest without -O"
