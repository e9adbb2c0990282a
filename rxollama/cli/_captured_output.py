"""The output of tools, captured so that it does not mix with the answer on the terminal."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import TextIO

__all__ = ("CapturedOutput",)


class CapturedOutput(io.TextIOBase):
    """
    A replacement for standard output or standard error that passes on whole lines.

    Args:
        stream: The stream that is replaced.
        on_line: A function that receives each line, on the thread that prints it.

    Attributes:
        rich_proxied_file: The replaced stream. rich looks for this attribute and writes there.
    """

    def __init__(self, stream: TextIO, on_line: Callable[[str], None]) -> None:
        self.rich_proxied_file = stream
        self._on_line = on_line
        # One unfinished line for each thread, so that the lines of two tools do not mix.
        self._unfinished = threading.local()

    def write(self, text: str) -> int:
        """Pass on the lines that *text* completes."""
        *lines, rest = (getattr(self._unfinished, "line", "") + text).split("\n")
        self._unfinished.line = rest
        for line in lines:
            self._on_line(line)
        return len(text)

    def flush(self) -> None:
        """Pass on this thread's unfinished line."""
        if line := getattr(self._unfinished, "line", ""):
            self._unfinished.line = ""
            self._on_line(line)

    # `input` edits lines only if these four say that it reads from and writes to the terminal.

    def fileno(self) -> int:
        """Return the replaced stream's file descriptor."""
        return self.rich_proxied_file.fileno()

    def isatty(self) -> bool:
        """Return whether the replaced stream is a terminal."""
        return self.rich_proxied_file.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override] # typeshed declares a plain attribute.
        """The replaced stream's encoding."""
        return self.rich_proxied_file.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override] # As above.
        """The replaced stream's handling of encoding errors."""
        return self.rich_proxied_file.errors
