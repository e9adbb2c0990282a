"""What type checkers must infer. They read this file, and nobody runs it."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict, assert_type

import msgspec
import ollama as official
import pydantic
from reactivex import Observable
from reactivex import operators as rx
from reactivex.subject import Subject

from rxollama import ChatChunk, ChatResponse, Conversation, Message, Ollama, Stream, ToolCall, aiterate, iterate, run
from rxollama import operators as op
from rxollama.conversation import Turn
from rxollama.messages import (
    ChatEvent,
    ChatRequest,
    Embeddings,
    GenerateRequest,
    MeterReading,
    ModelCard,
    ModelEntry,
    ModelOptions,
    PartialJson,
    Progress,
    ResponseBuilder,
)

ollama = Ollama()
chat = ollama.chat("m", "Hi")
talk = Conversation(ollama, "m", system="Be brief.", max_messages=9)
prompts: Subject[str] = Subject()


class Row(msgspec.Struct):
    """A row."""

    name: str


@dataclass
class Plain:
    """A row, as a dataclass."""

    name: str


class Named(TypedDict):
    """A row, as a dict."""

    name: str


class Model(pydantic.BaseModel):
    """A row, as pydantic has it."""

    name: str


def words(response: ChatResponse) -> int:
    """Count words."""
    return len(response.message.content.split())


assert_type(chat, Stream[ChatChunk])
assert_type(chat.pipe(op.content()), Stream[str])
assert_type(chat.pipe(op.thinking()), Stream[str])
assert_type(chat.pipe(op.split()), tuple[Stream[str], Stream[str]])
assert_type(chat.pipe(op.events()), Stream[ChatEvent])
assert_type(chat.pipe(op.extract_thinking(), op.content()), Stream[str])
assert_type(chat.pipe(op.stop_loops(), op.extract_tool_calls([])), Stream[ChatChunk])
assert_type(chat.pipe(op.tool_calls()), Stream[ToolCall])
assert_type(chat.pipe(op.gather_tool_calls()), Stream[tuple[ToolCall, ...]])
assert_type(chat.pipe(op.accumulate()), Stream[ChatResponse])
assert_type(chat.pipe(op.log(), op.share()), Stream[ChatChunk])
assert_type(chat.pipe(op.share(), op.meter(0.5)), Stream[MeterReading])
assert_type(chat.pipe(op.content(), op.coalesce(1 / 30), op.share()), Stream[str])
assert_type(chat.pipe(op.content(), op.debounce(1, max_wait=2)), Stream[str])
assert_type(chat.pipe(op.accumulate(), op.throttle(0.5), rx.map(words)), Observable[int])
assert_type(chat.pipe(op.log(), op.share(), op.content(), op.coalesce(1), rx.take(1)), Observable[str])
assert_type(chat.pipe(op.timeouts(first_chunk=60, gap=10), op.retry(3), op.content()), Stream[str])
assert_type(chat.pipe(op.fallback(chat, chat), op.hedge(chat, after=2)), Stream[ChatChunk])
assert_type(ollama.chat("m", "Hi", format=Row).pipe(op.parse(Row)), Stream[Row])
assert_type(ollama.chat("m", "Hi", format=list[Row]).pipe(op.parse(list[Row])), Stream[list[Row]])
assert_type(ollama.chat("m", "Hi", format=Row | None).pipe(op.partial_json()), Stream[PartialJson])
assert_type(ollama.chat("m", "Hi", format=Model).pipe(op.parse(Model)), Stream[Model])
assert_type(ollama.chat("m", "Hi", format=Named).pipe(op.elements(Named, ("result", "rows"))), Stream[Named])
assert_type(ollama.generate("m", "Hi", format=Plain).pipe(op.elements(Plain, "rows")), Stream[Plain])
assert_type(run(chat.pipe(op.partial_json(), op.throttle(1 / 30))).path, tuple[str | int, ...])
assert_type(run(chat.pipe(op.collect())), ChatResponse)
assert_type(run(chat.pipe(op.collect())).message, Message)
assert_type(run(chat.pipe(op.collect())).metrics.tokens_per_second, float | None)
assert_type(talk.send("Hi"), Stream[ChatChunk])
assert_type(talk.send("Hi", images=[b""]).pipe(op.content()), Stream[str])
assert_type(prompts.pipe(op.ask(talk.send, "queue"), op.content()), Stream[str])
assert_type(prompts.pipe(op.ask(ollama.show)), Stream[ModelCard])
assert_type(talk.fork(), Conversation)
assert_type(talk.undo(), Turn | None)
assert_type(Conversation.load("talk.jsonl", ollama, tools=[words], think=True), Conversation)
assert_type(run(ollama.version()), str)
assert_type(run(ollama.models()), tuple[ModelEntry, ...])
assert_type(run(ollama.embed("m", ["a", "b"])), Embeddings)
assert_type(next(iterate(ollama.pull("m"))), Progress)

# What a caller may give is wider than what a value holds.
known: ModelOptions = {"temperature": 0, "seed": 7, "stop": ["END"], "num_ctx": 8192, "main_gpu": None}
config: dict[str, Any] = {"num_ctx": 8192}
request = ChatRequest(model="m", messages="Hi", options=known, tools=[{}], keep_alive=timedelta(minutes=5), format=Row)
assert_type(request.messages, tuple[Message, ...])
assert_type(request.tools, tuple[dict[str, Any], ...])
assert_type(request.options, ModelOptions | None)
assert_type(request.keep_alive, float | str | None)
assert_type(request.to_dict(), dict[str, Any])
assert_type(GenerateRequest(model="m", images=[Path("a.png"), b"", ""]).images, tuple[str, ...])
assert_type(Message("user", images=[Path("a.png")]).images, tuple[str, ...])
assert_type(Message("assistant", tool_calls=[ToolCall()]).tool_calls, tuple[ToolCall, ...])
assert_type(ollama.chat("m", "Hi", options={"temperature": 0, "stop": ("a", "b")}), Stream[ChatChunk])
assert_type(ollama.chat("m", "Hi", options=known, extra=config), Stream[ChatChunk])
assert_type(ollama.generate("m", "Hi", options=official.Options(temperature=0.5)), Stream[ChatChunk])
assert_type(ollama.converse("m", "Hi", options={"seed": 1}, extra={"of_tomorrow": 1}), Stream[ChatChunk])
assert_type(ollama.chat("m", official.Message(role="user", content="Hi")), Stream[ChatChunk])
assert_type(ollama.chat("m", [official.Message(role="user"), {"role": "user"}, Message.user("Hi")]), Stream[ChatChunk])
assert_type(ollama.chat("m", run(chat.pipe(op.collect())).messages), Stream[ChatChunk])
assert_type(run(ollama.embed("m", "a", options={"num_ctx": 8192}, extra=config)), Embeddings)
assert_type(next(iterate(ollama.create("m", parameters={"temperature": 0.5}))), Progress)
assert_type(ResponseBuilder().snapshot(), ChatResponse)
assert_type(ChatResponse().to_dict(), dict[str, Any])

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
ollama.chat("m", "Hi", format="xml")  # type: ignore[arg-type] # No such format.
ollama.chat("m", "Hi", options={"temprature": 0})  # type: ignore[arg-type] # No such option.
ollama.chat("m", "Hi", options={"seed": "7"})  # type: ignore[arg-type] # Not an int.
ollama.generate("m", "Hi", options=config)  # type: ignore[arg-type] # Its keys are not known: extra= is for it.
ChatRequest(model="m", messages=5)  # type: ignore[arg-type] # No message.
ChatRequest(model="m", messages="Hi", colour=1)  # type: ignore[call-arg] # No such field.
op.parse("Row")  # type: ignore[call-overload] # No type.
ollama.chat("m", 5)  # type: ignore[arg-type] # No message.
iterate(chat, overflow="drop")  # type: ignore[arg-type] # No such policy.
prompts.pipe(op.ask(talk.send, "exhaust"))  # type: ignore[arg-type] # No such policy.
Conversation(ollama, "m", colour=1)  # type: ignore[call-arg] # No such option.
