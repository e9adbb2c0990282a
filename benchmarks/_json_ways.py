"""Documents as a model writes them, and the ways to follow one: by its growth, or by parsing it again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeAlias

import orjson
import pydantic_core
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rxollama import ChatChunk, Message
from rxollama import operators as op
from rxollama.messages import PartialJson

__all__ = ("AGAIN", "DOCUMENTS", "READ", "SHOWN", "UNREAD", "WAYS", "Way", "chunks_of", "text_of")

Way: TypeAlias = Callable[[Sequence[ChatChunk]], Any]
"""Follows an answer to its end, and gives its last value."""

UNREAD, SHOWN, READ, AGAIN = "not read", "read each 10th time", "read each time", "parsed again each time"

_SEED = 1
_DELTA = (2, 6)
# Of a model that makes 300 deltas a second, `throttle(1 / 30)` shows every tenth.
_FRAME = 10
_WORDS = ("sky", "blue", "light", "air", "wave", "scatter", "colour", "night", "because", "“far”", "naïve", "path\n")


def _table(random: Random, length: int) -> str:
    """Write an object with a list of small objects."""
    rows: list[dict[str, Any]] = []
    size = 0
    while size < length:
        name, price = " ".join(random.choices(_WORDS, k=2)), round(random.random() * 100, 2)
        rows.append({"id": len(rows), "name": name, "price": price, "sold": random.random() < 1 / 2})
        size += len(orjson.dumps(rows[-1]))
    return orjson.dumps({"title": "rows", "rows": rows}).decode()


def _prose(random: Random, length: int) -> str:
    """Write an object with one long text."""
    words = random.choices(_WORDS, k=length)
    return orjson.dumps({"text": " ".join(words)[:length]}).decode()


DOCUMENTS: dict[str, Callable[[Random, int], str]] = {"a list of small objects": _table, "one long text": _prose}


def text_of(document: str, deltas: int) -> str:
    """Write a document of about so many deltas."""
    return DOCUMENTS[document](Random(_SEED), deltas * sum(_DELTA) // 2)


def chunks_of(text: str) -> list[ChatChunk]:
    """Cut a text into deltas of about four characters, with the end of the answer behind them."""
    random = Random(_SEED)
    chunks: list[ChatChunk] = []
    at = 0
    while at < len(text):
        end = at + random.randint(*_DELTA)
        chunks.append(ChatChunk(model="m", message=Message("assistant", text[at:end])))
        at = end
    return [*chunks, ChatChunk(model="m", message=Message("assistant"), done=True, done_reason="stop")]


def _source(chunks: Sequence[ChatChunk]) -> Observable[ChatChunk]:
    """Send chunks with as little around them as there can be."""

    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        del scheduler
        emit = observer.on_next
        for chunk in chunks:
            emit(chunk)
        observer.on_completed()
        return Disposable()

    return Observable(subscribe)


def _growing(every: int) -> Way:
    """Follow the growth, and read one snapshot of so many; none with 0."""

    def follow(chunks: Sequence[ChatChunk]) -> Any:
        last, count = PartialJson(), 0

        def show(partial: PartialJson) -> None:
            nonlocal last, count
            last = partial
            count += 1
            if every and not count % every:
                _ = partial.value

        _source(chunks).pipe(op.partial_json()).subscribe(show)
        return last.value

    return follow


def _again(chunks: Sequence[ChatChunk]) -> Any:
    """Parse the whole text after each delta, as fast as it goes."""
    value, text = None, b""

    def show(delta: str) -> None:
        nonlocal value, text
        text += delta.encode()
        value = pydantic_core.from_json(text, allow_partial="trailing-strings")

    _source(chunks).pipe(op.content()).subscribe(show)
    return value


WAYS: dict[str, Way] = {UNREAD: _growing(0), SHOWN: _growing(_FRAME), READ: _growing(1), AGAIN: _again}
