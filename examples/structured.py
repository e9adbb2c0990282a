"""
Fill a table while the model writes it, and read the whole as typed values at the end.

    uv run python examples/structured.py "Five large cities of Norway"

The server keeps the model to the schema of the type. The table is drawn at most ten times a second.
"""

import os
import sys

import msgspec
from reactivex import operators as rx
from rich.live import Live
from rich.table import Table

from rxollama import Ollama, RxOllamaError, run
from rxollama import operators as op
from rxollama.messages import PartialJson

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")
PROMPT = "List {} as a JSON list of objects: name, inhabitants (a whole number), and known_for (a few words)."


class City(msgspec.Struct):
    """One row."""

    name: str
    inhabitants: int
    known_for: str = ""


def table_of(partial: PartialJson) -> Table:
    """Draw the rows so far. The last row may lack cells, and its last cell may still grow."""
    table = Table(*City.__struct_fields__, title="complete" if partial.complete else "…")
    rows: list[dict[str, object]] = partial.value or []
    for row in rows:
        table.add_row(*(str(row.get(name, "")) for name in City.__struct_fields__))
    return table


def main() -> None:
    """Subscribe the table, and wait for the values."""
    prompt = PROMPT.format(" ".join(sys.argv[1:]) or "five large cities of Norway")
    with Ollama() as ollama, Live(auto_refresh=False) as live:
        answer = ollama.chat(MODEL, prompt, format=list[City]).pipe(op.share())
        tables = answer.pipe(op.partial_json(), op.throttle(0.1), rx.map(table_of))
        # An error reaches every subscriber; run() is the one that raises it.
        tables.subscribe(lambda table: live.update(table, refresh=True), on_error=lambda _: None)
        cities = run(answer.pipe(op.parse(list[City])))
    print(f"{sum(city.inhabitants for city in cities):,} people in {len(cities)} cities")


if __name__ == "__main__":
    try:
        main()
    except RxOllamaError as error:
        sys.exit(f"structured: {error}")
