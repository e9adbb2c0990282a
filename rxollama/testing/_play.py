"""Play a reply on a connection, and note how it went."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time

from aiohttp import web

from rxollama.testing._journal import Journal, SeenRequest
from rxollama.testing._reply import Reply

# Linger on, for no time: closing then resets the connection. Windows has shorter fields.
_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)

# A reset may overtake what is still on its way to the client, even on loopback.
_SETTLE = 0.01

# After so many pieces without a pause the loop has a look at its other connections.
_TURN = 64


class _Response(web.StreamResponse):
    # Ollama's headers come in one packet with its first record; aiohttp's would go ahead.
    _send_headers_immediately = False


class Player:
    """
    Plays one reply.

    Args:
        reply: What to play.
        request: What it answers.
        seen: The record to keep up to date.
        journal: Where to note the end.
    """

    def __init__(self, reply: Reply, request: web.BaseRequest, seen: SeenRequest, journal: Journal) -> None:
        self._reply = reply
        self._request = request
        self._seen = seen
        self._journal = journal
        self._due = time.monotonic()
        self._response = _Response(status=reply.status or 200, headers=_framed(reply))

    async def play(self) -> web.StreamResponse:
        """
        Send all pieces at their moments and end as the reply says.

        Returns:
            The response, for aiohttp to go on to the next request.
        """
        complete = False
        with contextlib.suppress(ConnectionError):
            await self._send_all()
            complete = await self._end()
        if not complete:
            # The connection is gone or going, or stalls: aiohttp cancels this when it is lost.
            await asyncio.Event().wait()
        return self._response

    async def _send_all(self) -> None:
        pieces = self._reply.pieces if self._request.method != "HEAD" else ()
        for turn, piece in enumerate(pieces):
            if turn % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            if piece.wait:
                await self._until(piece.wait)
            if turn == 0 and self._reply.status is not None:
                await self._response.prepare(self._request)
            await self._send(piece.data)

    async def _until(self, wait: float) -> None:
        # Each moment counts from the one before and not from now: lateness does not add up.
        self._due += wait
        await asyncio.sleep(self._due - time.monotonic())

    async def _send(self, data: bytes) -> None:
        start = time.monotonic()
        try:
            await self._request.writer.write(data)
            self._seen.first_byte_at = self._seen.first_byte_at or start
            await self._request.writer.drain()
            self._seen.sent += len(data)
        finally:
            waited = time.monotonic() - start
            self._seen.longest_write_wait = max(self._seen.longest_write_wait, waited)

    async def _end(self) -> bool:
        ending = self._reply.ending
        if self._reply.rest:
            await self._until(self._reply.rest)
        if ending == "complete" and self._reply.status is not None:
            await self._response.prepare(self._request)
            start = time.monotonic()
            await self._response.write_eof()
            self._seen.first_byte_at = self._seen.first_byte_at or start
            self._journal.finished(self._seen)
            return True
        if ending != "stalled":
            await self._break_off(reset=ending == "reset")
        return False

    async def _break_off(self, *, reset: bool) -> None:
        transport = self._journal.connections[self._request.protocol]
        if reset:
            await asyncio.sleep(_SETTLE)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self._journal.finished(self._seen)
        transport.abort()


def _framed(reply: Reply) -> list[tuple[str, str]]:
    # How the body is framed on the wire is aiohttp's to say.
    return [header for header in reply.headers if header[0].lower() != "transfer-encoding"]
