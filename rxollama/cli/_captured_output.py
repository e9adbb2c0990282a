"""What tools print: it belongs neither into the answer nor into what moves on the terminal."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import TextIO

__all__ = ("Overheard",)


class Overheard(io.TextIOBase):
    """
    Stand for standard output or standard error, and hand on what is printed, line by line.

    Args:
        stream: The stream that it stands for.
        hear: Takes each line, on the thread that prints.

    Attributes:
        rich_proxied_file: The stream, which is where rich goes on writing.
    """

    def __init__(self, stream: TextIO, hear: Callable[[str], None]) -> None:
        self.rich_proxied_file = stream
        self._hear = hear
        self._begun = threading.local()

    def write(self, text: str) -> int:
        """Take what is printed."""
        *lines, rest = (getattr(self._begun, "line", "") + text).split("\n")
        self._begun.line = rest
        for line in lines:
            self._hear(line)
        return len(text)

    def flush(self) -> None:
        """Hand on a line that has only begun."""
        if line := getattr(self._begun, "line", ""):
            self._begun.line = ""
            self._hear(line)

    # With these `input` takes it for the stream itself, and edits lines.

    def fileno(self) -> int:
        """Name the stream's file."""
        return self.rich_proxied_file.fileno()

    def isatty(self) -> bool:
        """Tell whether the stream is a terminal."""
        return self.rich_proxied_file.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override] # typeshed has it a plain attribute.
        """The stream's."""
        return self.rich_proxied_file.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override] # As above.
        """The stream's."""
        return self.rich_proxied_file.errors
