"""The command line as people use it: in a pipe, and on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil  # type: ignore[import-untyped] # It brings no types.

from rxollama.testing import ScriptedOllama

ROOT = Path(__file__).parent.parent
PATIENCE = 30.0
CTRL_C, CTRL_D = "\x03", "\x04"

PROGRAM = [sys.executable, "-m", "rxollama"]

# Whoever runs the tests in the background has Ctrl-C ignored, and hands that on.
_HEARING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
# Makes the terminal the controlling one, so that Ctrl-C is a signal.
_CONTROLLED = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
_ESCAPES = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b\].*?(?:\x07|\x1b\\)|\x1b[()].|[\r\n]|[^\x1b\r\n]+")


def settings(server: ScriptedOllama | None, **more: str) -> dict[str, str]:
    """Make the environment of a program that is to talk to a server."""
    personal = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    kept = {name: value for name, value in os.environ.items() if name not in personal}
    host = {} if server is None else {"OLLAMA_HOST": server.url}
    return kept | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "INPUTRC": os.devnull} | host | more


def piped(
    *arguments: str, server: ScriptedOllama | None = None, stdin: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the program with everything piped."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        input=stdin,
        env=settings(server, **more),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
        cwd=ROOT,
    )


def started(*arguments: str, server: ScriptedOllama) -> subprocess.Popen[bytes]:
    """Start the program, with its output in pipes that nobody reads yet."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _HEARING, *PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=settings(server),
        cwd=ROOT,
    )


class Terminal:
    """
    Run the program on a terminal of its own.

    Args:
        *arguments: Its arguments.
        server: The server that it is to talk to.
        rows: The terminal's height.
        columns: The terminal's width.
        stdout: A file to write to, where standard output is to be no terminal.
        **more: More settings.
    """

    def __init__(
        self,
        *arguments: str,
        server: ScriptedOllama | None = None,
        rows: int = 30,
        columns: int = 80,
        stdout: int | None = None,
        **more: str,
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _CONTROLLED + _HEARING, *PROGRAM, *arguments],
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            env=settings(server, **more),
            start_new_session=True,
            cwd=ROOT,
        )
        os.close(slave)
        self._bytes = b""
        self._found = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the program, if it has not ended."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def raw(self) -> str:
        """All that was written to the terminal."""
        return self._bytes.decode(errors="replace")

    @property
    def screen(self) -> str:
        """What the terminal shows, with all that scrolled away."""
        return "\n".join(line.rstrip() for line in drawn(self.raw)).rstrip("\n")

    def echoes(self) -> bool:
        """Tell whether what is typed is shown, as it is on a terminal that nobody changed."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def memory(self) -> int:
        """Tell how much memory the program has, in bytes."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def see(self, text: str) -> None:
        """Block until a text has been written, after the one that was seen before."""
        until = time.monotonic() + PATIENCE
        while (place := _plain(self.raw).find(text, self._found)) < 0:
            assert self._read(until), f"{text!r} never came; this did:\n{self.screen}"
        self._found = place + len(text)

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        until = time.monotonic() + PATIENCE
        while self._read(until):
            pass
        return self._process.wait(PATIENCE)

    def insist(self, key: str) -> int:
        """Press a key until the program ends: a signal just before Python waits for input is noticed at the next."""
        for _ in range(int(PATIENCE)):
            self.type(key)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
                break
        return self.end()

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, until - time.monotonic()))
        assert ready, f"nothing more came; this did:\n{self.screen}"
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            # How Linux says that nobody has the other end any more.
            return False
        self._bytes += data
        return bool(data)


def drawn(raw: str) -> list[str]:
    """Draw what was written, as far as this program needs: lines, and a cursor that goes up and clears."""
    lines = [""]
    row = column = 0
    for found in _ESCAPES.finditer(raw):
        text, (count, command) = found[0], found.groups(default="")
        if text == "\r":
            column = 0
        elif text == "\n":
            row += 1
            lines += [""] * (row - len(lines) + 1)
        elif command == "A":
            row -= int(count or 1)
        elif command == "K":
            lines[row] = "" if count == "2" else lines[row][:column]
        elif text[0] != "\x1b":
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
    return lines


def _plain(raw: str) -> str:
    return "".join(found[0] for found in _ESCAPES.finditer(raw) if found[0][0] != "\x1b")
