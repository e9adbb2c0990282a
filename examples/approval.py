"""
Ask a person before a tool runs: yes, no with a reason, or other arguments.

    uv run python examples/approval.py "Write a poem about the sea into sea.txt."

The question runs on its own thread, so it may block. The model receives a no with its reason.
"""

import json
import os
import sys
from pathlib import Path

from rxollama import Ollama, RxOllamaError, ToolCall
from rxollama import operators as op
from rxollama.tools import Approval, Denied

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")


def write_file(name: str, text: str) -> str:
    """
    Write a text file into the current folder.

    Args:
        name: The file's name, without a folder.
        text: The text.
    """
    return f"wrote {Path(Path(name).name).write_text(text, 'utf-8')} characters"


def approve(call: ToolCall) -> Approval:
    """Ask a person. No answer is a no."""
    # JSON keeps the model's control characters from the terminal.
    print(f"\n{call.name} {json.dumps(call.arguments)}")
    print("Enter for no, y for yes, other arguments as JSON, or why not:", flush=True)
    answer = sys.stdin.readline().strip()
    if not answer.startswith("{"):
        return answer == "y" or Denied(answer)
    try:
        return {**call.arguments, **json.loads(answer)}
    except ValueError:
        return Denied("the answer was not JSON")


def main() -> None:
    """Ask the model, and let it write if the person agrees."""
    question = " ".join(sys.argv[1:]) or "Write a poem about the sea into sea.txt."
    with Ollama() as ollama:
        chat = ollama.converse(MODEL, question, tools=[write_file], approve=approve)
        for text in chat.pipe(op.content()):
            print(text, end="", flush=True)
    print()


if __name__ == "__main__":
    try:
        main()
    except RxOllamaError as error:
        sys.exit(f"approval: {error}")
