"""Documents as a model writes them, and the methods of following one: as it grows, or by parsing it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeAlias

import orjson
import pydantic_core
from _sources import end_of
from reactivex import Observable

from rxollama import ChatChunk, Message
from rxollama import operators as op
from rxollama.messages import PartialJson

__all__ = ("AGAIN", "DOCUMENTS", "METHODS", "READ", "SHOWN", "UNREAD", "Method", "chunks_of", "text_of")

Method: TypeAlias = Callable[[Observable[ChatChunk]], Awaitable[Any]]
"""Follows an answer to its end and returns its last value."""

UNREAD, SHOWN, READ, AGAIN = "reading none", "reading every 10th", "reading each", "parsing again"

_SEED = 1
_DELTA = (2, 6)
# `throttle(1 / 30)` passes on every tenth of 300 deltas per second.
_FRAME = 10
_WORDS = ("sky", "blue", "light", "air", "wave", "scatter", "colour", "night", "because", "“far”", "naïve", "path\n")


def _table(random: Random, length: int) -> str:
    """Return an object with a list of small objects."""
    rows: list[dict[str, Any]] = []
    size = 0
    while size < length:
        name, price = " ".join(random.choices(_WORDS, k=2)), round(random.random() * 100, 2)
        rows.append({"id": len(rows), "name": name, "price": price, "sold": random.random() < 1 / 2})
        size += len(orjson.dumps(rows[-1]))
    return orjson.dumps({"title": "rows", "rows": rows}).decode()


def _prose(random: Random, length: int) -> str:
    """Return an object with one long text."""
    words = random.choices(_WORDS, k=length)
    return orjson.dumps({"text": " ".join(words)[:length]}).decode()


DOCUMENTS: dict[str, Callable[[Random, int], str]] = {"a list of small objects": _table, "one long text": _prose}


def text_of(document: str, deltas: int) -> str:
    """Return a document of about this many deltas."""
    return DOCUMENTS[document](Random(_SEED), deltas * sum(_DELTA) // 2)


def chunks_of(text: str) -> list[ChatChunk]:
    """Return a text as deltas of about four characters, followed by the end of the answer."""
    random = Random(_SEED)
    chunks: list[ChatChunk] = []
    at = 0
    while at < len(text):
        end = at + random.randint(*_DELTA)
        chunks.append(ChatChunk(model="m", message=Message("assistant", text[at:end])))
        at = end
    return [*chunks, ChatChunk(model="m", message=Message("assistant"), done=True, done_reason="stop")]


def _growing(every: int) -> Method:
    """Return a method that reads one of this many snapshots. With 0 it reads none."""

    async def follow(source: Observable[ChatChunk]) -> Any:
        last, count = PartialJson(), 0

        def show(partial: PartialJson) -> None:
            nonlocal last, count
            last = partial
            count += 1
            if every and not count % every:
                _ = partial.value

        await end_of(source.pipe(op.partial_json()), show)
        return last.value

    return follow


async def _again(source: Observable[ChatChunk]) -> Any:
    """Parse the whole text after each delta, with the fastest parser."""
    value, text = None, b""

    def show(delta: str) -> None:
        nonlocal value, text
        text += delta.encode()
        value = pydantic_core.from_json(text, allow_partial="trailing-strings")

    await end_of(source.pipe(op.content()), show)
    return value


METHODS: dict[str, Method] = {UNREAD: _growing(0), SHOWN: _growing(_FRAME), READ: _growing(1), AGAIN: _again}
