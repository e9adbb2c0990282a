"""An answer in a pipe."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Self

from rxollama.cli._format import ending, summary
from rxollama.cli._output import Output
from rxollama.cli._render import Marked
from rxollama.cli._tool_lines import called, returned, shown_result
from rxollama.messages import ChatChunk, ChatResponse, ToolCall

__all__ = ("Pipe",)


class Pipe:
    """
    Write an answer's content, and nothing else, as it comes.

    Args:
        output: Where to write it.
        tells: Whether to tell of tools, beside it.
    """

    def __init__(self, output: Output, *, tells: bool) -> None:
        self._output = output
        self._tells = tells
        self._last = ""
        self._parted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Who left, or wants to leave, needs no last line.
        if not isinstance(error, BrokenPipeError | KeyboardInterrupt):
            self._end_line()

    def _end_line(self) -> None:
        if self._last not in {"", "\n"}:
            self._output.write("\n")

    def take(self, chunk: ChatChunk) -> None:
        """Write what a chunk adds to what is said."""
        if content := chunk.message.content:
            if self._parted and self._last:
                # What is said after a call is a paragraph of its own.
                self._end_line()
                self._output.write("\n")
            self._parted = False
            self._output.write(content)
            self._last = content[-1]

    def call(self, text: str) -> None:
        """Tell of a call."""
        self._parted = self._tells
        self._tell(called(text), f"→ {text}")

    def start(self, call: ToolCall) -> None:
        """Say nothing: it has been told."""

    def progress(self, chunk: ChatChunk) -> None:
        """Say nothing: a file would keep what is only for the moment."""

    def end(self, call: ToolCall, chunk: ChatChunk) -> None:  # noqa: ARG002 - The chunk names it.
        """Tell what a tool brought."""
        self._tell(returned(chunk), f"{'✗' if chunk.tool_failed else '✓'} {shown_result(chunk)}")

    def _tell(self, marked: Marked, plain: str) -> None:
        if self._tells:
            aside = self._output.aside
            aside.print(marked) if aside.is_terminal else aside.print(plain, soft_wrap=True)

    def paused(self) -> AbstractContextManager[None]:
        """Do nothing: nothing moves."""
        return nullcontext()

    def overheard(self) -> AbstractContextManager[object]:
        """Let tools print to standard error."""
        return self._output.apart()

    @property
    def columns(self) -> int:
        """How wide a line is."""
        return self._output.aside.width

    def line(self, prompt: str) -> str:
        """Ask for a line."""
        return self._output.answer(prompt)

    def finish(self, response: ChatResponse) -> None:
        """Say what a reader of the answer has to know."""
        told = [summary(response)] if self._output.shows_off else ending(response.done_reason)
        for line in told:
            self._output.note(line)

    def break_off(self, reason: str) -> None:
        """Say that it has no end."""
        self._output.note(reason)
