"""The part of a request's body that matters for the wait."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import msgspec

from rxollama._hosts import full_name
from rxollama.client._learned_wait import SentSize

__all__ = ("SentRequest", "is_remote", "read_sent")

# The server's own default: https://github.com/ollama/ollama/blob/main/envconfig/config.go.
_KEEP_ALIVE = 300.0
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
# The beginning of a message, as the encoder writes it; thinking would come before the content.
_ANSWER = b'{"role":"assistant","content":'
_PART = re.compile(r"([0-9.]+)(ns|us|µs|μs|ms|s|m|h)")


class Part(NamedTuple):
    """
    A message, without its text.

    Args:
        hash: The hash of its text.
        length: The bytes of it, without images.
        is_answer: Whether a model wrote it, and the server's cache holds it since then. Templates leave out what the
            model thought, and what stands behind that is read again.
    """

    hash: int
    length: int
    is_answer: bool = False


class SentRequest(msgspec.Struct, frozen=True):
    """
    A request that was sent, as far as it matters for the wait. It holds no text.

    Args:
        length: The bytes of its text.
        parts: The messages, in order.
        has_images: Whether there are images.
        keep_alive: How long the model stays loaded afterwards, in seconds.
        is_streamed: Whether the answer arrives as it is generated.
    """

    length: int
    parts: tuple[Part, ...] = ()
    has_images: bool = False
    keep_alive: float = _KEEP_ALIVE
    is_streamed: bool = True

    def size_after(self, before: SentRequest | None) -> SentSize:
        """
        Return the size of the request.

        Args:
            before: The request that was sent before to the same model. The messages at the beginning that both have are
                known to the server's cache, with its answer, and with what stands around the messages, such as tools.
        """
        if before is None:
            return SentSize(self.length, None, self.has_images)
        count = 0
        for part, other in zip(self.parts, before.parts, strict=False):
            if part != other:
                break
            count += 1
        if 0 < count == len(before.parts) < len(self.parts) and self.parts[count].is_answer:
            count += 1
        new = sum(part.length for part in self.parts[count:])
        return SentSize(self.length, self.length - new if count else 0, self.has_images)


class _Body(msgspec.Struct):
    """The fields of a body that matter. Texts stay as they were written, which costs nothing."""

    messages: tuple[msgspec.Raw, ...] = ()
    prompt: msgspec.Raw = msgspec.Raw()
    images: msgspec.Raw = msgspec.Raw()
    keep_alive: float | str | None = None
    stream: bool = True


class _Images(msgspec.Struct):
    images: msgspec.Raw = msgspec.Raw()


_read_body = msgspec.json.Decoder(_Body).decode
_read_images = msgspec.json.Decoder(_Images).decode


def read_sent(body: bytes) -> SentRequest:
    """Read the body of a chat or a generation. If it cannot be read, only its length counts."""
    try:
        fields = _read_body(body)
    except (msgspec.DecodeError, RecursionError):
        return SentRequest(len(body))
    images = [len(memoryview(fields.images))]
    parts: list[Part] = []
    for raw in (*fields.messages, fields.prompt):
        text = bytes(raw)
        if not text:
            continue
        length = len(memoryview(_read_images(text).images)) if b'"images":' in text and text[:1] == b"{" else 0
        images.append(length)
        parts.append(Part(hash(text), len(text) - length, text.startswith(_ANSWER)))
    return SentRequest(
        length=len(body) - sum(images),
        parts=tuple(parts),
        has_images=any(images),
        keep_alive=_keep_alive(fields.keep_alive),
        is_streamed=fields.stream,
    )


def _keep_alive(given: Any) -> float:
    if given is None:
        return _KEEP_ALIVE
    if isinstance(given, str):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(given))
        given = -seconds if given.startswith("-") else seconds
    # A negative time means without a limit.
    return math.inf if given < 0 else float(given)


def is_remote(model: str) -> bool:
    """Return whether a model runs in the cloud, where nothing is loaded for this client."""
    tag = full_name(model).rpartition(":")[2]
    return tag == "cloud" or tag.endswith("-cloud")
