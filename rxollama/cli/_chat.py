"""The chat: one question, or a conversation that keeps its history."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress

from rxollama import Message, Ollama, RxOllamaError, run
from rxollama import operators as op
from rxollama.cli._answer import Answer
from rxollama.cli._arguments import Options
from rxollama.cli._demo import MODEL, demo_server
from rxollama.cli._log import json_log
from rxollama.cli._output import CommandError, Output
from rxollama.messages import ModelEntry, Think
from rxollama.operators import Logger

with suppress(ImportError):
    # With it, `input` edits lines and remembers them.
    import readline  # noqa: F401 # pyright: ignore[reportUnusedImport] - Importing it is all it takes.

__all__ = ("chat",)

_PROMPT = ">>> "
_MORE = "... "
_QUOTES = '"""'
_DEMO = "demo: a scripted server plays recorded answers; no model runs here"
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
        CommandError: When there is nothing to ask, no model to ask, or no file to log to.
        RxOllamaError: When the question fails.
        KeyboardInterrupt: At Ctrl-C, unless this is a conversation.
    """
    # Standard input is closed in some surroundings, and then it is none.
    talks = options.prompt is None and bool(sys.stdin) and sys.stdin.isatty()
    prompt = "" if talks else _asked(options.prompt)
    log = json_log(options.json_log) if options.json_log else nullcontext()
    with log as logger, _server(options, output) as (ollama, model):
        talk = _Talk(ollama, model, options, output, logger)
        if talks:
            _converse(talk, output)
        else:
            talk.ask(prompt)
    return 0


class _Talk:
    """Hold what was said."""

    def __init__(self, ollama: Ollama, model: str, options: Options, output: Output, logger: Logger | None) -> None:
        self._ollama = ollama
        self._model = model
        self._think: Think | None = options.think
        self._output = output
        self._logger = logger
        self._history = [Message.system(options.system)] if options.system else []

    def ask(self, prompt: str) -> None:
        """Ask, show the answer, and remember both; of an interrupted answer, as much as was said."""
        history = [*self._history, Message.user(prompt)]
        stream = self._ollama.chat(self._model, history, think=self._think)
        if self._logger is not None:
            stream = stream.pipe(op.log(self._logger))
        answer = Answer(self._output, self._model)
        try:
            answer.show(stream)
        except KeyboardInterrupt:
            if not answer.response.message.content:
                raise
            self._history = [*history, *answer.response.messages]
            raise
        self._history = [*history, *answer.response.messages]


def _asked(prompt: str | None) -> str:
    asked = prompt
    if asked is None:
        asked = sys.stdin.read().rstrip("\n") if sys.stdin else ""
    if not asked.strip():
        raise CommandError("no prompt: give one as an argument or on standard input", code=2)
    return asked


def _converse(talk: _Talk, output: Output) -> None:
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
            except RxOllamaError as error:
                output.fail(error)
            output.note("")
        return
    output.note("")


def _read(output: Output) -> str:
    """Read a prompt of one line, or of several between triple quotes."""
    prompt = _line(_PROMPT, output).strip()
    if not prompt.startswith(_QUOTES):
        return prompt
    prompt = prompt.removeprefix(_QUOTES)
    while not prompt.endswith(_QUOTES):
        prompt += "\n" + _line(_MORE, output)
    return prompt.removesuffix(_QUOTES).strip()


def _line(prompt: str, output: Output) -> str:
    if output.is_terminal:
        return input(prompt)
    # The answers go elsewhere, and the prompt is none of them.
    output.aside.print(prompt, end="")
    return input()


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
