"""The client with Ollama's own Python library."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import ollama
from _clients import Chat, Received

__all__ = ("official",)


@asynccontextmanager
async def official(url: str) -> AsyncGenerator[Chat]:
    """Iterate over the stream in an `async for`."""
    # Without this its limit is 100 streams at a time.
    client: Any = ollama.AsyncClient(url, limits=httpx.Limits(max_connections=None))
    async with client:

        async def chat(model: str, received: Received) -> None:
            messages = [{"role": "user", "content": "Why is the sky blue?"}]
            async for part in await client.chat(model, messages, stream=True, think=True):
                received.add(part.message)

        yield chat
