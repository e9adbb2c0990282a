"""
Test your own code without a server: respx answers instead, with a stream of chunks.

    uv run python examples/mocked_server.py

respx patches httpx, as pytest-httpx, vcrpy and OpenTelemetry's instrumentation do. They see the requests of an
`httpx.AsyncClient` that is passed as `http_client=`, and not those of the default transport. `rxollama.testing` has a
real server instead, which also breaks off and waits.
"""

import asyncio
import json

import httpx
import respx

from rxollama import Ollama
from rxollama import operators as op

HOST = "http://ollama.example:11434"


async def shout(ollama: Ollama, question: str) -> str:
    """Return an answer in capital letters: the code to test."""
    return (await ollama.chat("qwen3", question).pipe(op.content())).upper()


def ndjson(*words: str) -> str:
    """Return an answer as a server sends it: a JSON object per line, the last one with `done`."""
    chunks = [{"message": {"role": "assistant", "content": word}, "done": False} for word in words]
    end = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    return "".join(json.dumps(chunk) + "\n" for chunk in [*chunks, end])


async def test_shout() -> None:
    """The answer is in capital letters, and the question is sent once."""
    async with respx.mock, httpx.AsyncClient() as client, Ollama(HOST, http_client=client) as ollama:
        chat = respx.post(f"{HOST}/api/chat").respond(text=ndjson("The ", "sky ", "is blue."))

        answer = await shout(ollama, "Why is the sky blue?")

        assert answer == "THE SKY IS BLUE."  # noqa: S101 - A test asserts.
        assert chat.call_count == 1  # noqa: S101 - As above.
        print(json.loads(chat.calls.last.request.content)["messages"][0]["content"], "->", answer)


if __name__ == "__main__":
    asyncio.run(test_shout())
