"""
Log chats as JSON lines, fast: structlog writes the bytes of orjson straight to the file.

    uv run python examples/log_pipeline.py chats.jsonl

The words of a chat never reach the log unless `op.log(..., content=True)` asks for them.
"""

import os
import sys
from pathlib import Path

import orjson
import structlog

from rxollama import Ollama, RxOllamaError, run
from rxollama import operators as op

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")
QUESTIONS = ("Why is the sky blue?", "Why is the sea salty?")


def main() -> None:
    """Log two chats, then summarise the log."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "chats.jsonl")
    with path.open("ab") as file, Ollama() as ollama:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            logger_factory=structlog.BytesLoggerFactory(file),
            cache_logger_on_first_use=True,
        )
        for question in QUESTIONS:
            log = structlog.get_logger().bind(question_length=len(question))
            run(ollama.chat(MODEL, question).pipe(op.log(log)))
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    finished = [line for line in lines if line["event"] == "chat_finished"]
    tokens = sum(line["eval_count"] for line in finished)
    print(f"{len(finished)} chats, {tokens} tokens, logged in {path}")


if __name__ == "__main__":
    try:
        main()
    except RxOllamaError as error:
        sys.exit(f"log_pipeline: {error}")
