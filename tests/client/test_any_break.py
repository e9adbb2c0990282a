"""Answers that break at any byte, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json
from scripted_answers import Answer, Scripted, record
from virtual_loop import VirtualLoop

from rxollama import ChatChunk, Ollama, aiterate
from rxollama.errors import ConnectionLostError
from rxollama.messages import AfterBreak, ResponseBuilder
from rxollama.transport import Request, Response, Transport


def sums(chunks: Iterable[ChatChunk]) -> list[tuple[str, str]]:
    """Return the thinking and content after each chunk."""
    builder = ResponseBuilder()
    each: list[tuple[str, str]] = []
    for chunk in chunks:
        builder.add(chunk)
        message = builder.snapshot().message
        each.append((message.thinking, message.content))
    return each


def cut(text: str, sizes: list[int]) -> list[str]:
    """Return a text in pieces of these sizes, over and over."""
    parts: list[str] = []
    for size in cycle(sizes):
        if not text:
            break
        parts.append(text[:size])
        text = text[size:]
    return parts


class Resuming:
    """A transport in memory that goes on from a last message of the assistant, and breaks where it is told to."""

    def __init__(self, thinking: str, content: str, sizes: list[int], breaks: list[int]) -> None:
        self._thinking, self._content = thinking, content
        self._sizes = sizes
        self._breaks = [*breaks]

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Response]:
        """Answer a request."""
        last = json.decode(request.body or b"")["messages"][-1]
        goes_on = last["role"] == "assistant"
        # The server strips the line break that closes a thought.
        missing = self._content[len(last["content"].lstrip()) :] if goes_on else self._content
        texts = [] if goes_on else [record(thinking=each) for each in cut(self._thinking, self._sizes)]
        texts += [record(each) for each in cut(missing, self._sizes)]
        body = b"".join((*texts, record(done=True)))
        end = self._breaks.pop(0) % len(body) if self._breaks else len(body)
        pieces = tuple((0.0, body[place : min(end, place + 90)]) for place in range(0, end, 90))
        async with Scripted((Answer(pieces, breaks=end < len(body)),)).open(request) as response:
            yield response


def received(transport: Transport, **options: Any) -> list[ChatChunk]:
    """Return the chunks of an answer, in virtual time."""

    async def ask() -> list[ChatChunk]:
        async with Ollama(transport=transport) as ollama:
            chat = ollama.chat("m", "Go.", **options)
            return [chunk async for chunk in aiterate(chat, overflow="keep")]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(ask())


@given(
    st.text("abc ", max_size=30),
    st.text("abc ", max_size=30).map(lambda text: f"Text: {text}"),
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
    st.lists(st.integers(0, 5000), max_size=2),
    st.sampled_from(["restart", "continue"]),
)
def test_any_break(thinking: str, content: str, sizes: list[int], breaks: list[int], after_break: AfterBreak) -> None:
    """For any breaks at any byte, nothing is lost, nothing is doubled, and no sum holds text of two attempts."""
    transport = Resuming(thinking, content, sizes, breaks)

    chunks = received(transport, after_break=after_break)
    assert sums(chunks)[-1] == (thinking, content)
    assert all(thinking.startswith(one) and content.startswith(other) for one, other in sums(chunks))
    last = chunks[-1].client
    assert last is not None
    assert last.repeat_count == len(breaks)


@given(
    st.text("abc ", max_size=40),
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
    st.lists(st.integers(0, 5000), max_size=2),
    st.sampled_from(["restart", "continue"]),
    st.integers(1, 20),
)
def test_any_thought(thinking: str, sizes: list[int], breaks: list[int], after_break: AfterBreak, limit: int) -> None:
    """A thought is cut where its tokens exceed the limit, the content is whole, and breaks change neither."""
    content = "Text: a b c a b c."
    chunks = received(Resuming(thinking, content, sizes, breaks), after_break=after_break, max_thinking=limit)

    kept: list[str] = []
    for part in cut(thinking, sizes):
        if max(len(kept), len("".join(kept)) // 4) <= limit:
            kept.append(part)
    thought = "".join(kept)
    assert sums(chunks)[-1] == (thought, content)
    assert all(thought.startswith(one) and content.startswith(other) for one, other in sums(chunks))
    last = chunks[-1].client
    assert last is not None
    assert last.thinking_cut_count == (max(len(kept), len(thought) // 4) > limit)


def test_many_requests() -> None:
    """An answer takes at most 32 requests, also if each of them brings something."""
    begun, more = (Answer(((0.0, record(text)),), breaks=True) for text in ("Begin", " on"))
    transport = Scripted((begun, more))
    with pytest.raises(ConnectionLostError) as caught:
        received(transport, after_break="continue")
    assert caught.value.partial is not None
    assert caught.value.partial.message.content == "Begin" + 31 * " on"
    assert len(transport.requests) == 32
