"""The program's output: the answer on standard output, all other text beside it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from io import TextIOWrapper
from typing import TextIO, cast

from rich.console import Console
from rich.text import Text

from rxollama import RxOllamaError
from rxollama.cli._keyboard import discard_typed, read_unrecorded
from rxollama.errors import InvalidValueError, ProtocolError, TruncatedError

__all__ = ("CommandError", "Output", "strip_controls")

_CONTROLS = {code: None for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(code) not in "\n\t"}

_TRUNCATED = "the answer ended before it was complete: ask again"
# The arguments of the library, as the command line names them.
_FIELDS = {"host": "--host", "model": "the model", "api_key": "OLLAMA_API_KEY", "prompt": "the prompt"}
# The last clause of a message, if it names an argument of the library.
_ADVICE_FOR_PROGRAMS = re.compile(r"[;:] [^;:]*\w=[^;:(]*(?= \(|$)")


def strip_controls(text: str) -> str:
    """Return *text* without control characters, with which a model or a server could steer the terminal."""
    return text.translate(_CONTROLS)


class CommandError(Exception):
    """
    A reason why a command cannot be run, other than an error of the library.

    Args:
        message: The reason, for the user.
        code: The exit code.
    """

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class _Console(Console):
    """A rich console that raises BrokenPipeError, where rich would end the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Output:
    """
    Standard output and standard error of one run.

    Args:
        always_summarize: Whether an answer's metrics are shown in a pipe too, as the demo does.

    Attributes:
        is_terminal: Whether standard output is a terminal.
        console: Standard output, for styled text on a terminal.
        notes: The console for text beside the answer: the terminal, or standard error if the answer is piped.
    """

    def __init__(self, *, always_summarize: bool = False) -> None:
        self.always_summarize = always_summarize
        # A character that the terminal cannot show, or undecodable input, must not end an answer midway.
        for stream in filter(None, (sys.stdin, sys.stdout, sys.stderr)):
            cast("TextIOWrapper", stream).reconfigure(errors="replace")
        # Kept, because `sys.stdout` is replaced while tools run.
        self._stdout: TextIO = sys.stdout
        self.is_terminal = sys.stdout.isatty()
        self.console: Console = _Console(highlight=False, markup=False)
        self._errors: Console = _Console(stderr=True, highlight=False, markup=False)
        self.notes = self.console if self.is_terminal else self._errors

    def write(self, text: str) -> None:
        """Write *text* to standard output unchanged, and flush it."""
        self._stdout.write(text)
        self._stdout.flush()

    @contextmanager
    def reserved(self) -> Generator[None, None, None]:
        """Reserve standard output for `write`. Other output, that of child processes too, goes to standard error."""
        sys.stdout.flush()
        descriptor, null = sys.stdout.fileno(), os.open(os.devnull, os.O_WRONLY)
        answer = os.fdopen(os.dup(descriptor), "w", encoding=sys.stdout.encoding, errors="replace")
        usual, self._stdout = self._stdout, answer
        os.dup2(sys.stderr.fileno() if sys.stderr else null, descriptor)
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            self._stdout = usual
            os.dup2(answer.fileno(), descriptor)
            # Closing flushes. If the reader has left or stopped reading, that would fail or block.
            os.dup2(null, answer.fileno())
            answer.close()
            os.close(null)

    def read_line(self, prompt: str) -> str:
        """Return a line from standard input. Raises EOFError at its end."""
        return input(self._show_prompt(prompt))

    def read_answer(self, prompt: str) -> str:
        """Return a line that was typed after *prompt* was shown. Raises EOFError at the end of input."""
        discard_typed()
        try:
            return read_unrecorded(self._show_prompt(prompt))
        except (EOFError, KeyboardInterrupt):
            # Without a line feed the next output would be drawn over the question.
            self.notes.print()
            raise

    def _show_prompt(self, prompt: str) -> str:
        if self.is_terminal:
            return prompt
        # `input` would write the prompt to standard output, among the answers.
        self.notes.print(prompt, end="")
        return ""

    def note(self, text: str) -> None:
        """Show *text* beside the answer, as one line."""
        _print_line(self.notes, Text(_one_line(text), style="dim"))

    def fail(self, error: CommandError | RxOllamaError) -> None:
        """Show an error on standard error, as one line."""
        _print_line(self._errors, Text.assemble(("rxollama: ", "bold red"), _one_line(_reason(error))))

    def discard_unread(self) -> None:
        """Discard what the reader of a pipe has not read, so that the exit does not wait for it."""
        if not self.is_terminal:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_line(console: Console, text: Text) -> None:
    # A terminal wraps between words. A file keeps one line, however long.
    console.print(text, soft_wrap=not console.is_terminal)


def _one_line(text: str) -> str:
    return strip_controls(" ".join(text.split()))


def _reason(error: CommandError | RxOllamaError) -> str:
    """Return an error's message in the terms of the command line: it names no arguments or attributes of Python."""
    match error:
        case TruncatedError():
            return _TRUNCATED
        case InvalidValueError():
            reason = str(error).removeprefix(f"{error.field}: ")
            return f"{_FIELDS.get(error.field, error.field)}: {_ADVICE_FOR_PROGRAMS.sub('', reason)}"
        case ProtocolError():
            return _ADVICE_FOR_PROGRAMS.sub("", str(error))
        case _:
            return str(error)
