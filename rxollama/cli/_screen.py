"""An answer on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO, cast

from rxollama.cli._captured_output import Overheard
from rxollama.cli._format import summary
from rxollama.cli._output import Output
from rxollama.cli._terminal_display import View
from rxollama.messages import ChatResponse

__all__ = ("Screen",)


class Screen(View):
    """
    Show an answer on a terminal, and ask there.

    Args:
        output: The terminal.
        model: The model that is waited for.
    """

    def __init__(self, output: Output, model: str) -> None:
        super().__init__(output.screen, model)
        self._output = output

    @property
    def columns(self) -> int:
        """How wide a line is."""
        return self._output.screen.width

    def line(self, prompt: str) -> str:
        """Ask for a line."""
        return self._output.answer(prompt)

    @contextmanager
    def overheard(self) -> Generator[None, None, None]:
        """Put what tools print above what moves."""
        # Standard error may go elsewhere, and is then no matter of the screen.
        errors = self._instead_of(sys.stderr) if sys.stderr.isatty() else sys.stderr
        with redirect_stdout(self._instead_of(sys.stdout)), redirect_stderr(errors):
            yield

    def _instead_of(self, stream: TextIO) -> TextIO:
        return cast("TextIO", Overheard(stream, self.hear))

    def finish(self, response: ChatResponse) -> None:
        """Put its numbers under it."""
        self.say(summary(response))

    def break_off(self, reason: str) -> None:
        """Say that it has no end."""
        self.say(reason)
