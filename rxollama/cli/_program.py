"""The commands: each is run, and an error becomes one line and an exit code."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from rxollama import RxOllamaError
from rxollama.cli._arguments import Command, Options
from rxollama.cli._chat import chat
from rxollama.cli._models import list_models
from rxollama.cli._output import CommandError, Output
from rxollama.cli._pull import pull
from rxollama.errors import SlowCallbackWarning

__all__ = ("run_command",)

_COMMANDS: dict[Command, Callable[[Options, Output], int]] = {"chat": chat, "models": list_models, "pull": pull}
_INTERRUPTED = 130


def run_command(options: Options) -> int:
    """
    Run the command that the arguments name.

    Args:
        options: The arguments.

    Returns:
        The exit code, as for `rxollama.cli.main`.

    Raises:
        BrokenPipeError: When the reader of standard output has left.
    """
    # The callbacks are the program's own, and its user can do nothing about a busy machine.
    warnings.simplefilter("ignore", SlowCallbackWarning)
    output = Output(always_summarize=options.command == "chat" and options.demo)
    try:
        return _COMMANDS[options.command](options, output)
    except CommandError as error:
        output.fail(error)
        return error.code
    except RxOllamaError as error:
        output.fail(error)
        return 1
    except KeyboardInterrupt:
        output.discard_unread()
        return _INTERRUPTED
