"""Programs in interpreters of their own, with asyncio's debug mode and every warning an error."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from textwrap import dedent

# On a busy machine any callback may take the time of which this library warns.
STRICT = ("-W", "error", "-W", "ignore:the callbacks of the stream")

_PATIENCE = 50.0
_PRELUDE = """
import signal
import sys

# Shells make background jobs ignore Ctrl-C, and their children inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)
"""

# asyncio's debug mode reports callbacks that took 0.1 s, which on a busy machine any may take.
_SLOW = re.compile(r"^Executing <.*> took [0-9.]+ seconds\n", re.MULTILINE)


class Program:
    """
    A Python program that runs in the background.

    Args:
        code: The program's code.
        *arguments: Its arguments.
    """

    def __init__(self, code: str, *arguments: str) -> None:
        command = [sys.executable, "-X", "dev", *STRICT, "-c", _PRELUDE + dedent(code), *arguments]
        # Unbuffered, a print is two writes, and a forked child may write between them.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    def line(self) -> str:
        """Wait for a line of its output, and return it."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def interrupt(self) -> None:
        """Send it Ctrl-C."""
        self.send(signal.SIGINT)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def status(self) -> int:
        """Wait until it ends, and return its exit status."""
        return self._process.wait(_PATIENCE)

    def end(self) -> str:
        """Wait until it ends without an error or a warning, and return the rest of its output."""
        output, complaints = self.complaining()
        assert complaints == "", complaints
        return output

    def complaining(self) -> tuple[str, str]:
        """Wait until it ends without an error, and return the rest of its output and its warnings."""
        try:
            output, complaints = self._process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            # It then shows where its threads are.
            self.send(signal.SIGABRT)
            output, complaints = self._process.communicate()
        assert self._process.returncode == 0, complaints
        return output.strip(), _SLOW.sub("", complaints)

    def kill(self) -> None:
        """Kill it if it still runs."""
        self._process.kill()
        self._process.communicate()
