"""Encoders of request bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rxollama._invalid_value import invalid_value
from rxollama.messages import ChatRequest, GenerateRequest, Message, read_options

__all__ = ("encode", "encode_chat", "encode_generate")

_ALWAYS = ("model", "stream")
_OPTIONAL = ("format", "keep_alive", "think", "truncate", "shift", "logprobs", "top_logprobs")
_GENERATE = ("suffix", "system", "template", "raw")


def encode(fields: Mapping[str, Any]) -> bytes:
    """
    Return the body of a request.

    Args:
        fields: The fields by name. Those that are None are left out.

    Returns:
        The body, as JSON.

    Raises:
        InvalidValueError: If a field cannot be written as JSON.
    """
    written = {name: msgspec.Raw(_json(name, value)) for name, value in fields.items() if value is not None}
    return msgspec.json.encode(written)


def _json(field: str, value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError):
        # The reason may quote the text, so it is not shown. The usual reason is half a surrogate pair.
        raise invalid_value(field, value, "values that JSON can hold, with valid Unicode text", show=False) from None


def encode_chat(request: ChatRequest) -> bytes:
    """Return the body of `POST /api/chat`."""
    fields = _common(request)
    fields["messages"] = [_message(message) for message in request.messages]
    if request.tools:
        fields["tools"] = request.tools
    return encode(fields)


def encode_generate(request: GenerateRequest) -> bytes:
    """Return the body of `POST /api/generate`."""
    fields = _common(request)
    fields["prompt"] = request.prompt
    fields.update((name, getattr(request, name)) for name in _GENERATE)
    if request.images:
        fields["images"] = request.images
    return encode(fields)


def _common(request: ChatRequest | GenerateRequest) -> dict[str, Any]:
    fields = {name: getattr(request, name) for name in (*_ALWAYS, *_OPTIONAL)}
    fields["options"] = read_options(request.options, request.extra)
    fields["_debug_render_only"] = request.debug_render_only
    return fields


def _message(message: Message) -> dict[str, Any]:
    """Return the fields of a message: with `content` also if it is empty, and without the index of a call."""
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
