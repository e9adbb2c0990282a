"""The encoders of requests."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from wire_cases import RECORDINGS

from rxollama._wire import encode, encode_chat, encode_generate
from rxollama._wire._server_errors import is_object
from rxollama.errors import InvalidValueError
from rxollama.messages import ChatRequest, Function, GenerateRequest, Message, ToolCall

# Requests that the library refuses before sending them, as the server did.
_REFUSED = {"bad-format", "bad-option", "bad-think"}
# A data URI, which the server refuses and the library decodes.
_MENDED = "bad-image"

_CHATS: dict[str, dict[str, Any]] = {
    name: recording.request.body
    for name, recording in RECORDINGS.items()
    if recording.request.path == "/api/chat" and is_object(recording.request.body)
}
_GENERATIONS: dict[str, dict[str, Any]] = {
    name: recording.request.body for name, recording in RECORDINGS.items() if recording.request.path == "/api/generate"
}


def _sent(request: ChatRequest | GenerateRequest) -> dict[str, Any]:
    body = encode_chat(request) if isinstance(request, ChatRequest) else encode_generate(request)
    return msgspec.json.decode(body, type=dict[str, Any])


@pytest.mark.parametrize("name", sorted(_CHATS.keys() - _REFUSED - {_MENDED}))
def test_recorded_chat_is_sent_as_it_was(name: str) -> None:
    """A request built from a recorded one is encoded as that was, with an explicit `stream`."""
    assert {"stream": True} | _CHATS[name] == _sent(ChatRequest(**_CHATS[name]))


@pytest.mark.parametrize("name", sorted(_GENERATIONS))
def test_recorded_generation_is_sent_as_it_was(name: str) -> None:
    """A generation built from a recorded one is encoded as that was."""
    assert {"stream": True} | _GENERATIONS[name] == _sent(GenerateRequest(**_GENERATIONS[name]))


@pytest.mark.parametrize("name", sorted(_REFUSED))
def test_recorded_mistake_is_not_sent(name: str) -> None:
    """A request that the server refused for its values is refused before it is sent."""
    with pytest.raises(InvalidValueError):
        ChatRequest(**_CHATS[name])


def test_recorded_data_uri_is_sent_as_base64() -> None:
    """A data URI is sent as the base64 text in it."""
    assert ["AAAA"] == _sent(ChatRequest(**_CHATS[_MENDED]))["messages"][0]["images"]


def test_every_field_of_a_chat() -> None:
    """Every field of a chat is encoded under Ollama's name."""
    tool: dict[str, Any] = {
        "type": "function",
        "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
    }
    request = ChatRequest(
        model="m",
        messages="Hi",
        stream=False,
        tools=[tool],
        format={"type": "object"},
        keep_alive=timedelta(minutes=5),
        options={"seed": 7, "stop": ["a"], "main_gpu": None},
        think="high",
        truncate=False,
        shift=True,
        logprobs=True,
        top_logprobs=2,
        debug_render_only=True,
    )

    assert {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
        "tools": [tool],
        "format": {"type": "object"},
        "keep_alive": 300.0,
        "options": {"seed": 7, "stop": ["a"], "main_gpu": None},
        "think": "high",
        "truncate": False,
        "shift": True,
        "logprobs": True,
        "top_logprobs": 2,
        "_debug_render_only": True,
    } == _sent(request)


def test_extra_options() -> None:
    """Options of any name replace the known ones, and are sent alone as well."""
    both = ChatRequest(model="m", messages="Hi", options={"seed": 1, "top_k": 2}, extra={"seed": 3, "of_tomorrow": [4]})
    alone = GenerateRequest(model="m", prompt="Hi", extra={"of_tomorrow": 4})

    assert _sent(both)["options"] == {"seed": 3, "top_k": 2, "of_tomorrow": [4]}
    assert msgspec.json.decode(encode_generate(alone))["options"] == {"of_tomorrow": 4}


def test_every_field_of_a_generation() -> None:
    """Every field of a generation is encoded under Ollama's name."""
    request = GenerateRequest(
        model="m", prompt="Hi", suffix="s", system="y", template="t", raw=False, images=[b"a"], keep_alive="5m"
    )

    assert {
        "model": "m",
        "prompt": "Hi",
        "stream": True,
        "suffix": "s",
        "system": "y",
        "template": "t",
        "raw": False,
        "images": ["YQ=="],
        "keep_alive": "5m",
    } == _sent(request)


def test_fields_that_were_not_given() -> None:
    """Fields that were not given are not sent, so the server's defaults apply."""
    assert {"model": "m", "messages": [], "stream": True} == _sent(ChatRequest(model="m", messages=()))
    assert {"model": "m", "prompt": "", "stream": True} == _sent(GenerateRequest(model="m"))


@pytest.mark.parametrize("think", [True, False, "low"])
def test_thinking_that_is_asked_for_or_forbidden(think: Any) -> None:
    """`think=False` is sent, `think=None` is not."""
    assert think == _sent(ChatRequest(model="m", messages="Hi", think=think))["think"]


def test_images_in_every_form(tmp_path: Path) -> None:
    """Images as a path, bytes, base64 text or a data URI are sent as base64 text."""
    picture = b"\x89PNG picture"
    text = base64.b64encode(picture).decode()
    path = tmp_path / "picture.png"
    path.write_bytes(picture)
    message = Message.user("What is this?", images=[path, picture, text, f"data:image/png;base64,{text}"])

    assert [{"role": "user", "content": "What is this?", "images": [text] * 4}] == _sent(
        ChatRequest(model="m", messages=[message])
    )["messages"]


def test_history_with_calls() -> None:
    """
    Calls are sent with their ids and without their index, results with the name and the id of their call.

    Content is sent even if it is empty.
    """
    call = ToolCall(Function("look", {"at": None}, 3), "call_1")
    nameless = ToolCall(Function("listen", {}, 3))
    history = [
        Message.assistant(thinking="Hm.", tool_calls=[call, nameless]),
        Message.tool("nothing", call=call),
        Message.tool("", call=nameless),
    ]

    assert [
        {
            "role": "assistant",
            "thinking": "Hm.",
            "content": "",
            "tool_calls": [
                {"id": "call_1", "function": {"name": "look", "arguments": {"at": None}}},
                {"function": {"name": "listen", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "nothing", "tool_name": "look", "tool_call_id": "call_1"},
        {"role": "tool", "content": "", "tool_name": "listen"},
    ] == _sent(ChatRequest(model="m", messages=history))["messages"]


def test_fields_of_any_call() -> None:
    """A body omits None, and keeps false and empty values."""
    assert b'{"a":0,"b":false,"c":"","e":{"f":null}}' == encode(
        {"a": 0, "b": False, "c": "", "d": None, "e": {"f": None}}
    )


@pytest.mark.parametrize("value", ["broken \ud800 words", object(), {(1, 2): 3}, [10**5000]])
def test_value_that_is_no_json(value: object) -> None:
    """A value that cannot be written as JSON is refused by its field's name, and not shown."""
    with pytest.raises(InvalidValueError, match=r"input: expected .*, got ") as refused:
        encode({"model": "m", "input": value})

    assert "input" == refused.value.field
    assert "broken" not in str(refused.value)


def test_half_a_character_in_a_message() -> None:
    """Half of a surrogate pair is refused before it is sent."""
    with pytest.raises(InvalidValueError, match="messages"):
        encode_chat(ChatRequest(model="m", messages="broken \ud800 words"))
