"""
The display of an answer on a terminal.

A finished part is printed and scrolls away. The growing part is drawn in a region below it, which is redrawn by a
thread of its own and never exceeds the screen: a terminal cannot move the cursor into lines that have scrolled away.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self, TextIO, cast

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from rxollama.cli._captured_output import CapturedOutput
from rxollama.cli._format import format_summary
from rxollama.cli._live_parts import Frame, GrowingContent, GrowingPart, GrowingThinking, Status, free_lines
from rxollama.cli._output import Output, strip_controls
from rxollama.cli._tool_lines import RunningTools, call_line, result_line
from rxollama.messages import ChatChunk, ChatResponse, ToolCall

__all__ = ("TerminalDisplay",)

_SECONDS_PER_FRAME = 1 / 12


class TerminalDisplay:
    """
    An answer on a terminal, shown live while it arrives.

    Args:
        output: The terminal.
        model: The model that is asked.
    """

    def __init__(self, output: Output, model: str) -> None:
        self._output = output
        self._console = output.console
        self._part: GrowingPart | None = None
        self._running = RunningTools()
        # Lines about tools stand together, without blank lines between them.
        self._after_tool_line = False
        self._model = strip_controls(model)
        self._status = Status(self._model)
        # rich's own refreshing thread may draw the region while a line is printed above it. Ours takes this lock.
        self._drawing = Lock()
        self._ended = Event()
        self._refresher = Thread(target=self._refresh, name="rxollama-display", daemon=True)
        self._is_paused = False
        self._captured_lines: list[str] = []
        self._live = self._new_live()

    def _new_live(self) -> Live:
        return Live(
            Frame(None, self._status),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        """Show the status line."""
        self._live.start(refresh=True)
        self._refresher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Print what was still growing, and remove the status line."""
        try:
            self._end_part()
        finally:
            self._ended.set()
            self._refresher.join()
            self._live.update(Text())
            self._live.stop()

    def _refresh(self) -> None:
        while not self._ended.wait(_SECONDS_PER_FRAME):
            with self._drawing:
                self._live.refresh()

    @contextmanager
    def paused(self) -> Generator[None, None, None]:
        """Draw nothing while a question is asked. The output of tools meanwhile is shown at the end."""
        with self._drawing:
            self._is_paused = True
            self._live.update(Text())
            self._live.stop()
        try:
            yield
        finally:
            with self._drawing:
                self._is_paused = False
                for line in self._captured_lines:
                    self._print_captured(line)
                self._captured_lines.clear()
                # A Live that was stopped no longer crops, so a new one takes its place.
                self._live = self._new_live()
                self._live.start(refresh=True)

    @contextmanager
    def captured(self) -> Generator[None, None, None]:
        """Show what tools print above the region that is redrawn."""
        # If standard error is not the terminal, its lines do not disturb the screen.
        errors = self._capture(sys.stderr) if sys.stderr.isatty() else sys.stderr
        with redirect_stdout(self._capture(sys.stdout)), redirect_stderr(errors):
            yield

    def _capture(self, stream: TextIO) -> TextIO:
        return cast("TextIO", CapturedOutput(stream, self._on_captured_line))

    def _on_captured_line(self, line: str) -> None:
        with self._drawing:
            if self._is_paused:
                self._captured_lines.append(line)
            else:
                self._print_captured(line)

    def _print_captured(self, line: str) -> None:
        self._console.print(Text(strip_controls(line), style="dim"))

    def expect(self, seconds: float | None) -> None:
        """Show how long the first token is still expected to take; on any thread."""
        self._status.expect(seconds)

    def add(self, chunk: ChatChunk) -> None:
        """Show the thinking and the content of a chunk."""
        self._grow(GrowingThinking, chunk.message.thinking)
        self._grow(GrowingContent, chunk.message.content)
        self._update()

    def show_call(self, text: str) -> None:
        """Show a call, whose text is that of `format_call`."""
        self._end_part()
        self._print(call_line(text), is_tool_line=True)

    def start_tool(self, call: ToolCall) -> None:
        """Show that a tool runs."""
        self._running.start(call)
        self._wait()

    def begin_over(self, line: str, dropped: Iterable[ToolCall]) -> None:
        """Show in a line that the answer begins over, and end the calls that it dropped."""
        for call in dropped:
            self._running.end(call)
        # The line comes below what was printed. A part that was still growing was not printed, and is dropped.
        self._part = None
        self._print(Text(line, style="dim"))
        self._wait()

    def show_progress(self, chunk: ChatChunk) -> None:
        """Show a tool's progress."""
        self._running.progress(chunk.message, chunk.tool_progress)
        self._update()

    def end_tool(self, call: ToolCall, chunk: ChatChunk) -> None:
        """Show a tool's result."""
        self._running.end(call)
        self._end_part()
        self._print(result_line(chunk), is_tool_line=True)
        self._wait()

    @property
    def columns(self) -> int:
        """The width of a line."""
        return self._console.width

    def read_answer(self, prompt: str) -> str:
        """Return the line that answers *prompt*. Raises EOFError at the end of input."""
        return self._output.read_answer(prompt)

    def finish(self, response: ChatResponse) -> None:
        """Show the metrics below the answer."""
        self._print(Text(format_summary(response), style="dim"))

    def abort(self, summary: str) -> None:
        """Show that the answer did not finish."""
        self._print(Text(summary, style="dim"))

    def _wait(self) -> None:
        self._status.name = self._running.title or f"waiting for {self._model}"
        self._update()

    def _update(self) -> None:
        if self._part is not None:
            tail: RenderableType | None = self._part.tail(self._console)
        else:
            tail = self._running.tail(free_lines(self._console))
        self._live.update(Frame(tail, self._status))

    def _grow(self, kind: type[GrowingThinking | GrowingContent], text: str) -> None:
        if not text:
            return
        part = self._part
        if not isinstance(part, kind):
            self._end_part()
            self._part = part = kind()
            self._status.name = kind.name
        for finished in part.add(strip_controls(text)):
            self._print(finished)

    def _end_part(self) -> None:
        part, self._part = self._part, None
        for finished in part.end() if part else []:
            self._print(finished)

    def _print(self, finished: RenderableType, *, is_tool_line: bool = False) -> None:
        gap = () if is_tool_line and self._after_tool_line else ("",)
        self._after_tool_line = is_tool_line
        # The region still holds this text. Both writes are flushed together, so that the text is never seen twice.
        with self._drawing, self._console:
            self._live.update(Frame(None, self._status), refresh=self._live.is_started)
            self._console.print(Group(*gap, finished))
