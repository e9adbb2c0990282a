"""
Ask a model, and print its answer as it arrives.

    uv run python examples/quickstart.py "Why is the sky blue?"

OLLAMA_HOST names the server, OLLAMA_MODEL the model.
"""

import os
import sys

from rxollama import Ollama, RxOllamaError

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")


def main() -> None:
    """Print the answer, then its speed."""
    question = " ".join(sys.argv[1:]) or "Why is the sky blue?"
    with Ollama() as ollama:
        for chunk in ollama.chat(MODEL, question):
            print(chunk.message.content, end="", flush=True)
            if chunk.metrics is not None:  # the last chunk
                print(f"\n{chunk.metrics.eval_count} tokens, {chunk.metrics.tokens_per_second or 0:.1f} tokens/s")


if __name__ == "__main__":
    try:
        main()
    except RxOllamaError as error:
        sys.exit(f"quickstart: {error}")
