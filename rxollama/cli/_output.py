"""Where words go: the answer to standard output, all else beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from io import TextIOWrapper
from typing import TextIO, cast

from rich.console import Console
from rich.text import Text

from rxollama.cli._keyboard import answer, forget

__all__ = ("CommandError", "Output", "clean")

_CONTROLS = {code: None for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(code) not in "\n\t"}


def clean(text: str) -> str:
    """Take out what would steer the terminal: the words come from a model, or from anybody."""
    return text.translate(_CONTROLS)


class CommandError(Exception):
    """
    Say what keeps a command from being done, where the library has no word for it.

    Args:
        message: The reason.
        code: The exit code.
    """

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class _Paper(Console):
    """Be rich's console, which leaves a broken pipe to the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Output:
    """
    Know where to write.

    Args:
        shows_off: Whether an answer's numbers are told where only the answer is asked for, too: a demo is to be seen.

    Attributes:
        is_terminal: Whether standard output is a terminal: somebody watches.
        screen: Standard output, for the styled things that a terminal gets.
        aside: For what is said beside the answer: the terminal, or standard error where the answer is piped.
    """

    def __init__(self, *, shows_off: bool = False) -> None:
        self.shows_off = shows_off
        # Neither a terminal's charset nor a broken input is a reason to fail in the middle of an answer.
        for stream in filter(None, (sys.stdin, sys.stdout, sys.stderr)):
            cast("TextIOWrapper", stream).reconfigure(errors="replace")
        # Later, while tools run, `sys.stdout` may be for what they print.
        self._stdout: TextIO = sys.stdout
        self.is_terminal = sys.stdout.isatty()
        self.screen: Console = _Paper(highlight=False, markup=False)
        self._errors: Console = _Paper(stderr=True, highlight=False, markup=False)
        self.aside = self.screen if self.is_terminal else self._errors

    def write(self, text: str) -> None:
        """Write to standard output, at once and as it is."""
        self._stdout.write(text)
        self._stdout.flush()

    @contextmanager
    def apart(self) -> Generator[None, None, None]:
        """Let what others write to standard output go to standard error, be they programs that are run."""
        sys.stdout.flush()
        place, nowhere = sys.stdout.fileno(), os.open(os.devnull, os.O_WRONLY)
        answer = os.fdopen(os.dup(place), "w", encoding=sys.stdout.encoding, errors="replace")
        usual, self._stdout = self._stdout, answer
        os.dup2(sys.stderr.fileno() if sys.stderr else nowhere, place)
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            self._stdout = usual
            os.dup2(answer.fileno(), place)
            # What a reader did not take, who left or is left, goes nowhere.
            os.dup2(nowhere, answer.fileno())
            answer.close()
            os.close(nowhere)

    def line(self, prompt: str) -> str:
        """Ask for a line; raises EOFError where none is left."""
        return input(self._put(prompt))

    def answer(self, prompt: str) -> str:
        """Ask for a line that answers a question, and nothing that was typed before; as `line`."""
        forget()
        try:
            return answer(self._put(prompt))
        except (EOFError, KeyboardInterrupt):
            # What comes next would be drawn over the question.
            self.aside.print()
            raise

    def _put(self, prompt: str) -> str:
        if self.is_terminal:
            return prompt
        # The answers go elsewhere, and the prompt is none of them.
        self.aside.print(prompt, end="")
        return ""

    def note(self, text: str) -> None:
        """Say something beside the answer, in one line."""
        _say(self.aside, Text(_line(text), style="dim"))

    def fail(self, reason: object) -> None:
        """Say in one line what went wrong."""
        _say(self._errors, Text.assemble(("rxollama: ", "bold red"), _line(str(reason))))

    def give_up(self) -> None:
        """Forget what a reader who does not read has not taken, so that it does not hold up the exit."""
        if not self.is_terminal:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(console: Console, text: Text) -> None:
    # A file gets one line, however long; on a terminal words stay whole.
    console.print(text, soft_wrap=not console.is_terminal)


def _line(text: str) -> str:
    return clean(" ".join(text.split()))
