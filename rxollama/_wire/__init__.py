"""
Decoders of response bodies and encoders of request bodies.

Nothing here does any input or output. A decoder takes the body in pieces, cut anywhere, and returns the records that
are complete. After a bad record it still returns the good ones before it, and sets `failure`. No other room knows
Ollama's JSON.
"""

from rxollama._wire._decoders import MAX_LINE, BodyDecoder, Decoder, LineDecoder
from rxollama._wire._records import (
    CHAT,
    GENERATE,
    PROGRESS,
    Kind,
    read_body,
    read_models,
    read_nothing,
    read_running,
    read_version,
)
from rxollama._wire._requests import encode, encode_chat, encode_generate
from rxollama._wire._server_errors import refusal, status_error

__all__ = (
    "CHAT",
    "GENERATE",
    "MAX_LINE",
    "PROGRESS",
    "BodyDecoder",
    "Decoder",
    "Kind",
    "LineDecoder",
    "encode",
    "encode_chat",
    "encode_generate",
    "read_body",
    "read_models",
    "read_nothing",
    "read_running",
    "read_version",
    "refusal",
    "status_error",
)
