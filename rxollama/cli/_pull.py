"""The command `pull`."""

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
from rxollama.cli._output import Output, strip_controls
from rxollama.messages import Progress as PullProgress

__all__ = ("pull",)

_STOPPED = "stopped; the server keeps what it has, and the next pull resumes there"
_TENTHS = 10
_WIDE = 72


def pull(options: Options, output: Output) -> int:
    """
    Download a model to the server.

    Args:
        options: The arguments.
        output: The output for the progress.

    Returns:
        The exit code.

    Raises:
        RxOllamaError: If the pull fails.
        KeyboardInterrupt: At Ctrl-C, after a note that the next pull resumes.
    """
    with Ollama(options.host) as ollama:
        records = ollama.pull(options.model or "")
        try:
            with _Bars(output.console) if output.is_terminal else _Lines(output) as display, iterate(records) as items:
                for record in items:
                    display.show(record)
        except KeyboardInterrupt:
            output.note(_STOPPED)
            raise
    return 0


class _Bars:
    """The progress of a pull on a terminal: a bar for each layer, and below them the server's status."""

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

    def show(self, record: PullProgress) -> None:
        title = strip_controls(record.status)
        # A layer has a bar, which shows its status already.
        self._status = "" if record.digest else title
        if not record.digest:
            # The server may leave out the last record of a layer. Its next stage means that all layers are complete.
            for task in self._bars.tasks:
                self._bars.update(task.id, completed=task.total)
        elif record.digest not in self._tasks:
            # Bytes from an earlier pull do not count for the speed.
            self._tasks[record.digest] = self._bars.add_task(
                title, total=record.total or None, completed=record.completed
            )
        else:
            self._bars.update(self._tasks[record.digest], total=record.total or None, completed=record.completed)


class _Lines:
    """The progress of a pull in a pipe: a line for each stage, and one for each tenth of a layer."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last: tuple[str, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def show(self, record: PullProgress) -> None:
        fraction = record.fraction
        tenths = int((fraction or 0.0) * _TENTHS)
        if (record.status, tenths) != self._last:
            self._last = record.status, tenths
            part = "" if fraction is None or not record.total else f": {tenths * _TENTHS} % of {decimal(record.total)}"
            self._output.write(f"{record.status}{part}\n")
