"""Requests to a scripted server over plain sockets."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx

from rxollama.testing import Recording, ScriptedOllama

__all__ = ("CHAT", "RECORDINGS", "connect", "post", "read_all", "read_until")

RECORDINGS = Recording.load_all(Path(__file__).parent / "recordings")
CHAT = {"model": "plain", "messages": [{"role": "user", "content": "Hello?"}]}


def connect(server: ScriptedOllama, body: bytes = b"{}") -> socket.socket:
    """Send a chat request on its own socket."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    head = f"POST /api/chat HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def read_all(client: socket.socket) -> bytes:
    """Read until the server closes."""
    parts: list[bytes] = []
    while part := client.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def read_until(client: socket.socket, end: bytes) -> bytes:
    """Read until these bytes have arrived."""
    data = b""
    while not data.endswith(end):
        data += client.recv(1 << 20)
    return data


def post(server: ScriptedOllama, body: Any = CHAT, path: str = "/api/chat") -> httpx.Response:
    """Send a request with a JSON body."""
    return httpx.post(server.url + path, json=body)
