"""Answers that break at any byte, or at every chunk of a real server's answer, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import pytest
from heard import Heard
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json
from recorded import recorded
from scripted_answers import Answer, Scripted, record
from structlog.testing import capture_logs
from virtual_loop import VirtualLoop

from rxollama import ChatChunk, ChatResponse, Ollama, aiterate
from rxollama import operators as op
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


class Recorded:
    """
    A transport that sends a recorded answer, and breaks once.

    Asked to go on, it sends the chunks that are missing.

    Args:
        chunks: The recorded chunks.
        place: The number of chunks before the break.
    """

    def __init__(self, chunks: list[ChatChunk], place: int) -> None:
        self._chunks = chunks
        self._place: int | None = place

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Response]:
        """Answer a request."""
        place, self._place = self._place, None
        chunks = self._chunks[:place]
        last = json.decode(request.body or b"")["messages"][-1]
        if last["role"] == "assistant":
            sent = (last.get("thinking", ""), last["content"])
            chunks = self._chunks[sums(self._chunks).index(sent) + 1 :]
        pieces = tuple((0.0, json.encode(chunk.to_dict()) + b"\n") for chunk in chunks)
        async with Scripted((Answer(pieces, breaks=place is not None),)).open(request) as response:
            yield response


class Seen:
    """Everybody who reads one answer."""

    def __init__(self) -> None:
        self.chunks: list[ChatChunk] = []
        self.late: Heard[ChatChunk] = Heard()
        self.snapshots: list[ChatResponse] = []
        self.response: ChatResponse | None = None
        self.logs: list[Any] = []

    async def ask(self, ollama: Ollama, place: int, after_break: AfterBreak) -> None:
        """Read the answer in four ways. One reader subscribes at the first chunk after the break."""
        shared = ollama.chat("m", "Why?", after_break=after_break).pipe(op.log(), op.share())

        def each(chunk: ChatChunk) -> None:
            self.chunks.append(chunk)
            if len(self.chunks) == place + 1:
                shared.subscribe(self.late.on_next, self.late.on_error, self.late.on_completed)

        with capture_logs() as self.logs:
            shared.subscribe(each)
            shared.pipe(op.accumulate()).subscribe(self.snapshots.append)
            self.response = await shared.pipe(op.collect())


@pytest.mark.parametrize("after_break", ["restart", "continue"])
@pytest.mark.parametrize("name", ["sky-thinking", "sky"])
def test_every_token(name: str, after_break: AfterBreak) -> None:
    """A break at every token of a recorded answer: all readers have the whole answer, and never two beginnings."""
    chunks = recorded(name).chunks
    whole = sums(chunks)[-1]
    for place in range(len(chunks)):
        seen = Seen()

        async def play(place: int = place, seen: Seen = seen) -> None:
            async with Ollama(transport=Recorded(chunks, place)) as ollama:
                await seen.ask(ollama, place, after_break)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(play())
        assert seen.response is not None
        assert (seen.response.message.thinking, seen.response.message.content) == whole
        assert seen.snapshots[-1] == seen.response
        assert sums(seen.late.items)[-1] == whole
        views = [*sums(seen.chunks), *((each.message.thinking, each.message.content) for each in seen.snapshots)]
        assert all(whole[0].startswith(thinking) and whole[1].startswith(content) for thinking, content in views)
        assert seen.response.metrics.repeat_count == 1
        events = [line["event"] for line in seen.logs]
        restarts = sum(chunk.restart is not None for chunk in seen.chunks)
        assert events.count("chat_restarted") == restarts <= 1
        assert seen.logs[-1]["event"] == "chat_finished"
        assert seen.logs[-1]["repeat_count"] == 1
