"""
Hold a conversation: continue it, fork it, undo a turn, and keep it in a file.

    uv run python examples/conversation.py

The history grows by a turn with each answer. A fork is independent, and a saved conversation can be continued later.
"""

import os
import sys

from rxollama import Conversation, Ollama, RxOllamaError
from rxollama import operators as op

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")
FILE = "conversation.jsonl"


def send(talk: Conversation, prompt: str) -> None:
    """Send a prompt, and print the answer as it arrives."""
    print(f">>> {prompt}")
    for text in talk.send(prompt).pipe(op.content()):
        print(text, end="", flush=True)
    print()


def main() -> None:
    """Send, fork, undo, save and load."""
    with Ollama() as ollama:
        talk = Conversation(ollama, MODEL, system="Answer in one sentence.", max_tokens=3000)
        send(talk, "Name a planet.")
        other = talk.fork()
        send(talk, "How long is a day there?")
        send(other, "How long is a year there?")
        undone = other.undo()
        if undone is not None:
            print(f"(undone: {undone.prompt.content})")
        print(f"{len(talk.turns)} turns here, {len(other.turns)} there")
        talk.save(FILE)

        later = Conversation.load(FILE, ollama)
        send(later, "Could I live there?")
        print(f"{len(later.turns)} turns, {later.metrics.eval_count} tokens")


if __name__ == "__main__":
    try:
        main()
    except RxOllamaError as error:
        sys.exit(f"conversation: {error}")
