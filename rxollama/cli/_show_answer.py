"""One answer: asked for, shown while it comes, and summed up."""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from time import perf_counter_ns

from reactivex import Observable
from reactivex import operators as rx

from rxollama import RxOllamaError, iterate
from rxollama import operators as op
from rxollama.cli._consent import Consent, Question
from rxollama.cli._display import Display
from rxollama.cli._format import known
from rxollama.cli._keyboard import unchanged
from rxollama.cli._output import Output
from rxollama.cli._pipe_display import Pipe
from rxollama.cli._screen import Screen
from rxollama.cli._tool_lines import cut, shown_call
from rxollama.messages import ChatChunk, ChatResponse, ClientTiming, ResponseBuilder, ToolCall
from rxollama.tools import Approval

__all__ = ("Answer",)

# More updates than these nobody sees.
_SECONDS_PER_UPDATE = 1 / 30
# Of a call that nobody is asked about.
_CALL = 240


class Answer:
    """
    Be one answer.

    The stream lives on the background loop and is added up there while this thread writes, so that a terminal or a
    pipe that stops reading holds up nobody but this thread.

    Args:
        output: Where to show it.
        model: The model that is asked.
        has_tools: Whether the calls in it are run.
        consent: Asks before each of them; None where nobody is asked.
    """

    def __init__(self, output: Output, model: str, *, has_tools: bool = False, consent: Consent | None = None) -> None:
        self._display: Display = Screen(output, model) if output.is_terminal else Pipe(output, tells=has_tools)
        self._has_tools = has_tools
        self._consent = consent
        self._builder = ResponseBuilder()
        self._seen = _Seen()
        # The calls without a result, and those of them that have not been shown.
        self._calls: deque[ToolCall] = deque()
        self._unshown: list[ToolCall] = []
        self._question: Question | None = None

    @property
    def response(self) -> ChatResponse:
        """What has been shown so far."""
        return self._builder.snapshot()

    def show(self, stream: Observable[ChatChunk]) -> None:
        """
        Show the answer until it ends.

        Args:
            stream: The chat.

        Raises:
            RxOllamaError: When it fails; what arrived has been shown.
            KeyboardInterrupt: At Ctrl-C; the request is closed, and what arrived has been shown.
        """
        display = self._display
        updates = stream.pipe(rx.do_action(self._seen.add), op.coalesce(_SECONDS_PER_UPDATE))
        items: Observable[ChatChunk | Question] = self._consent.among(updates) if self._consent else updates
        overheard = display.overheard() if self._has_tools else nullcontext()
        keyboard = unchanged() if self._has_tools else nullcontext()
        try:
            with keyboard, display, overheard, iterate(items) as coming:
                for item in coming:
                    self._take(item)
        except KeyboardInterrupt:
            display.break_off(known(self._seen.timing(), "interrupted"))
            raise
        except RxOllamaError:
            if any(message.content or message.thinking for message in self.response.messages):
                display.break_off(known(self._seen.timing(), "broken off"))
            raise
        display.finish(self.response)

    def _take(self, item: ChatChunk | Question) -> None:
        if isinstance(item, Question):
            self._question = item
        else:
            self._builder.add(item)
            self._show(item)
        # A question is not held up on its way as chunks are, and may come before the words that led to it.
        question, consent = self._question, self._consent
        if question is not None and consent is not None and question.call in self._unshown:
            self._question = None
            self._unshown.remove(question.call)
            self._settle(question, consent)

    def _show(self, chunk: ChatChunk) -> None:
        display = self._display
        if chunk.is_tool_progress:
            display.progress(chunk)
        elif self._calls and chunk.message.role == "tool":
            self._end(chunk)
        else:
            display.take(chunk)
        for call in chunk.message.tool_calls:
            self._calls.append(call)
            if self._consent is not None:
                self._unshown.append(call)
                continue
            display.call(cut(shown_call(call), _CALL))
            if self._has_tools:
                display.start(call)

    def _end(self, chunk: ChatChunk) -> None:
        # Results come in the order of the calls.
        call = self._calls.popleft()
        if call in self._unshown:
            # It did not get as far as to be asked about.
            self._unshown.remove(call)
            self._display.call(cut(shown_call(call), _CALL))
        self._display.end(call, chunk)

    def _settle(self, question: Question, consent: Consent) -> None:
        call, display = question.call, self._display
        if consent.is_given(call):
            display.call(cut(shown_call(call), _CALL))
            allowed: Approval = True
        else:
            with display.paused():
                allowed = consent.ask(call, display)
        if allowed is True:
            display.start(call)
        question.settle(allowed)


class _Seen:
    """Keep what is seen of a model that may never tell its numbers; runs on the stream's loop."""

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
