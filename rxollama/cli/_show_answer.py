"""One answer: its stream, its display, and the questions before its tool calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter_ns
from types import TracebackType
from typing import Any, Protocol, Self

import reactivex
from reactivex import Observable
from reactivex import operators as rx

from rxollama import RxOllamaError, iterate
from rxollama import operators as op
from rxollama.cli._consent import Consent, Prompter, Question
from rxollama.cli._format import format_restart, format_unfinished
from rxollama.cli._keyboard import restored_terminal
from rxollama.cli._output import Output
from rxollama.cli._pipe_display import PipeDisplay
from rxollama.cli._terminal_display import TerminalDisplay
from rxollama.cli._tool_lines import format_call, shorten
from rxollama.messages import ChatChunk, ChatResponse, ClientTiming, MeterReading, ResponseBuilder, ToolCall
from rxollama.tools import Approval

__all__ = ("Answer", "Display")

# The eye does not see more updates than these.
_SECONDS_PER_UPDATE = 1 / 30
# The status line counts on by itself.
_SECONDS_PER_READING = 1.0
# The longest text of a call that is shown without a question.
_CALL_LIMIT = 240


class Display(Prompter, Protocol):
    """A place to show an answer: a terminal or a pipe."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def add(self, chunk: ChatChunk) -> None:
        """Show the thinking and the content of a chunk."""
        ...

    def start_tool(self, call: ToolCall) -> None:
        """Show that a tool runs."""
        ...

    def begin_over(self, line: str, dropped: Iterable[ToolCall]) -> None:
        """Show in a line that the answer begins over, and end the calls that it dropped."""
        ...

    def show_progress(self, chunk: ChatChunk) -> None:
        """Show a tool's progress."""
        ...

    def end_tool(self, call: ToolCall, chunk: ChatChunk) -> None:
        """Show a tool's result."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Return a context in which nothing is drawn, for a question."""
        ...

    def captured(self) -> AbstractContextManager[object]:
        """Return a context in which the output of tools is kept out of the answer."""
        ...

    def finish(self, response: ChatResponse) -> None:
        """Show how the answer ended."""
        ...

    def abort(self, summary: str) -> None:
        """Show that the answer did not finish."""
        ...


class Answer:
    """
    One answer and its display.

    The stream lives on the background loop, and its chunks are added up there while this thread writes. So a terminal
    or a pipe that stops reading holds up this thread only, and never the server.

    Args:
        output: The output.
        model: The model that is asked.
        has_tools: Whether the calls in it are run.
        consent: The user's consent to each call, or None if the user is not asked.
    """

    def __init__(self, output: Output, model: str, *, has_tools: bool = False, consent: Consent | None = None) -> None:
        terminal = TerminalDisplay(output, model) if output.is_terminal else None
        self._display: Display = terminal or PipeDisplay(output, shows_tools=has_tools)
        self._terminal = terminal
        self._has_tools = has_tools
        self._consent = consent
        self._builder = ResponseBuilder()
        self._received = _ReceivedChunks()
        # The calls without a result, and those of them that are not shown yet.
        self._calls: deque[ToolCall] = deque()
        self._unshown: list[ToolCall] = []
        self._question: Question | None = None

    @property
    def response(self) -> ChatResponse:
        """The answer as far as it has been shown."""
        return self._builder.snapshot()

    def show(self, stream: Observable[ChatChunk]) -> None:
        """
        Show the answer until it ends.

        Args:
            stream: The chat.

        Raises:
            RxOllamaError: If the stream fails. The part that arrived has been shown.
            KeyboardInterrupt: At Ctrl-C. The request is closed, and what arrived has been shown.
        """
        display = self._display
        shared = stream if self._terminal is None else stream.pipe(op.share())
        updates = shared.pipe(rx.do_action(self._received.add), op.coalesce(_SECONDS_PER_UPDATE))
        items: Observable[Any] = self._consent.with_questions(updates) if self._consent else updates
        if self._terminal is not None:
            items = rx.merge(_expecting(shared, self._terminal))(items)
        captured = display.captured() if self._has_tools else nullcontext()
        keyboard = restored_terminal() if self._has_tools else nullcontext()
        try:
            with keyboard, display, captured, iterate(items, overflow="sum") as arriving:
                for item in arriving:
                    self._receive(item)
        except KeyboardInterrupt:
            display.abort(format_unfinished(self._received.timing(), "interrupted"))
            raise
        except RxOllamaError:
            if any(message.content or message.thinking for message in self.response.messages):
                display.abort(format_unfinished(self._received.timing(), "broken off"))
            raise
        display.finish(self.response)

    def _receive(self, item: ChatChunk | Question) -> None:
        if isinstance(item, Question):
            self._question = item
        else:
            self._builder.add(item)
            self._show(item)
        # Chunks are delayed by `coalesce` and questions are not, so a question may arrive before its call.
        question, consent = self._question, self._consent
        if question is not None and consent is not None and question.call in self._unshown:
            self._question = None
            self._unshown.remove(question.call)
            self._ask(question, consent)

    def _show(self, chunk: ChatChunk) -> None:
        display = self._display
        if chunk.restart is not None:
            display.begin_over(format_restart(chunk.restart), self._calls)
            self._calls.clear()
            self._unshown.clear()
        if chunk.is_tool_progress:
            display.show_progress(chunk)
        elif self._calls and chunk.message.role == "tool":
            self._end_call(chunk)
        else:
            display.add(chunk)
        for call in chunk.message.tool_calls:
            self._calls.append(call)
            if self._consent is not None:
                self._unshown.append(call)
                continue
            self._show_call(call)
            if self._has_tools:
                display.start_tool(call)

    def _show_call(self, call: ToolCall) -> None:
        self._display.show_call(shorten(format_call(call), _CALL_LIMIT))

    def _end_call(self, chunk: ChatChunk) -> None:
        # Results arrive in the order of the calls.
        call = self._calls.popleft()
        if call in self._unshown:
            # It failed before its question, for instance because there is no such tool.
            self._unshown.remove(call)
            self._show_call(call)
        self._display.end_tool(call, chunk)

    def _ask(self, question: Question, consent: Consent) -> None:
        call, display = question.call, self._display
        if consent.is_always_allowed(call):
            self._show_call(call)
            allowed: Approval = True
        else:
            with display.paused():
                allowed = consent.ask(call, display)
        if allowed is True:
            display.start_tool(call)
        question.answer(allowed)


def _expecting(stream: Observable[ChatChunk], display: TerminalDisplay) -> Observable[Any]:
    """Return a stream without items and without an error, which shows how long the first token is expected to take."""

    def show(reading: MeterReading) -> None:
        display.expect(reading.expected)

    # The error is that of the answer, and must not overtake its last chunks.
    return stream.pipe(op.meter(_SECONDS_PER_READING), rx.do_action(show), rx.ignore_elements()).pipe(
        rx.catch(reactivex.empty())
    )


class _ReceivedChunks:
    """The number and the times of the model's chunks, for an answer that never sends its metrics."""

    def __init__(self) -> None:
        self._began = perf_counter_ns()
        self._first: int | None = None
        self._count = 0

    def add(self, chunk: ChatChunk) -> None:
        if chunk.message.role == "tool":
            return
        self._count += 1
        if self._first is None and chunk.visible:
            self._first = perf_counter_ns() - self._began

    def timing(self) -> ClientTiming:
        wall = perf_counter_ns() - self._began
        return ClientTiming(time_to_first_token=self._first, wall_duration=wall, chunk_count=self._count)
