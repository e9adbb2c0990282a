"""The chat: one question, or a conversation that keeps its history."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress

from rxollama import Conversation, Ollama, RxOllamaError, run
from rxollama import operators as op
from rxollama.cli._arguments import Options
from rxollama.cli._consent import Consent, can_ask
from rxollama.cli._demo import MODEL, demo_server
from rxollama.cli._load_tools import load_tools
from rxollama.cli._log_file import json_log
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
_NOBODY = "no terminal to ask on before a tool runs: pass --yes to run tools without asking"
_TOO_MANY = (
    "the model still called tools in round {rounds}, the last it was given; allow more with --max-rounds, "
    "or ask for less at a time"
)
_HELP = "/bye or Ctrl-D ends this, Ctrl-C stops an answer"


def chat(options: Options, output: Output) -> int:
    """
    Ask one question, or hold a conversation.

    Args:
        options: The arguments.
        output: Where to show answers.

    Returns:
        The exit code.

    Raises:
        CommandError: When there is nothing to ask, no model to ask, no file to log to, or nothing to offer in a file of
            tools.
        RxOllamaError: When the question fails.
        KeyboardInterrupt: At Ctrl-C, unless this is a conversation.
    """
    # Standard input is closed in some surroundings, and then it is none.
    talks = options.prompt is None and bool(sys.stdin) and sys.stdin.isatty()
    if options.tools and not options.yes and not can_ask():
        raise CommandError(_NOBODY, code=2)
    tools = load_tools(options.tools)
    prompt = "" if talks else _asked(options.prompt)
    log = json_log(options.json_log) if options.json_log else nullcontext()
    with log as logger, _server(options, output) as (ollama, model):
        talk = _ChatSession(ollama, model, tools, options, output=output, logger=logger)
        if talks:
            _converse(talk, output)
        else:
            talk.ask(prompt)
    return 0


class _ChatSession:
    """Ask, and remember what was said; of an answer that is broken off, as much as a model can be told again."""

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
        """Ask, and show the answer."""
        answer = Answer(self._output, self._conversation.model, has_tools=self._has_tools, consent=self._consent)
        stream = self._conversation.send(prompt)
        try:
            answer.show(stream if self._logger is None else stream.pipe(op.log(self._logger)))
        except TooManyRoundsError:
            raise CommandError(_TOO_MANY.format(rounds=self._options.max_rounds)) from None


def _asked(prompt: str | None) -> str:
    asked = prompt
    if asked is None:
        asked = sys.stdin.read().rstrip("\n") if sys.stdin else ""
    if not asked.strip():
        raise CommandError("no prompt: give one as an argument or on standard input", code=2)
    return asked


def _converse(talk: _ChatSession, output: Output) -> None:
    output.note(_HELP)
    with suppress(EOFError, KeyboardInterrupt):
        while (prompt := _read(output)) != "/bye":
            if not prompt:
                continue
            try:
                talk.ask(prompt)
            except KeyboardInterrupt:
                # It has been said, and what comes of it is the next prompt.
                pass
            except (CommandError, RxOllamaError) as error:
                output.fail(error)
            output.note("")
        return
    output.note("")


def _read(output: Output) -> str:
    """Read a prompt of one line, or of several between triple quotes."""
    prompt = output.line(_PROMPT).strip()
    if not prompt.startswith(_QUOTES):
        return prompt
    prompt = prompt.removeprefix(_QUOTES)
    while not prompt.endswith(_QUOTES):
        prompt += "\n" + output.line(_MORE)
    return prompt.removesuffix(_QUOTES).strip()


@contextmanager
def _server(options: Options, output: Output) -> Generator[tuple[Ollama, str], None, None]:
    if options.demo:
        with demo_server() as server, Ollama(server.url, api_key="") as ollama:
            output.note(_DEMO)
            yield ollama, options.model or MODEL
    else:
        with Ollama(options.host) as ollama:
            yield ollama, options.model or os.environ.get("OLLAMA_MODEL") or _first_model(ollama, output)


def _first_model(ollama: Ollama, output: Output) -> str:
    models = [entry.name for entry in run(ollama.models()) if _chats(entry)]
    if not models:
        raise CommandError("this server has no model to chat with; fetch one, for instance with `rxollama pull qwen3`")
    output.note(f"model {models[0]}; -m or OLLAMA_MODEL chooses another")
    return models[0]


def _chats(entry: ModelEntry) -> bool:
    return not entry.capabilities or "completion" in entry.capabilities
