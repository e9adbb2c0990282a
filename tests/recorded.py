"""The answers of a real server, as chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rxollama.messages import ChatChunk

_RECORDINGS = Path(__file__).parent / "recordings"


class Recorded(NamedTuple):
    """The chunks of a recorded answer, and the values that a client should find."""

    chunks: list[ChatChunk]
    expect: dict[str, Any]


def recorded_chats() -> list[str]:
    """Return the names of the recordings of chats in which every line is a chunk."""
    found: list[str] = []
    for path in sorted(_RECORDINGS.glob("*.json")):
        request = msgspec.json.decode(path.read_bytes()).get("request", {})
        try:
            chunks = recorded(path.stem).chunks if request.get("path") == "/api/chat" else []
        except msgspec.DecodeError:
            continue
        found += [path.stem] if any(chunk.visible for chunk in chunks) else []
    return found


def recorded(name: str) -> Recorded:
    """Return the recording of a chat in which every line is a chunk."""
    recording = msgspec.json.decode((_RECORDINGS / f"{name}.json").read_bytes())
    body = "".join(text for _, text in recording["reads"])
    chunks = [msgspec.json.decode(line, type=ChatChunk) for line in body.split("\n") if line]
    return Recorded(chunks, recording["expect"])
