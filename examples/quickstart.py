"""
Ask a model, and print its answer as it comes.

    uv run python examples/quickstart.py "Why is the sky blue?"

The server is the one that OLLAMA_HOST names, the model the one that OLLAMA_MODEL names.
"""

import os
import sys

from rxollama import Ollama, RxOllamaError, iterate, run
from rxollama import operators as op

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")


def main() -> None:
    """Print the answer, then what it took."""
    question = " ".join(sys.argv[1:]) or "Why is the sky blue?"
    with Ollama() as ollama:
        # One request: the loop prints it, and collect() adds it up.
        answer = ollama.chat(MODEL, question).pipe(op.share())
        for text in iterate(answer.pipe(op.content())):
            print(text, end="", flush=True)
        metrics = run(answer.pipe(op.collect())).metrics
    print()
    print(f"{metrics.eval_count} tokens, {metrics.tokens_per_second or 0:.1f} tokens/s")


if __name__ == "__main__":
    try:
        main()
    except RxOllamaError as error:
        sys.exit(f"quickstart: {error}")
