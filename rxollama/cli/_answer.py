"""One answer: asked for, shown while it comes, and summed up."""

from __future__ import annotations

from time import perf_counter_ns
from types import TracebackType
from typing import Protocol, Self

from reactivex import Observable
from reactivex import operators as rx

from rxollama import RxOllamaError, iterate
from rxollama import operators as op
from rxollama.cli._numbers import ending, known, summary
from rxollama.cli._output import Output
from rxollama.cli._view import View
from rxollama.messages import ChatChunk, ChatResponse, ClientTiming
from rxollama.messages._response import ResponseBuilder

__all__ = ("Answer",)

# More updates than these nobody sees.
_SECONDS_PER_UPDATE = 1 / 30


class _Display(Protocol):
    """Show an answer: live on a terminal, or as bare words in a pipe."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def take(self, chunk: ChatChunk) -> None:
        """Show what a chunk adds."""
        ...

    def finish(self, response: ChatResponse) -> None:
        """Say how it ended."""
        ...

    def break_off(self, reason: str) -> None:
        """Say that it has no end."""
        ...


class Answer:
    """
    Be one answer.

    The stream lives on the background loop and is added up there while this thread writes, so that a terminal or a
    pipe that stops reading holds up nobody but this thread.

    Args:
        output: Where to show it.
        model: The model that is asked.
    """

    def __init__(self, output: Output, model: str) -> None:
        self._display: _Display = _Screen(output, model) if output.is_terminal else _Pipe(output)
        self._builder = ResponseBuilder()
        self._seen = _Seen()

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
        try:
            with display, iterate(updates) as chunks:
                for chunk in chunks:
                    self._builder.add(chunk)
                    display.take(chunk)
        except KeyboardInterrupt:
            display.break_off(known(self._seen.timing(), "interrupted"))
            raise
        except RxOllamaError:
            if self.response.message.content or self.response.message.thinking:
                display.break_off(known(self._seen.timing(), "broken off"))
            raise
        display.finish(self.response)


class _Screen(View):
    """Show an answer on a terminal."""

    def __init__(self, output: Output, model: str) -> None:
        super().__init__(output.screen, model)

    def finish(self, response: ChatResponse) -> None:
        self.say(summary(response))

    def break_off(self, reason: str) -> None:
        self.say(reason)


class _Pipe:
    """Write an answer's content, and nothing else, as it comes."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Who left, or wants to leave, needs no last line.
        leaves = isinstance(error, BrokenPipeError | KeyboardInterrupt)
        if self._last not in {"", "\n"} and not leaves:
            self._output.write("\n")

    def take(self, chunk: ChatChunk) -> None:
        if content := chunk.message.content:
            self._output.write(content)
            self._last = content[-1]

    def finish(self, response: ChatResponse) -> None:
        told = [summary(response)] if self._output.shows_off else ending(response.done_reason)
        for line in told:
            self._output.note(line)

    def break_off(self, reason: str) -> None:
        self._output.note(reason)


class _Seen:
    """Keep what is seen of an answer that may never tell its numbers; runs on the stream's loop."""

    def __init__(self) -> None:
        self._began = perf_counter_ns()
        self._first: int | None = None
        self._count = 0

    def add(self, chunk: ChatChunk) -> None:
        self._count += 1
        if self._first is None and chunk.visible:
            self._first = perf_counter_ns() - self._began

    def timing(self) -> ClientTiming:
        wall = perf_counter_ns() - self._began
        return ClientTiming(time_to_first_token=self._first, wall_duration=wall, chunk_count=self._count)
