"""The arguments: what may be asked for, and what the help says."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from threading import TIMEOUT_MAX
from typing import Literal, TypeVar, cast

from rxollama.messages import Think

__all__ = ("Options", "parse")

_ROUNDS = 8

_LEVELS = ("low", "medium", "high", "max")

_Number = TypeVar("_Number", int, float)

_ABOUT = "Chat with the models of an Ollama server, in the terminal or in a pipe."

_EXAMPLES = """\
examples:
  rxollama chat --demo "What is 17 × 23?"      a look at it, without a server
  rxollama chat                                a conversation; Ctrl-D ends it
  rxollama chat -m qwen3 --think "Why is the sky blue?"
  git diff | rxollama chat --system "Review this." > review.md
  rxollama chat --tools weather.py "Is it cold in Oslo?"
  rxollama pull qwen3
  rxollama models | cut -f 1

environment:
  OLLAMA_HOST     where the server is, if not at 127.0.0.1:11434
  OLLAMA_MODEL    the model to chat with, if -m names none
  OLLAMA_API_KEY  sent to that server
  NO_COLOR        set to anything: no colours
"""

_CHAT = """\
Without a prompt: on a terminal a conversation, otherwise standard input is the prompt.
On a terminal the answer is shown live; in a pipe there is the answer and nothing else.
Ctrl-C stops the answer. In a conversation, /bye or Ctrl-D ends it, and \"\"\" begins and
ends a prompt of several lines.
With --tools the model may call the public functions of a Python file, or those that its
__all__ names; what their signatures and docstrings say is what it is told. Before each call
you see its arguments and are asked: yes, no (what stands after the n the model is told),
always this tool, or quit. What a tool prints is no part of the answer.
"""


class Options(Namespace):
    """Hold the arguments of one run; which of them there are depends on the command."""

    command: Literal["chat", "pull", "models"] | None
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


def parse(argv: Sequence[str]) -> Options | None:
    """
    Read the arguments.

    Args:
        argv: The arguments, without the program's name.

    Returns:
        The options; None where there is no command, and the help was printed instead.

    Raises:
        SystemExit: After the help, the version, or a word on wrong arguments.
    """
    parser = _parser()
    options = parser.parse_args(list(_settled(argv)), namespace=Options())
    if options.command is None:
        parser.print_help()
        return None
    if options.command == "chat":
        for words in _faults(options):
            parser.error(words)
    return options


def _faults(options: Options) -> Iterator[str]:
    if options.demo and options.host is not None:
        yield "--demo brings its own server: leave out --host"
    if options.demo and options.tools:
        yield "--demo plays recorded answers, which call no tools of yours: leave out --tools"
    if not options.tools:
        for name, given in (
            ("--yes", options.yes),
            ("--max-rounds", options.max_rounds != _ROUNDS),
            ("--tool-timeout", options.tool_timeout),
        ):
            if given:
                yield f"{name} is about tools: it needs --tools"


def _settled(argv: Sequence[str]) -> Iterator[str]:
    """Give `--think` a level of its own, so that it does not take the prompt for one."""
    rest = list(argv)
    while rest and rest[0] != "--":
        argument = rest.pop(0)
        yield "--think=on" if argument == "--think" and "".join(rest[:1]) not in _LEVELS else argument
    yield from rest


def _level(text: str) -> Think:
    if text != "on" and text not in _LEVELS:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(_LEVELS)}")
    return True if text == "on" else cast("Think", text)


def _positive(kind: Callable[[str], _Number], what: str) -> Callable[[str], _Number]:
    def read(text: str) -> _Number:
        with suppress(ValueError):
            if 0 < (number := kind(text)) <= TIMEOUT_MAX:
                return number
        raise ArgumentTypeError(f"{text!r} is no {what} above 0")

    return read


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="rxollama",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"rxollama {version('rxollama')}")
    server = ArgumentParser(add_help=False)
    server.add_argument("--host", help="the server, as OLLAMA_HOST would say it")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
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
    pull = commands.add_parser("pull", help="fetch a model", allow_abbrev=False, parents=[server])
    pull.add_argument("model", metavar="MODEL", help="its name, such as qwen3 or qwen3:8b")
    commands.add_parser(
        "models",
        help="list the server's models",
        description="List the server's models; in a pipe one per line, tab-separated, with the size in bytes.",
        allow_abbrev=False,
        parents=[server],
    )
    return parser


def _add_chat(chat: ArgumentParser) -> None:
    chat.add_argument("prompt", nargs="?", metavar="PROMPT", help="what to ask")
    chat.add_argument("-m", "--model", help="the model; otherwise OLLAMA_MODEL, otherwise the server's latest")
    thinking = chat.add_mutually_exclusive_group()
    thinking.add_argument(
        "--think", nargs="?", type=_level, metavar="LEVEL", help=f"let the model think; how hard: {', '.join(_LEVELS)}"
    )
    thinking.add_argument("--no-think", dest="think", action="store_const", const=False, help="do not let it think")
    chat.add_argument("--system", metavar="TEXT", help="tell the model how to behave")
    chat.add_argument("--json-log", type=_log_file, metavar="FILE", help="append what happens to FILE, as JSON lines")
    chat.add_argument(
        "--tools",
        action="append",
        type=Path,
        default=[],
        metavar="FILE.py",
        help="offer the functions of a Python file",
    )
    chat.add_argument("-y", "--yes", action="store_true", help="run tools without asking")
    chat.add_argument(
        "--max-rounds",
        type=_positive(int, "whole number"),
        default=_ROUNDS,
        metavar="N",
        help="how often to ask the model for one answer; otherwise %(default)s",
    )
    chat.add_argument(
        "--tool-timeout", type=_positive(float, "number"), metavar="SECONDS", help="how long a tool may take"
    )
    chat.add_argument("--demo", action="store_true", help="play recorded answers, without a server or a model")


def _log_file(text: str) -> Path:
    if text == "-":
        raise ArgumentTypeError("standard output is the answer's: name a file")
    return Path(text)
