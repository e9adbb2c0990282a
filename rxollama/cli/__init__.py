"""
The command line: a chat in the terminal or in a pipe, and the models of the server.

The commands need rich and aiohttp, which the extra `cli` installs. `--help` and `--version` work without it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from rxollama.cli._arguments import Options, parse_arguments

__all__ = ("main",)

_run: Callable[[Options], int] | None
try:
    from rxollama.cli._program import run_command as _run
except ModuleNotFoundError as _missing:
    # markdown-it-py is installed with rich.
    if (_missing.name or "").partition(".")[0] not in {"rich", "markdown_it", "aiohttp"}:
        raise
    _run = None

_NEEDS = "rxollama: the command line needs rich and aiohttp: install them with pip install 'rxollama[cli]'\n"


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    Args:
        argv: The arguments. None uses those of the process.

    Returns:
        The exit code: 0 after success, 1 after a reported error, 2 for wrong arguments, 130 after Ctrl-C.

    Raises:
        SystemExit: After `--help`, `--version` or wrong arguments.

    .. versionadded:: 0.1
    """
    try:
        try:
            return _main(sys.argv[1:] if argv is None else argv)
        finally:
            # Flushed here, where a broken pipe can still be caught. The interpreter's own flush would report it.
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader has left. Buffered text goes to the null device, so that the exit reports nothing:
        # https://docs.python.org/3/library/signal.html#note-on-sigpipe
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.dup2(null, sys.stderr.fileno())
        return 0


def _main(argv: Sequence[str]) -> int:
    options = parse_arguments(argv)
    if options is None:
        return 0
    if _run is None:
        sys.stderr.write(_NEEDS)
        return 1
    return _run(options)
