"""The live view of an answer: what is finished scrolls away, what still grows moves at the bottom."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from time import monotonic
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from rxollama.cli._format import duration
from rxollama.cli._markdown_blocks import Blocks, recent
from rxollama.cli._output import clean
from rxollama.cli._render import Prose, Thoughts
from rxollama.cli._running import Running
from rxollama.cli._tool_lines import called, returned
from rxollama.messages import ChatChunk, ToolCall

__all__ = ("View", "waiting")

_SECONDS_PER_FRAME = 1 / 12
_LONG_WAIT = 5.0
_THINKING_LINES = 6
# What stands around the growing part: a blank line above and below it, the status, and the cursor's own line.
_AROUND = 4


class _Part(Protocol):
    """Be the part of an answer that is growing."""

    def add(self, text: str) -> list[RenderableType]:
        """Take in the next piece; return what is finished by it."""
        ...

    def end(self) -> list[RenderableType]:
        """Return what is left."""
        ...

    def tail(self, console: Console) -> RenderableType:
        """Return what to show of what is left."""
        ...


class _Thinking:
    """Show thinking as its last few lines, and all of it when it is over."""

    name = "thinking"

    def __init__(self) -> None:
        self._began = monotonic()
        self._parts: list[str] = []
        self._tail = ""

    def add(self, text: str) -> list[RenderableType]:
        self._parts.append(text)
        self._tail += text
        return []

    def end(self) -> list[RenderableType]:
        title = f"thinking · {duration(monotonic() - self._began)}"
        text = "".join(self._parts).strip()
        return [Thoughts(title, text)] if text else []

    def tail(self, console: Console) -> RenderableType:
        lines = max(1, min(_THINKING_LINES, console.height - _AROUND - 1))
        # Parts are dropped in one go now and then, so that what is seen is not laid out anew each time.
        self._tail = recent(self._tail, _THINKING_LINES * console.width)
        return Thoughts("thinking", self._tail.strip(), lines)


class _Answer:
    """Show the answer as Markdown, block by block."""

    name = "answering"

    def __init__(self) -> None:
        self._blocks = Blocks()

    def add(self, text: str) -> list[RenderableType]:
        return [Prose(block) for block in self._blocks.feed(text) if block.strip()]

    def end(self) -> list[RenderableType]:
        rest = self._blocks.rest
        return [Prose(rest)] if rest.strip() else []

    def tail(self, console: Console) -> RenderableType:
        lines = max(1, console.height - _AROUND)
        return Prose(self._blocks.tail(lines, console.width), lines=lines)


class View:
    """
    Show an answer on a terminal while it comes.

    The region that is redrawn never exceeds the screen. Redrawing has a thread and a pace of its own.

    Args:
        console: The terminal.
        model: The model that is waited for.
    """

    def __init__(self, console: Console, model: str) -> None:
        self._console = console
        self._part: _Part | None = None
        self._running = Running()
        # Whether the last thing printed was about a tool: such things stand together.
        self._in_tools = False
        self._model = clean(model)
        self._status = _Status(model)
        # A region that moves and a line printed above it must not be drawn at the same time, which rich's own thread
        # does not mind.
        self._drawing = Lock()
        self._over = Event()
        self._mover = Thread(target=self._move, name="rxollama-view", daemon=True)
        self._still = False
        self._heard: list[str] = []
        self._live = self._new_live()

    def _new_live(self) -> Live:
        return Live(
            _Frame(None, self._status),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        """Begin to show, with a spinner."""
        self._live.start(refresh=True)
        self._mover.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave on the screen what came, and nothing that moves."""
        try:
            self._close()
        finally:
            self._over.set()
            self._mover.join()
            self._live.update(Text())
            self._live.stop()

    def _move(self) -> None:
        while not self._over.wait(_SECONDS_PER_FRAME):
            with self._drawing:
                self._live.refresh()

    @contextmanager
    def paused(self) -> Generator[None, None, None]:
        """Let nothing move, while somebody is asked."""
        with self._drawing:
            self._still = True
            self._live.update(Text())
            self._live.stop()
        try:
            yield
        finally:
            # One that was stopped does not crop any more.
            with self._drawing:
                self._still = False
                for line in self._heard:
                    self._console.print(_overheard(line))
                self._heard.clear()
                self._live = self._new_live()
                self._live.start(refresh=True)

    def hear(self, line: str) -> None:
        """Put what a tool prints above what moves; from any thread."""
        with self._drawing:
            if self._still:
                self._heard.append(line)
            else:
                self._console.print(_overheard(line))

    def take(self, chunk: ChatChunk) -> None:
        """Show what a chunk adds to what is thought and said."""
        self._grow(_Thinking, chunk.message.thinking)
        self._grow(_Answer, chunk.message.content)
        self._update()

    def call(self, text: str) -> None:
        """Show a call, in the words of `shown_call`."""
        self._close()
        self._print(called(text), of_tools=True)

    def start(self, call: ToolCall) -> None:
        """Show that a tool runs."""
        self._running.start(call)
        self._rest()

    def progress(self, chunk: ChatChunk) -> None:
        """Show how far a tool is."""
        self._running.progress(chunk.message, chunk.tool_progress)
        self._update()

    def end(self, call: ToolCall, chunk: ChatChunk) -> None:
        """Show what a tool brought."""
        self._running.end(call)
        self._close()
        self._print(returned(chunk), of_tools=True)
        self._rest()

    def say(self, text: str) -> None:
        """Put a line under the answer."""
        self._print(Text(text, style="dim"))

    def _rest(self) -> None:
        """Say what is waited for while no word comes."""
        self._status.name = self._running.title or f"waiting for {self._model}"
        self._update()

    def _update(self) -> None:
        if self._part is not None:
            tail: RenderableType | None = self._part.tail(self._console)
        else:
            tail = self._running.tail(max(1, self._console.height - _AROUND))
        self._live.update(_Frame(tail, self._status))

    def _grow(self, kind: type[_Thinking | _Answer], text: str) -> None:
        if not text:
            return
        part = self._part
        if not isinstance(part, kind):
            self._close()
            self._part = part = kind()
            self._status.name = kind.name
        for finished in part.add(clean(text)):
            self._print(finished)

    def _close(self) -> None:
        part, self._part = self._part, None
        for finished in part.end() if part else []:
            self._print(finished)

    def _print(self, finished: RenderableType, *, of_tools: bool = False) -> None:
        gap = () if of_tools and self._in_tools else ("",)
        self._in_tools = of_tools
        # It is printed above the region, where it must not be drawn a second time: both in one go.
        with self._drawing, self._console:
            self._live.update(_Frame(None, self._status), refresh=self._live.is_started)
            self._console.print(Group(*gap, finished))


class _Status:
    """Be the line that moves: what is going on, and for how long."""

    def __init__(self, model: str) -> None:
        self.name = ""
        self._model = model
        self._began = monotonic()
        self._spinner = Spinner("dots", style="cyan")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        elapsed = monotonic() - self._began
        text = f"{self.name} · {duration(elapsed)}" if self.name else waiting(self._model, elapsed)
        self._spinner.update(text=Text(text, style="dim", no_wrap=True, overflow="ellipsis"))
        yield self._spinner


def waiting(model: str, elapsed: float) -> str:
    """Word the wait for the first word."""
    line = f"waiting for {clean(model)} · {duration(elapsed)}"
    return line if elapsed < _LONG_WAIT else f"{line} · loading a model can take minutes"


class _Frame:
    """Be one picture of the region that is redrawn."""

    def __init__(self, part: RenderableType | None, status: _Status) -> None:
        self._part = part
        self._status = status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Segment.line()
        if self._part is not None:
            yield self._part
            yield Segment.line()
        yield self._status


def _overheard(line: str) -> Text:
    return Text(clean(line), style="dim")
