"""How the values become JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from strategies import chunks, conversations, messages

from rxollama import messages as room
from rxollama.messages import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    ClientTiming,
    ContentDelta,
    Embeddings,
    Finished,
    Function,
    GenerateRequest,
    Logprob,
    Message,
    MeterReading,
    Metrics,
    ModelCard,
    ModelEntry,
    PartialJson,
    Progress,
    ResponseBuilder,
    RunningModel,
    ThinkingStarted,
    TokenLogprob,
    ToolCall,
    ToolCalled,
    ToolFailed,
    Value,
    read_messages,
)

_CALL = ToolCall(Function("get_time", {"city": "Oslo"}, 0), "call_1")
_CALL_DICT = {"function": {"name": "get_time", "arguments": {"city": "Oslo"}, "index": 0}, "id": "call_1"}
_TOOL: dict[str, Any] = {"type": "function", "function": {"name": "get_time", "parameters": {}}}

_CASES: list[tuple[Any, dict[str, Any]]] = [
    (Message(), {}),
    (Message.user("Hi", images=[b"hi"]), {"role": "user", "content": "Hi", "images": ["aGk="]}),
    (Message.assistant(tool_calls=[_CALL]), {"role": "assistant", "tool_calls": [_CALL_DICT]}),
    (_CALL, _CALL_DICT),
    (Metrics(eval_count=3), {"eval_count": 3}),
    (
        Metrics(eval_count=1) + Metrics(eval_count=2),
        {"eval_count": 3, "rounds": [{"eval_count": 1}, {"eval_count": 2}]},
    ),
    (
        Logprob("a", -1.0, (97,), (TokenLogprob("b"),)),
        {
            "token": "a",
            "logprob": -1.0,
            "bytes": [97],
            "top_logprobs": [{"token": "b"}],
        },
    ),
    (Progress(status="pulling", total=9), {"status": "pulling", "total": 9}),
    (Embeddings(model="m", embeddings=((0.5, 1.0),)), {"model": "m", "embeddings": [[0.5, 1.0]]}),
    (ModelEntry(name="m", capabilities=("tools",)), {"name": "m", "capabilities": ["tools"]}),
    (RunningModel(name="m"), {"name": "m"}),
    (ModelCard(model_info={"a": 1}), {"model_info": {"a": 1}}),
    (MeterReading(phase="done", metrics=Metrics(eval_count=3)), {"phase": "done", "metrics": {"eval_count": 3}}),
    (ThinkingStarted(), {"type": "ThinkingStarted"}),
    (ContentDelta("a"), {"type": "ContentDelta", "text": "a"}),
    (ToolCalled(_CALL), {"type": "ToolCalled", "call": _CALL_DICT}),
    (ToolFailed("a", "b"), {"type": "ToolFailed", "name": "a", "content": "b"}),
    (
        Finished(ChatResponse(message=Message.assistant("Hi"), done=True)),
        {
            "type": "Finished",
            "response": {
                "message": {"role": "assistant", "content": "Hi"},
                "messages": [{"role": "assistant", "content": "Hi"}],
                "done": True,
            },
        },
    ),
    (PartialJson({"a": [1]}, path=("a",)), {"value": {"a": [1]}, "complete": False, "path": ["a"]}),
    (
        ChatChunk(
            message=Message.tool("12:00", call=_CALL),
            done=True,
            debug_info={"image_count": 1},
            client=ClientTiming(chunk_count=1),
            tool_failed=True,
        ),
        {
            "message": {"role": "tool", "content": "12:00", "tool_name": "get_time", "tool_call_id": "call_1"},
            "done": True,
            "_debug_info": {"image_count": 1},
            "client": {"chunk_count": 1},
            "tool_failed": True,
        },
    ),
    (
        ChatRequest(model="m", messages="Hi", tools=[_TOOL], options={"seed": 1}, extra={"a": 2}, stream=False),
        {
            "model": "m",
            "messages": [{"role": "user", "content": "Hi"}],
            "tools": [_TOOL],
            "options": {"seed": 1, "a": 2},
            "stream": False,
        },
    ),
    (
        GenerateRequest(model="m", debug_render_only=True, extra={"a": 2}),
        {"model": "m", "_debug_render_only": True, "options": {"a": 2}},
    ),
    (GenerateRequest(model="m", prompt="Hi"), {"model": "m", "prompt": "Hi"}),
]


class TestToDict:
    """`to_dict()` gives plain JSON, under Ollama's names and without defaults."""

    @pytest.mark.parametrize(("value", "expected"), _CASES)
    def test_gives_plain_json(self, value: Any, expected: dict[str, Any]) -> None:
        """Tuples become lists, values become dicts, and any JSON library can write them."""
        written = value.to_dict()

        assert written == expected
        assert json.loads(json.dumps(written)) == expected

    @given(messages())
    def test_gives_messages_that_can_be_read(self, message: Message) -> None:
        """A message is read back from its dict."""
        message = msgspec.structs.replace(message, role=message.role or "user")

        assert read_messages(message.to_dict()) == (message,)

    @given(chunks())
    def test_is_the_way_of_msgspec(self, chunk: ChatChunk) -> None:
        """A value is read back by msgspec."""
        fields = chunk.to_dict()
        own = {
            f"({name})": fields.pop(name)
            for name in ("client", "tool_failed", "tool_progress", "restart")
            if name in fields
        }

        assert msgspec.convert({**fields, **own}, ChatChunk) == chunk

    @given(conversations())
    def test_gives_responses_whose_messages_can_be_sent(self, spoken: list[list[ChatChunk]]) -> None:
        """The messages of a response continue a chat, and survive JSON."""
        builder = ResponseBuilder()
        for chunk in (chunk for message in spoken for chunk in message):
            builder.add(chunk)
        response = builder.snapshot()
        written = json.loads(json.dumps(response.to_dict()))

        assert read_messages(written["messages"]) == response.messages
        assert read_messages(written["message"]) == (response.message,)
        assert msgspec.convert(written.get("metrics", {}), Metrics) == response.metrics

    def test_is_a_method_of_every_value(self) -> None:
        """Every public struct is a `Value`, the other two have the method too."""
        kinds = [kind for name in room.__all__ if isinstance(kind := getattr(room, name), type)]
        structs = [kind for kind in kinds if issubclass(kind, msgspec.Struct)]

        assert [] == [kind for kind in structs if not issubclass(kind, Value)]
        assert all(hasattr(kind, "to_dict") for kind in (ChatResponse, PartialJson))

    def test_subscript(self) -> None:
        """A key, as the official client takes it, is refused with the attribute."""
        chunk: Any = ChatChunk()
        with pytest.raises(TypeError, match=r"'ChatChunk' object is not subscriptable: use \.message, or to_dict\(\)"):
            _ = chunk["message"]
        with pytest.raises(TypeError, match="its fields are attributes"):
            _ = chunk["text"]

    def test_kind_of_str(self) -> None:
        """A subclass of str, such as a numpy.str_, becomes a str, which msgspec encodes."""

        class Text(str):
            __slots__ = ()

        request = ChatRequest(model=Text("m"), messages=Text("Hi"))
        assert request.to_dict() == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        written = GenerateRequest(model="m", prompt=Text("Hi"), system=Text("Be kind.")).to_dict()
        assert written == {"model": "m", "prompt": "Hi", "system": "Be kind."}
