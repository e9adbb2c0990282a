"""The command `models`."""

from __future__ import annotations

from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from rxollama import Ollama, run
from rxollama.cli._arguments import Options
from rxollama.cli._output import Output, strip_controls
from rxollama.messages import ModelEntry

__all__ = ("list_models",)

_COLUMNS = ("name", "size", "parameters", "quantization", "capabilities", "modified")
_TO_THE_MINUTE = len("2026-11-22T11:21")


def list_models(options: Options, output: Output) -> int:
    """
    List the models of the server.

    Args:
        options: The arguments.
        output: The output for the list.

    Returns:
        The exit code.

    Raises:
        RxOllamaError: If the request fails.
    """
    with Ollama(options.host) as ollama:
        entries = run(ollama.models())
    if not entries:
        output.note("this server has no models; pull one, for instance with `rxollama pull qwen3`")
    elif output.is_terminal:
        output.console.print(_table(entries))
    else:
        output.write("".join("\t".join(_row(entry)) + "\n" for entry in entries))
    return 0


def _table(entries: tuple[ModelEntry, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column == "size" else "left", overflow="fold")
    for entry in entries:
        name, _, parameters, quantization, capabilities, modified = map(strip_controls, _row(entry))
        size = decimal(entry.size) if entry.size else "remote" if entry.remote_host else "-"
        when = modified[:_TO_THE_MINUTE].replace("T", " ")
        table.add_row(Text(name, style="bold"), size, parameters, quantization, capabilities, Text(when, style="dim"))
    return table


def _row(entry: ModelEntry) -> tuple[str, ...]:
    details = entry.details
    capabilities = ", ".join(entry.capabilities)
    size = str(entry.size)
    return entry.name, size, details.parameter_size, details.quantization_level, capabilities, entry.modified_at
