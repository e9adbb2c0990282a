"""The pull: a model on its way, with a bar for each of its layers."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.filesize import decimal
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.spinner import Spinner
from rich.text import Text

from rxollama import Ollama, iterate
from rxollama.cli._arguments import Options
from rxollama.cli._output import Output, clean
from rxollama.messages import Progress as Step

__all__ = ("pull",)

_STOPPED = "stopped; what has been fetched is kept, and the next pull goes on from there"
_TENTHS = 10
_WIDE = 72


def pull(options: Options, output: Output) -> int:
    """
    Fetch a model.

    Args:
        options: The arguments.
        output: Where to show the progress.

    Returns:
        The exit code.

    Raises:
        RxOllamaError: When it fails.
        KeyboardInterrupt: At Ctrl-C, after a word on what is left.
    """
    with Ollama(options.host) as ollama:
        steps = ollama.pull(options.model or "")
        try:
            with _Bars(output.screen) if output.is_terminal else _Lines(output) as shown, iterate(steps) as items:
                for step in items:
                    shown.take(step)
        except KeyboardInterrupt:
            output.note(_STOPPED)
            raise
    return 0


class _Bars:
    """Show a pull on a terminal: a bar for each layer, and below them what the server is doing."""

    def __init__(self, console: Console) -> None:
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
        ]
        if console.width >= _WIDE:
            remaining = TimeRemainingColumn(compact=True, elapsed_when_finished=True)
            columns = [*columns[:-1], DownloadColumn(), TransferSpeedColumn(), remaining]
        self._bars = Progress(*columns, console=console, expand=True)
        self._tasks: dict[str, TaskID] = {}
        self._spinner = Spinner("dots", style="cyan")
        self._status = ""
        self._live = Live(self, console=console, refresh_per_second=12, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._tasks:
            yield self._bars.get_renderable()
        if self._status == "success":
            yield Text("✓ success", style="green")
        elif self._status:
            self._spinner.update(text=Text(self._status, style="dim"))
            yield self._spinner

    def take(self, step: Step) -> None:
        title = clean(step.status)
        # What has a bar needs no second line to say so.
        self._status = "" if step.digest else title
        if not step.digest:
            # The server does not always say that a layer is whole: going on to the next stage does.
            for task in self._bars.tasks:
                self._bars.update(task.id, completed=task.total)
        elif step.digest not in self._tasks:
            # What was there before the first word of it has no part in the speed.
            self._tasks[step.digest] = self._bars.add_task(title, total=step.total or None, completed=step.completed)
        else:
            self._bars.update(self._tasks[step.digest], total=step.total or None, completed=step.completed)


class _Lines:
    """Tell of a pull in plain lines: one for each stage, and one for each tenth of a layer."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._told: tuple[str, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def take(self, step: Step) -> None:
        fraction = step.fraction
        tenths = int((fraction or 0.0) * _TENTHS)
        if (step.status, tenths) != self._told:
            self._told = step.status, tenths
            part = "" if fraction is None else f": {tenths * _TENTHS} % of {decimal(step.total)}"
            self._output.write(f"{step.status}{part}\n")
