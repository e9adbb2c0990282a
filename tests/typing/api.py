"""What type checkers must infer; they read this file, and nobody runs it."""

from __future__ import annotations

from typing import assert_type

from reactivex import Observable
from reactivex import operators as rx

from rxollama import ChatChunk, ChatResponse, Message, Ollama, ToolCall, aiterate, iterate, run
from rxollama import operators as op
from rxollama.messages import ChatEvent, Embeddings, MeterReading, ModelEntry, Progress

ollama = Ollama()
chat = ollama.chat("m", "Hi")


def words(response: ChatResponse) -> int:
    """Count words."""
    return len(response.message.content.split())


assert_type(chat, Observable[ChatChunk])
assert_type(chat.pipe(op.content()), Observable[str])
assert_type(chat.pipe(op.thinking()), Observable[str])
assert_type(chat.pipe(op.split()), tuple[Observable[str], Observable[str]])
assert_type(chat.pipe(op.events()), Observable[ChatEvent])
assert_type(chat.pipe(op.extract_thinking(), op.content()), Observable[str])
assert_type(chat.pipe(op.tool_calls()), Observable[ToolCall])
assert_type(chat.pipe(op.gather_tool_calls()), Observable[tuple[ToolCall, ...]])
assert_type(chat.pipe(op.accumulate()), Observable[ChatResponse])
assert_type(chat.pipe(op.log(), op.share()), Observable[ChatChunk])
assert_type(chat.pipe(op.share(), op.meter(0.5)), Observable[MeterReading])
assert_type(chat.pipe(op.content(), op.coalesce(1 / 30), op.share()), Observable[str])
assert_type(chat.pipe(op.content(), op.debounce(1, max_wait=2)), Observable[str])
assert_type(chat.pipe(op.accumulate(), op.throttle(0.5), rx.map(words)), Observable[int])
assert_type(chat.pipe(op.log(), op.share(), op.content(), op.coalesce(1), rx.take(1)), Observable[str])
assert_type(chat.pipe(op.timeouts(first_chunk=60, gap=10), op.retry(3), op.content()), Observable[str])
assert_type(chat.pipe(op.fallback(chat, chat), op.hedge(chat, after=2)), Observable[ChatChunk])
assert_type(run(chat.pipe(op.collect())), ChatResponse)
assert_type(run(chat.pipe(op.collect())).message, Message)
assert_type(run(chat.pipe(op.collect())).metrics.tokens_per_second, float | None)
assert_type(run(ollama.version()), str)
assert_type(run(ollama.models()), tuple[ModelEntry, ...])
assert_type(run(ollama.embed("m", ["a", "b"])), Embeddings)
assert_type(next(iterate(ollama.pull("m"))), Progress)

for text in iterate(chat.pipe(op.content())):
    assert_type(text, str)


async def main() -> None:
    """Infer the same in asyncio."""
    assert_type(await chat.pipe(op.collect()), ChatResponse)
    async for chunk in aiterate(chat):
        assert_type(chunk, ChatChunk)


# What is wrong must be refused; an ignore that is not needed is an error itself.
chat.pipe(op.content(), op.collect())  # type: ignore[misc] # Texts do not reduce to a response.
ollama.chat("m", "Hi", think="very")  # type: ignore[arg-type] # No such level.
ollama.chat("m", 5)  # type: ignore[arg-type] # No message.
iterate(chat, overflow="drop")  # type: ignore[arg-type] # No such policy.
