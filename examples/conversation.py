"""
Hold a conversation: go on, try another way, take it back, and keep it in a file.

    uv run python examples/conversation.py

The history grows by a turn with each answer. A fork goes its own way, and a saved conversation goes on another day.
"""

import os
import sys

from rxollama import Conversation, Ollama, RxOllamaError, iterate
from rxollama import operators as op

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")
FILE = "conversation.jsonl"


def say(talk: Conversation, prompt: str) -> None:
    """Say something, and print the answer as it comes."""
    print(f">>> {prompt}")
    for text in iterate(talk.send(prompt).pipe(op.content())):
        print(text, end="", flush=True)
    print()


def main() -> None:
    """Talk, fork, undo, save and load."""
    with Ollama() as ollama:
        talk = Conversation(ollama, MODEL, system="Answer in one sentence.", max_tokens=3000)
        say(talk, "Name a planet.")
        other = talk.fork()
        say(talk, "How long is a day there?")
        say(other, "How long is a year there?")
        undone = other.undo()
        if undone is not None:
            print(f"(taken back: {undone.prompt.content})")
        print(f"{len(talk.turns)} turns here, {len(other.turns)} there")
        talk.save(FILE)

        later = Conversation.load(FILE, ollama)
        say(later, "Could I live there?")
        print(f"{len(later.turns)} turns, {later.metrics.eval_count} tokens")


if __name__ == "__main__":
    try:
        main()
    except RxOllamaError as error:
        sys.exit(f"conversation: {error}")
