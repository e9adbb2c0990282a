"""
Answer a batch of questions, four at a time, with a progress bar.

    uv run python examples/batch.py questions.txt

Without streaming an answer arrives as one chunk, which is all that a batch needs. A failure does not stop the others.
"""

import os
import sys
from pathlib import Path

import reactivex
from reactivex import Observable
from reactivex import operators as rx
from rich.progress import track

from rxollama import ChatResponse, Ollama, iterate
from rxollama import operators as op

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")
AT_ONCE = 4


def main() -> None:
    """Print each answer with its question, in the order of the questions."""
    text = Path(sys.argv[1]).read_text("utf-8") if len(sys.argv) > 1 else "Why is the sky blue?\nWhat is 17 × 23?"
    questions = [line for line in text.splitlines() if line.strip()]

    with Ollama() as ollama:

        def ask(question: str) -> Observable[tuple[str, str]]:
            def answer(response: ChatResponse) -> tuple[str, str]:
                return question, response.message.content

            def failed(error: Exception, _: object) -> Observable[tuple[str, str]]:
                return reactivex.just((question, f"failed: {error}"))

            return ollama.chat(MODEL, question, stream=False).pipe(op.collect(), rx.map(answer), rx.catch(failed))

        asked = reactivex.from_iterable(questions).pipe(rx.map(ask), rx.merge(max_concurrent=AT_ONCE))
        answers = dict(track(iterate(asked), total=len(questions), description="answering"))

    for question in questions:
        print(f"\n> {question}\n{answers[question]}")


if __name__ == "__main__":
    main()
