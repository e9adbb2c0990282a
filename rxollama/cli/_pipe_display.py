"""The display of an answer in a pipe."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Self

from rxollama.cli._format import format_ending, format_summary
from rxollama.cli._output import Output
from rxollama.cli._render import MarkedText
from rxollama.cli._tool_lines import call_line, format_result, result_line
from rxollama.messages import ChatChunk, ChatResponse, ToolCall

__all__ = ("PipeDisplay",)


class PipeDisplay:
    """
    An answer in a pipe: its content on standard output as it arrives, everything else beside it.

    Args:
        output: The output.
        shows_tools: Whether tool calls and results are shown beside the answer.
    """

    def __init__(self, output: Output, *, shows_tools: bool) -> None:
        self._output = output
        self._shows_tools = shows_tools
        self._last = ""
        self._after_call = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # After Ctrl-C, or when the reader has left, a write could block or fail.
        if not isinstance(error, BrokenPipeError | KeyboardInterrupt):
            self._end_line()

    def _end_line(self) -> None:
        if self._last not in {"", "\n"}:
            self._output.write("\n")

    def add(self, chunk: ChatChunk) -> None:
        """Write the content of a chunk."""
        if content := chunk.message.content:
            if self._after_call and self._last:
                # Content after a call starts a new paragraph.
                self._end_line()
                self._output.write("\n")
            self._after_call = False
            self._output.write(content)
            self._last = content[-1]

    def show_call(self, text: str) -> None:
        """Show a call, whose text is that of `format_call`."""
        self._after_call = self._shows_tools
        self._show_beside(call_line(text), f"→ {text}")

    def start_tool(self, call: ToolCall) -> None:
        """Show nothing, since the call is already shown."""

    def begin_over(self, line: str, dropped: Iterable[ToolCall]) -> None:  # noqa: ARG002 - No call is drawn here.
        """Show in a line that the answer begins over. Text that was written cannot be taken back."""
        self._end_line()
        self._last, self._after_call = "", False
        self._output.note(line)

    def show_progress(self, chunk: ChatChunk) -> None:
        """Show nothing, since a file would keep what matters only for a moment."""

    def end_tool(self, call: ToolCall, chunk: ChatChunk) -> None:  # noqa: ARG002 - The chunk names the tool.
        """Show a tool's result."""
        self._show_beside(result_line(chunk), f"{'✗' if chunk.tool_failed else '✓'} {format_result(chunk)}")

    def _show_beside(self, styled: MarkedText, plain: str) -> None:
        if self._shows_tools:
            notes = self._output.notes
            notes.print(styled) if notes.is_terminal else notes.print(plain, soft_wrap=True)

    def paused(self) -> AbstractContextManager[None]:
        """Return a context that changes nothing, since nothing moves."""
        return nullcontext()

    def captured(self) -> AbstractContextManager[object]:
        """Return a context in which the output of tools goes to standard error."""
        return self._output.reserved()

    @property
    def columns(self) -> int:
        """The width of a line."""
        return self._output.notes.width

    def read_answer(self, prompt: str) -> str:
        """Return the line that answers *prompt*. Raises EOFError at the end of input."""
        return self._output.read_answer(prompt)

    def finish(self, response: ChatResponse) -> None:
        """Show an unusual ending, or all metrics in the demo."""
        always = self._output.always_summarize
        for line in [format_summary(response)] if always else format_ending(response.done_reason):
            self._output.note(line)

    def abort(self, summary: str) -> None:
        """Show that the answer did not finish."""
        self._output.note(summary)
