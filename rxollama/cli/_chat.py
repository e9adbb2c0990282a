"""The command `chat`: one question, or a conversation that keeps its history."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import cast

import orjson
import structlog

from rxollama import Conversation, Ollama, RxOllamaError, run
from rxollama import operators as op
from rxollama.cli._arguments import Options
from rxollama.cli._consent import Consent, can_ask
from rxollama.cli._context_note import noted_context
from rxollama.cli._demo import MODEL, demo_server
from rxollama.cli._load_tools import load_tools
from rxollama.cli._output import CommandError, Output
from rxollama.cli._show_answer import Answer
from rxollama.errors import TooManyRoundsError
from rxollama.messages import ModelEntry
from rxollama.operators import Logger
from rxollama.tools import Tool

__all__ = ("chat",)

_PROMPT = ">>> "
_MORE = "... "
_QUOTES = '"""'
_DEMO = "demo: a scripted server plays recorded answers; no model runs here"
_CANNOT_ASK = "tools need a terminal to ask on before each call: pass --yes to run them without asking"
_TOO_MANY = "the model still called tools in round {rounds}, the last one: raise --max-rounds, or ask for less"
_NO_MODEL = "this server has no model to chat with: pull one, for instance with `rxollama pull qwen3`"
_NO_PROMPT = "there is no prompt: give one as an argument or on standard input"
_HELP = "/bye or Ctrl-D ends the conversation, Ctrl-C stops an answer"


def chat(options: Options, output: Output) -> int:
    """
    Ask one question, or hold a conversation.

    Args:
        options: The arguments.
        output: The output for the answers.

    Returns:
        The exit code.

    Raises:
        CommandError: If there is no prompt, no model, no log file, or no tool in a file of tools.
        RxOllamaError: If the one question fails.
        KeyboardInterrupt: At Ctrl-C while the one question is answered.
    """
    # Standard input is None if it was closed before the start.
    is_conversation = options.prompt is None and bool(sys.stdin) and sys.stdin.isatty()
    if options.tools and not options.yes and not can_ask():
        raise CommandError(_CANNOT_ASK, code=2)
    tools = load_tools(options.tools)
    prompt = "" if is_conversation else _one_prompt(options.prompt)
    log = _json_log(options.json_log) if options.json_log else nullcontext()
    with log as logger, _client(options, output) as (ollama, model):
        session = _ChatSession(ollama, model, tools, options, output=output, logger=logger)
        if is_conversation:
            _converse(session, output)
        else:
            session.ask(prompt)
    return 0


class _ChatSession:
    """A conversation whose answers are shown. An answer that is broken off stays in its history."""

    def __init__(
        self,
        ollama: Ollama,
        model: str,
        tools: tuple[Tool, ...],
        options: Options,
        *,
        output: Output,
        logger: Logger | None,
    ) -> None:
        self._options = options
        self._output = output
        self._logger = logger
        self._has_tools = bool(tools)
        self._consent = Consent() if tools and not options.yes else None
        self._conversation = Conversation(
            ollama,
            model,
            system=options.system or "",
            tools=tools,
            keep_unfinished=True,
            max_rounds=options.max_rounds,
            tool_timeout=options.tool_timeout,
            approve=self._consent.approve if self._consent else None,
            think=options.think,
        )

    def ask(self, prompt: str) -> None:
        """Send a prompt, and show the answer."""
        answer = Answer(self._output, self._conversation.model, has_tools=self._has_tools, consent=self._consent)
        stream = self._conversation.send(prompt)
        try:
            with noted_context(self._output):
                answer.show(stream if self._logger is None else stream.pipe(op.log(self._logger)))
        except TooManyRoundsError:
            raise CommandError(_TOO_MANY.format(rounds=self._options.max_rounds)) from None


def _one_prompt(argument: str | None) -> str:
    prompt = argument
    if prompt is None:
        prompt = sys.stdin.read().rstrip("\n") if sys.stdin else ""
    if not prompt.strip():
        raise CommandError(_NO_PROMPT, code=2)
    return prompt


def _converse(session: _ChatSession, output: Output) -> None:
    output.note(_HELP)
    with suppress(EOFError, KeyboardInterrupt):
        while (prompt := _read_prompt(output)) != "/bye":
            if not prompt:
                continue
            try:
                session.ask(prompt)
            except KeyboardInterrupt:
                # The display has shown it, and the conversation goes on.
                pass
            except (CommandError, RxOllamaError) as error:
                output.fail(error)
            output.note("")
        return
    output.note("")


def _read_prompt(output: Output) -> str:
    """Return a prompt of one line, or of several lines between triple quotes."""
    prompt = output.read_line(_PROMPT).strip()
    if not prompt.startswith(_QUOTES):
        return prompt
    prompt = prompt.removeprefix(_QUOTES)
    while not prompt.endswith(_QUOTES):
        prompt += "\n" + output.read_line(_MORE)
    return prompt.removesuffix(_QUOTES).strip()


@contextmanager
def _client(options: Options, output: Output) -> Generator[tuple[Ollama, str], None, None]:
    """Yield a client of the server or the demo, and the name of the model."""
    if options.demo:
        with demo_server() as server, Ollama(server.url, api_key="") as ollama:
            output.note(_DEMO)
            yield ollama, options.model or MODEL
    else:
        with Ollama(options.host) as ollama:
            yield ollama, options.model or os.environ.get("OLLAMA_MODEL") or _first_model(ollama, output)


def _first_model(ollama: Ollama, output: Output) -> str:
    models = [entry.name for entry in run(ollama.models()) if _can_chat(entry)]
    if not models:
        raise CommandError(_NO_MODEL)
    output.note(f"model {models[0]}; choose another with -m or OLLAMA_MODEL")
    return models[0]


def _can_chat(entry: ModelEntry) -> bool:
    # A server may leave the capabilities out.
    return not entry.capabilities or "completion" in entry.capabilities


@contextmanager
def _json_log(path: Path) -> Generator[Logger, None, None]:
    """Yield a logger that appends a JSON line to a file for each event."""
    try:
        file = path.open("ab")
    except OSError as error:
        raise CommandError(f"cannot write the log {path}: {error.strerror}") from None
    with file:
        logger = structlog.wrap_logger(
            structlog.BytesLoggerFactory(file)(),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(0),
        )
        yield cast("Logger", logger)
