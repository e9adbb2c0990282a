"""
Let a model call functions, two at once, and see how far each one is.

    uv run python examples/tool_loop.py "How is the weather in Oslo, and when does the sun set there?"

The model is told their signatures and docstrings; their results go back by themselves, until it calls no more.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Literal

from rxollama import Ollama, RxOllamaError, iterate
from rxollama import operators as op
from rxollama.messages import ContentDelta, Finished, ToolCalled, ToolFailed, ToolProgressed, ToolReturned
from rxollama.tools import ToolProgress

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")
STATIONS = {"Oslo": -3.0, "Rome": 14.0}


async def get_weather(city: str, unit: Literal["celsius", "kelvin"] = "celsius") -> AsyncIterator[ToolProgress | str]:
    """Tell the current temperature in a city."""
    yield ToolProgress(f"asking the station in {city}")
    await asyncio.sleep(0.2)
    yield f"{STATIONS[city] + (0 if unit == 'celsius' else 273.15)} {unit}"


def get_sunset(city: str) -> dict[str, str]:
    """Tell when the sun sets in a city today."""
    return {"city": city, "sunset": "15:12"}


def main() -> None:
    """Ask, and tell what happens."""
    question = " ".join(sys.argv[1:]) or "How is the weather in Oslo, and when does the sun set there?"
    with Ollama() as ollama:
        talk = ollama.converse(MODEL, question, tools=[get_weather, get_sunset], tool_timeout=10)
        for event in iterate(talk.pipe(op.events())):
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
