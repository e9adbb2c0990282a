"""The program: what was asked for is done, and whatever fails is told in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from rxollama import RxOllamaError
from rxollama.cli._arguments import Options, parse
from rxollama.cli._chat import chat
from rxollama.cli._models import models
from rxollama.cli._output import CommandError, Output
from rxollama.cli._pull import pull

__all__ = ("run_program",)

_COMMANDS: dict[str, Callable[[Options, Output], int]] = {"chat": chat, "models": models, "pull": pull}
_INTERRUPTED = 130


def run_program(argv: Sequence[str] | None) -> int:
    """
    Do what the arguments say.

    Args:
        argv: The arguments; None takes those of the process.

    Returns:
        The exit code, see `rxollama.cli.main`.

    Raises:
        BrokenPipeError: When a reader went away.
    """
    options = parse(sys.argv[1:] if argv is None else argv)
    if options is None or options.command is None:
        return 0
    output = Output(shows_off=options.command == "chat" and options.demo)
    try:
        return _COMMANDS[options.command](options, output)
    except CommandError as error:
        output.fail(error)
        return error.code
    except RxOllamaError as error:
        output.fail(error)
        return 1
    except KeyboardInterrupt:
        output.give_up()
        return _INTERRUPTED
