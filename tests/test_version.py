"""The version of the package."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest

import rxollama


def test_version() -> None:
    """`rxollama.__version__` is the version of the installed package."""
    assert rxollama.__version__ == version("rxollama")


def test_unknown_attribute() -> None:
    """Another attribute is an AttributeError, as in a module without `__getattr__`."""
    with pytest.raises(AttributeError, match="module 'rxollama' has no attribute '__versoin__'"):
        getattr(rxollama, "__versoin__")  # noqa: B009 - The plain form is an error of the type checkers.
    assert not hasattr(import_module("rxollama"), "chat")


def test_import_does_not_read_the_metadata() -> None:
    """Importing the package does not load `importlib.metadata`, which takes 10 ms."""
    code = "import sys, rxollama; print('importlib.metadata' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
