"""The command line's arguments and help texts."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import TIMEOUT_MAX
from typing import Literal, TypeAlias, TypeVar, cast

from rxollama import __version__
from rxollama.messages import Think

__all__ = ("Command", "Options", "parse_arguments")

_ROUNDS = 8

_LEVELS = ("low", "medium", "high", "max")

_Number = TypeVar("_Number", int, float)

_ABOUT = "Chat with the models of an Ollama server, in the terminal or in a pipe."

_EXAMPLES = """\
examples:
  rxollama chat --demo "What is 17 × 23?"      see an answer without a server
  rxollama chat                                start a conversation; Ctrl-D ends it
  rxollama chat -m qwen3 --think "Why is the sky blue?"
  git diff | rxollama chat --system "Review this." > review.md
  rxollama chat --tools weather.py "Is it cold in Oslo?"
  rxollama pull qwen3
  rxollama models | cut -f 1

environment:
  OLLAMA_HOST     the server's address (default: 127.0.0.1:11434)
  OLLAMA_MODEL    the model to chat with, unless -m names one
  OLLAMA_API_KEY  the key that is sent to the server
  NO_COLOR        set to any value to turn colours off
"""

_CHAT = """\
Ask a model one question, or hold a conversation.

Without PROMPT, a terminal starts a conversation; otherwise standard input is the prompt.
On a terminal the answer is shown as it arrives. In a pipe, standard output holds only the
answer. Ctrl-C stops the answer. In a conversation, /bye or Ctrl-D ends it, and \"\"\" starts
and ends a prompt of several lines.

With --tools the model may call the functions of a Python file: those in its __all__, or
else its public functions. The model sees their signatures and docstrings. Before each call
its arguments are shown, and you answer yes, no (text after the n is passed to the model),
always for this tool, or quit. The output of a tool is kept out of the answer.
"""

Command: TypeAlias = Literal["chat", "pull", "models"]
"""The name of a command."""


class Options(Namespace):
    """The arguments of one run. Which of them are set depends on the command."""

    command: Command
    host: str | None
    model: str | None
    prompt: str | None
    think: Think | None
    system: str | None
    json_log: Path | None
    demo: bool
    tools: list[Path]
    yes: bool
    max_rounds: int
    tool_timeout: float | None


def parse_arguments(argv: Sequence[str]) -> Options | None:
    """
    Parse the arguments.

    Args:
        argv: The arguments, without the program's name.

    Returns:
        The options. None if there are no arguments, in which case the help was printed.

    Raises:
        SystemExit: After `--help`, `--version` or wrong arguments.
    """
    parser = _parser()
    if not argv:
        parser.print_help()
        return None
    options = parser.parse_args(list(_with_think_value(argv)), namespace=Options())
    if options.command == "chat":
        for message in _conflicts(options):
            parser.error(message)
    return options


def _conflicts(options: Options) -> Iterator[str]:
    if options.demo and options.host is not None:
        yield "--demo runs its own server: leave out --host"
    if options.demo and options.tools:
        yield "--demo plays recorded answers, which call no tools: leave out --tools"
    if not options.tools:
        for name, given in (
            ("--yes", options.yes),
            ("--max-rounds", options.max_rounds != _ROUNDS),
            ("--tool-timeout", options.tool_timeout),
        ):
            if given:
                yield f"{name} has no effect without tools: add --tools FILE.py"


def _with_think_value(argv: Sequence[str]) -> Iterator[str]:
    """Give a bare `--think` a value, so that argparse does not take the prompt for its level."""
    rest = list(argv)
    while rest and rest[0] != "--":
        argument = rest.pop(0)
        yield "--think=on" if argument == "--think" and "".join(rest[:1]) not in _LEVELS else argument
    yield from rest


def _think_level(text: str) -> Think:
    if text != "on" and text not in _LEVELS:
        raise ArgumentTypeError(f"expected {', '.join(_LEVELS[:-1])} or {_LEVELS[-1]}, got {text!r}")
    return True if text == "on" else cast("Think", text)


def _positive(kind: Callable[[str], _Number], what: str) -> Callable[[str], _Number]:
    def read(text: str) -> _Number:
        with suppress(ValueError):
            if 0 < (number := kind(text)) <= TIMEOUT_MAX:
                return number
        raise ArgumentTypeError(f"expected {what} above 0, got {text!r}")

    return read


def _log_file(text: str) -> Path:
    if text == "-":
        raise ArgumentTypeError("expected a file, got '-': standard output is used by the answer")
    return Path(text)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="rxollama",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"rxollama {__version__}")
    server = ArgumentParser(add_help=False)
    server.add_argument("--host", help="the server's address (default: OLLAMA_HOST)")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND", required=True)
    _add_chat(
        commands.add_parser(
            "chat",
            help="ask a model, or hold a conversation",
            description=_CHAT,
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
            parents=[server],
        )
    )
    pull = commands.add_parser(
        "pull",
        help="download a model to the server",
        description="Download a model to the server. A pull that was stopped is resumed by the next one.",
        allow_abbrev=False,
        parents=[server],
    )
    pull.add_argument("model", metavar="MODEL", help="the model's name, such as qwen3 or qwen3:8b")
    commands.add_parser(
        "models",
        help="list the server's models",
        description="List the server's models. In a pipe there is one line per model, with tabs between its fields "
        "and its size in bytes.",
        allow_abbrev=False,
        parents=[server],
    )
    return parser


def _add_chat(chat: ArgumentParser) -> None:
    chat.add_argument("prompt", nargs="?", metavar="PROMPT", help="the question")
    chat.add_argument("-m", "--model", help="the model (default: OLLAMA_MODEL, or else the server's newest model)")
    thinking = chat.add_mutually_exclusive_group()
    thinking.add_argument(
        "--think",
        nargs="?",
        type=_think_level,
        metavar="LEVEL",
        help=f"let the model think; LEVEL says how hard: {', '.join(_LEVELS)}",
    )
    thinking.add_argument("--no-think", dest="think", action="store_const", const=False, help="turn thinking off")
    chat.add_argument("--system", metavar="TEXT", help="the system prompt: how the model is to behave")
    chat.add_argument("--json-log", type=_log_file, metavar="FILE", help="append a log to FILE, as JSON lines")
    chat.add_argument(
        "--tools",
        action="append",
        type=Path,
        default=[],
        metavar="FILE.py",
        help="let the model call the functions of a Python file; may be repeated",
    )
    chat.add_argument("-y", "--yes", action="store_true", help="run tools without asking")
    chat.add_argument(
        "--max-rounds",
        type=_positive(int, "a whole number"),
        default=_ROUNDS,
        metavar="N",
        help="the most requests for one answer, when the model calls tools (default: %(default)s)",
    )
    chat.add_argument(
        "--tool-timeout",
        type=_positive(float, "a number of seconds"),
        metavar="SECONDS",
        help="the longest time that one tool call may take",
    )
    chat.add_argument("--demo", action="store_true", help="play recorded answers, without a server or a model")
