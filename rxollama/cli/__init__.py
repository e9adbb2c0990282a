"""
The command line: a chat in the terminal or in a pipe, and a look at the server's models.

It needs rich, which the extra `cli` brings.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

__all__ = ("main",)

_run: Callable[[Sequence[str] | None], int] | None
try:
    from rxollama.cli._program import run_program as _run
except ModuleNotFoundError as _missing:
    # markdown-it-py comes with rich.
    if (_missing.name or "").partition(".")[0] not in {"rich", "markdown_it"}:
        raise
    _run = None

_NEEDS_RICH = "rxollama: the command line needs rich; install it with pip install 'rxollama[cli]'\n"


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the program.

    Args:
        argv: The arguments; None takes those of the process.

    Returns:
        The exit code: 0 well, 1 an error that was told, 2 wrong arguments, 130 interrupted.

    .. versionadded:: 0.1
    """
    if _run is None:
        sys.stderr.write(_NEEDS_RICH)
        return 1
    try:
        try:
            return _run(argv)
        finally:
            # Here, where a failure can be told from others, and not when the interpreter exits.
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough. What the streams still hold goes nowhere, without a word at exit:
        # https://docs.python.org/3/library/signal.html#note-on-sigpipe
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.dup2(nowhere, sys.stderr.fileno())
        return 0
