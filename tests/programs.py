"""Programs in interpreters of their own, where every warning is an error and asyncio looks closely."""

from __future__ import annotations

import signal
import subprocess
import sys
from textwrap import dedent

_PATIENCE = 20.0
_PRELUDE = """
import signal
import sys

# Whoever runs the tests in the background makes all that they start deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
import rxollama._http  # It takes longer to load than asyncio, in debug mode, lets pass without a word.
"""


class Program:
    """
    Run a program.

    Args:
        code: Its code.
        *arguments: Its arguments.
    """

    def __init__(self, code: str, *arguments: str) -> None:
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", _PRELUDE + dedent(code), *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self) -> str:
        """Block until it printed a line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> str:
        """Block until it ended well and without a complaint, and return what it printed since."""
        output, complaints = self.complaining()
        assert complaints == ""
        return output

    def complaining(self) -> tuple[str, str]:
        """Block until it ended well, and return what it printed since, and what it complained of."""
        output, complaints = self._process.communicate(timeout=_PATIENCE)
        assert self._process.returncode == 0, complaints
        return output.strip(), complaints

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.communicate()
