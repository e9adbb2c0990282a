"""
Ask two models the same question: first as a race, then side by side.

    uv run python examples/two_models.py "Why is the sky blue?"

OLLAMA_MODEL and OLLAMA_OTHER_MODEL name the models. In the race the first answer wins, and the other request is
closed.
"""

import os
import sys

import reactivex
from reactivex import Observable
from reactivex import operators as rx
from rich.live import Live
from rich.table import Table

from rxollama import ChatResponse, Ollama, RxOllamaError, run
from rxollama import operators as op

MODELS = (os.environ.get("OLLAMA_MODEL", "qwen3"), os.environ.get("OLLAMA_OTHER_MODEL", "llama3.2"))
FRAME = 1 / 15


def main() -> None:
    """Let two models race, then let both answer."""
    question = " ".join(sys.argv[1:]) or "Why is the sky blue?"
    with Ollama() as ollama:
        one, other = (ollama.chat(model, question) for model in MODELS)
        winner = run(one.pipe(op.hedge(other, after=0), op.collect()))
        print(f"{winner.model} was first: {winner.message.content}")

        said = dict.fromkeys(MODELS, "")

        def column(model: str) -> Observable[tuple[str, ChatResponse]]:
            answer = ollama.chat(model, question).pipe(op.accumulate(), op.throttle(FRAME))
            return answer.pipe(rx.map(lambda so_far: (model, so_far)))

        with Live(refresh_per_second=1 / FRAME) as live:

            def show(told: tuple[str, ChatResponse]) -> None:
                model, so_far = told
                said[model] = so_far.message.content
                table = Table(*MODELS)
                table.add_row(*said.values())
                live.update(table)

            run(reactivex.merge(*map(column, MODELS)).pipe(rx.do_action(show)))


if __name__ == "__main__":
    try:
        main()
    except RxOllamaError as error:
        sys.exit(f"two_models: {error}")
