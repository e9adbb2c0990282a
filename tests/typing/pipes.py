"""Pipes of many operators, of which type checkers must infer every step; they read this file, and nobody runs it."""

from __future__ import annotations

from typing import assert_type

import reactivex
from reactivex import Observable
from reactivex import operators as rx

from rxollama import ChatChunk, ChatResponse, Ollama, Stream
from rxollama import operators as op

ollama = Ollama()
chat = ollama.chat("m", "Hi")
chunks: Observable[ChatChunk] = reactivex.of(ChatChunk())


def length(text: str) -> int:
    """Return the length of a text."""
    return len(text)


def is_even(number: int) -> bool:
    """Return whether a number is even."""
    return number % 2 == 0


def shown(number: int) -> str:
    """Return a number as text."""
    return str(number)


# Ten operators of this library.
assert_type(
    chat.pipe(
        op.timeouts(first_chunk=60, gap=10),
        op.retry(3),
        op.fallback(chat),
        op.hedge(chat, after=2),
        op.extract_thinking(),
        op.log(),
        op.share(),
        op.content(),
        op.coalesce(1 / 30),
        op.share(),
    ),
    Stream[str],
)

# Sixteen of both libraries, the last of which is this library's.
assert_type(
    chat.pipe(
        op.timeouts(gap=10),
        op.retry(3),
        op.fallback(chat, chat),
        op.hedge(chat, after=2),
        op.extract_thinking(),
        op.log(),
        op.share(),
        op.content(),
        op.coalesce(1 / 30),
        rx.map(length),
        rx.filter(is_even),
        rx.skip(1),
        rx.take(9),
        rx.map(shown),
        op.debounce(1),
        op.share(),
    ),
    Stream[str],
)

# Sixteen of both libraries, the last of which is reactivex's.
assert_type(
    chat.pipe(
        op.timeouts(gap=10),
        op.retry(3),
        op.fallback(chat),
        op.hedge(chat, after=2),
        op.extract_thinking(),
        op.log(),
        op.share(),
        op.debounce(1),
        op.coalesce(1 / 30),
        op.accumulate(),
        op.throttle(1 / 30),
        op.share(),
        rx.take(9),
        rx.skip(1),
        rx.start_with(ChatResponse()),
        rx.to_list(),
    ),
    Observable[list[ChatResponse]],
)

# An observable of reactivex becomes a stream.
assert_type(chunks.pipe(op.extract_thinking()).pipe(op.content(), rx.take(1), op.coalesce(1)), Stream[str])

# Wrong items are a type error as well as an `InvalidValueError`.
chat.pipe(op.content(), op.collect())  # type: ignore[misc] # Texts are not chunks.
chat.pipe(op.collect(), op.content())  # type: ignore[misc] # A response is not a chunk.
chat.pipe(op.share(), op.events(), op.split())  # type: ignore[misc] # Events are not chunks.
