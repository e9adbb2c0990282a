"""
Use chats in asyncio: everything runs on your own loop.

    uv run python examples/asyncio_app.py

Two questions are asked at the same time. A third answer is left in the middle, which closes its request.
"""

import asyncio
import os
import sys

from rxollama import Ollama, RxOllamaError, aiterate
from rxollama import operators as op

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")
ENOUGH = 20


async def ask(ollama: Ollama, question: str) -> str:
    """Wait for the whole answer."""
    return await ollama.chat(MODEL, question).pipe(op.content())


async def skim(ollama: Ollama, question: str) -> str:
    """Read the beginning of an answer. Leaving the loop closes the request."""
    seen = ""
    async with aiterate(ollama.chat(MODEL, question).pipe(op.content())) as texts:
        async for text in texts:
            seen += text
            if len(seen) >= ENOUGH:
                break
    return seen


async def main() -> None:
    """Ask two questions at once, then skim one."""
    async with Ollama() as ollama:
        answers = await asyncio.gather(ask(ollama, "Why is the sky blue?"), ask(ollama, "Why is the sea salty?"))
        for answer in answers:
            print(answer)
        print(await skim(ollama, "Tell me a long story."), "...")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except RxOllamaError as error:
        sys.exit(f"asyncio_app: {error}")
