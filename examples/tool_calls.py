"""
Gather the tools that a model calls, run them by hand, and send the results back.

    uv run python examples/tool_calls.py "How is the weather in Oslo?"

The model must support tools. Its thinking and calls go back with the results, as the server expects.
"""

import os
import sys

from rxollama import Message, Ollama, RxOllamaError, ToolCall, run
from rxollama import operators as op

MODEL = os.environ.get("OLLAMA_MODEL", "qwen3")
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {
            "type": "object",
            "required": ["city"],
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
        },
    },
}


def call_tool(call: ToolCall) -> Message:
    """Run one call. A failure is a result as well, in words for the model."""
    print(f"calling {call.name}({call.arguments})")
    known = {"Oslo": "-3 degrees, snow", "Rome": "14 degrees, sun"}
    city = str(call.arguments.get("city"))
    result = known.get(city, f"no weather station in {city}") if call.name == "get_weather" else "no such tool"
    return Message.tool(result, call=call)


def main() -> None:
    """Ask, run the calls, and ask again with their results."""
    messages = [Message.user(" ".join(sys.argv[1:]) or "How is the weather in Oslo?")]
    with Ollama() as ollama:
        asked = ollama.chat(MODEL, messages, tools=[WEATHER]).pipe(op.share())
        calls = run(asked.pipe(op.gather_tool_calls()))
        messages += run(asked.pipe(op.collect())).messages
        messages += [call_tool(call) for call in calls]
        if calls:
            messages += run(ollama.chat(MODEL, messages, tools=[WEATHER]).pipe(op.collect())).messages
    print(messages[-1].content)


if __name__ == "__main__":
    try:
        main()
    except RxOllamaError as error:
        sys.exit(f"tool_calls: {error}")
