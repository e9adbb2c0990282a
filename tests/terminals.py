"""The command line in a pipe and on a terminal."""

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

# Shells make background jobs ignore Ctrl-C, and their children inherit it.
_WITH_CTRL_C = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)
# Makes the terminal the controlling one, so that the key Ctrl-C sends a signal.
_CONTROLLED = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
_ESCAPES = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b\].*?(?:\x07|\x1b\\)|\x1b[()].|[\r\n]|[^\x1b\r\n]+")


def settings(server: ScriptedOllama | None, **more: str) -> dict[str, str]:
    """Return the environment of a program that uses a server."""
    personal = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    kept = {name: value for name, value in os.environ.items() if name not in personal}
    host = {} if server is None else {"OLLAMA_HOST": server.url}
    return kept | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "INPUTRC": os.devnull} | host | more


def piped(
    *arguments: str, server: ScriptedOllama | None = None, stdin: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the program in pipes, and return its output."""
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
    """Start the program, with its output in pipes that are not read yet."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _WITH_CTRL_C, *PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=settings(server),
        cwd=ROOT,
    )


class Terminal:
    """
    The program on a terminal of its own.

    Args:
        *arguments: The program's arguments.
        server: The server that it uses.
        rows: The terminal's height.
        columns: The terminal's width.
        stdout: A file descriptor for standard output. None uses the terminal.
        **more: More environment variables.
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
            [sys.executable, "-I", "-S", "-c", _CONTROLLED + _WITH_CTRL_C, *PROGRAM, *arguments],
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
        """Return the terminal."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the program if it still runs."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def raw(self) -> str:
        """All that was written to the terminal."""
        return self._bytes.decode(errors="replace")

    @property
    def screen(self) -> str:
        """The lines on the terminal, those that scrolled away included."""
        return "\n".join(line.rstrip() for line in drawn(self.raw)).rstrip("\n")

    def echoes(self) -> bool:
        """Return whether the terminal shows what is typed, which is its usual setting."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def memory(self) -> int:
        """Return the program's memory in bytes."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def expect(self, text: str) -> None:
        """Wait until *text* is written, after the text that was expected before."""
        until = time.monotonic() + PATIENCE
        while (place := _plain(self.raw).find(text, self._found)) < 0:
            assert self._read(until), f"{text!r} was not written; this was:\n{self.screen}"
        self._found = place + len(text)

    def wait(self) -> int:
        """Wait until the program ends, and return its exit code."""
        until = time.monotonic() + PATIENCE
        while self._read(until):
            pass
        return self._process.wait(PATIENCE)

    def press_until_exit(self, key: str) -> int:
        """
        Press a key until the program ends, and return its exit code.

        Python notices a signal that arrives just before it waits for input only at the next one.
        """
        for _ in range(int(PATIENCE)):
            self.type(key)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
                break
        return self.wait()

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, until - time.monotonic()))
        assert ready, f"nothing more was written; this was:\n{self.screen}"
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            # Linux raises this when the other end is closed.
            return False
        self._bytes += data
        return bool(data)


def drawn(raw: str) -> list[str]:
    """Return the lines that *raw* draws. Of the escape codes only cursor up and clear line are known."""
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
