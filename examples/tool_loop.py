"""
Let a model call functions, several at the same time, and show their progress.

    uv run python examples/tool_loop.py "How is the weather in Oslo, and when does the sun set there?"

Signatures and docstrings describe them to the model. Results go back by themselves, until it calls no more.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Literal

from rxollama import Ollama, RxOllamaError
from rxollama import operators as op
from rxollama.messages import ContentDelta, Finished, ToolCalled, ToolFailed, ToolProgressed, ToolReturned
from rxollama.tools import ToolProgress

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")
STATIONS = {"Oslo": -3.0, "Rome": 14.0}


async def get_weather(city: str, unit: Literal["celsius", "kelvin"] = "celsius") -> AsyncIterator[ToolProgress | str]:
    """Return the current temperature in a city."""
    yield ToolProgress(f"asking the station in {city}")
    await asyncio.sleep(0.2)
    yield f"{STATIONS[city] + (0 if unit == 'celsius' else 273.15)} {unit}"


def get_sunset(city: str) -> dict[str, str]:
    """Return when the sun sets in a city today."""
    return {"city": city, "sunset": "15:12"}


def main() -> None:
    """Ask, and print what happens."""
    question = " ".join(sys.argv[1:]) or "How is the weather in Oslo, and when does the sun set there?"
    with Ollama() as ollama:
        chat = ollama.converse(MODEL, question, tools=[get_weather, get_sunset], tool_timeout=10)
        for event in chat.pipe(op.events()):
            match event:
                case ToolCalled(call):
                    print(f"→ {call.name}({call.arguments})")
                case ToolProgressed(name, text) | ToolReturned(name, text) | ToolFailed(name, text):
                    print(f"  {name}: {text}")
                case ContentDelta(text):
                    print(text, end="", flush=True)
                case Finished(response):
                    numbers = response.metrics
                    print(f"\n{numbers.tool_result_count} results, {numbers.eval_count} tokens")
                case _:
                    pass


if __name__ == "__main__":
    try:
        main()
    except RxOllamaError as error:
        sys.exit(f"tool_loop: {error}")
