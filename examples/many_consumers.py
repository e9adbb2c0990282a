"""
Give one answer to many consumers: one request, and no consumer can disturb another.

    uv run python examples/many_consumers.py "Why is the sky blue?"

One counts words, one fails, one takes the first text, and one arrives late and first receives what it missed.
"""

import os
import sys

from reactivex import operators as rx

from rxollama import ChatResponse, Ollama, RxOllamaError, run
from rxollama import operators as op

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")


def words(response: ChatResponse) -> int:
    """Count the words so far."""
    return len(response.message.content.split())


def main() -> None:
    """Subscribe several consumers, and wait for the end."""
    question = " ".join(sys.argv[1:]) or "Why is the sky blue?"

    def fail(_: str) -> None:
        raise RuntimeError("this consumer is broken")

    def report(error: Exception) -> None:
        print(f"one consumer ended: {error}")

    with Ollama() as ollama:
        answer = ollama.chat(MODEL, question).pipe(op.share())
        counts = answer.pipe(op.accumulate(), op.throttle(0.5), rx.map(words))
        counts.subscribe(lambda count: print(f"{count} words so far"), report)
        answer.pipe(op.content()).subscribe(fail, report)
        first = run(answer.pipe(op.content(), rx.take(1)))
        print(f"it begins with {first!r}")
        late = run(answer.pipe(op.collect()))
        print(late.message.content)


if __name__ == "__main__":
    try:
        main()
    except RxOllamaError as error:
        sys.exit(f"many_consumers: {error}")
