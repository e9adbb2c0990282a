"""The least work that a client in Python can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import orjson
from _clients import Chat, Received

__all__ = ("raw",)

# All reads of a thread can share it, because each read is taken out at once.
_BUFFER = memoryview(bytearray(256 * 1024))


class _Socket(asyncio.BufferedProtocol):
    """
    A reader of records from a socket that relies on how this server writes them.

    A plain protocol gets a new buffer of 256 KiB for each read. In so small a process that costs two page faults, which
    are half of the CPU time of a paced read.
    """

    def __init__(self, received: Received) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self._received = received
        self._rest = b""

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        lines = (self._rest + _BUFFER[:nbytes]).split(b"\n")
        self._rest = lines.pop()
        received = self._received
        for line in lines:
            if line.startswith(b"{"):
                record = orjson.loads(line)
                message = record["message"]
                received.chunks += 1
                if thinking := message.get("thinking"):
                    received.thinking.append(thinking)
                if content := message["content"]:
                    received.content.append(content)
                if calls := message.get("tool_calls"):
                    received.calls += len(calls)
                if record["done"]:
                    self.ended.set_result(None)


@asynccontextmanager
async def raw(url: str) -> AsyncGenerator[Chat]:
    """Read from a socket."""
    host, _, port = url.removeprefix("http://").partition(":")

    async def chat(model: str, received: Received) -> None:
        transport, protocol = await asyncio.get_running_loop().create_connection(
            lambda: _Socket(received), host, int(port)
        )
        messages = [{"role": "user", "content": "Why is the sky blue?"}]
        body = orjson.dumps({"model": model, "messages": messages, "think": True})
        transport.write(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await protocol.ended
        transport.close()

    yield chat
