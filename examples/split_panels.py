"""
Show thinking and answer in two regions of the screen, from one request.

    uv run python examples/split_panels.py "What is 17 × 23?"

Each region is updated at most thirty times a second, however fast the tokens arrive. No token is lost.
"""

import os
import sys

from rich.console import Console
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from rxollama import Ollama, RxOllamaError, run
from rxollama import operators as op

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")
FRAME = 1 / 30


def main() -> None:
    """Subscribe a callback for each region, and wait for the end."""
    question = " ".join(sys.argv[1:]) or "What is 17 × 23?"
    thought, answer = Text(style="dim"), Text()
    layout = Layout()
    layout.split_row(Layout(Panel(thought, title="thinking")), Layout(Panel(answer, title="answer")))

    with Ollama() as ollama, Live(layout, console=Console(height=16), auto_refresh=False) as live:

        def show_thinking(text: str) -> None:
            thought.append(text)
            live.refresh()

        def show_answer(text: str) -> None:
            answer.append(text)
            live.refresh()

        chat = ollama.chat(MODEL, question, think=True).pipe(op.share())
        thinking, content = chat.pipe(op.split())
        # An error reaches every subscriber; run() is the one that raises it.
        thinking.pipe(op.coalesce(FRAME)).subscribe(show_thinking, on_error=lambda _: None)
        content.pipe(op.coalesce(FRAME)).subscribe(show_answer, on_error=lambda _: None)
        response = run(chat.pipe(op.collect()))
    print(f"{response.metrics.tokens_per_second or 0:.1f} tokens/s")


if __name__ == "__main__":
    try:
        main()
    except RxOllamaError as error:
        sys.exit(f"split_panels: {error}")
