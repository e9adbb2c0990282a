"""
The wire: bytes from the server to values, and values to bytes. No input or output happens here.

A decoder is fed the body as it arrives, cut anywhere, and hands out the records that are whole. A fault does not
swallow what came before it: `failure` is set after the good records have been handed out. Only this package knows
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
from rxollama._wire._server_errors import status_error

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
    "status_error",
)
