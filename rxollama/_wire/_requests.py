"""Requests to bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rxollama.messages import ChatRequest, GenerateRequest, Message

__all__ = ("encode", "encode_chat", "encode_generate")

_ALWAYS = ("model", "stream")
_OPTIONAL = ("format", "keep_alive", "options", "think", "truncate", "shift", "logprobs", "top_logprobs")
_GENERATE = ("suffix", "system", "template", "raw")


def encode(fields: Mapping[str, Any]) -> bytes:
    """Write a request's body, leaving out what is None."""
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})


def encode_chat(request: ChatRequest) -> bytes:
    """Write the body of `POST /api/chat`."""
    fields = _common(request)
    fields["messages"] = [_message(message) for message in request.messages]  # type: ignore[arg-type] # Read by then.
    if request.tools:
        fields["tools"] = request.tools
    return encode(fields)


def encode_generate(request: GenerateRequest) -> bytes:
    """Write the body of `POST /api/generate`."""
    fields = _common(request)
    fields["prompt"] = request.prompt
    fields.update((name, getattr(request, name)) for name in _GENERATE)
    if request.images:
        fields["images"] = request.images
    return encode(fields)


def _common(request: ChatRequest | GenerateRequest) -> dict[str, Any]:
    fields = {name: getattr(request, name) for name in (*_ALWAYS, *_OPTIONAL)}
    fields["_debug_render_only"] = request.debug_render_only
    return fields


def _message(message: Message) -> dict[str, Any]:
    """Write one message; `content` is always there, as the server has it, and a call's index, which is no key, is not."""
    fields: dict[str, Any] = {"role": message.role}
    if message.thinking:
        fields["thinking"] = message.thinking
    fields["content"] = message.content
    if message.images:
        fields["images"] = message.images
    if message.tool_calls:
        fields["tool_calls"] = [
            ({"id": call.id} if call.id else {}) | {"function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_name:
        fields["tool_name"] = message.tool_name
    if message.tool_call_id:
        fields["tool_call_id"] = message.tool_call_id
    return fields
