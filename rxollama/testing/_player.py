"""The player, which sends a reply over a connection."""

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

# SO_LINGER for 0 seconds: closing then resets the connection. The fields are shorter on Windows.
_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)

# A reset may overtake the last bytes, even on loopback.
_SETTLE = 0.01

# The number of pieces without a pause after which other connections get their turn.
_PIECES_PER_TURN = 64


class _Response(web.StreamResponse):
    # Ollama sends its headers in one packet with the first record. aiohttp would send them first.
    _send_headers_immediately = False


class Player:
    """
    The sending of one reply.

    Args:
        reply: The reply.
        request: The request that it answers.
        seen: The record of the request, which is kept up to date.
        journal: The journal, which is told of the end.
    """

    def __init__(self, reply: Reply, request: web.BaseRequest, seen: SeenRequest, journal: Journal) -> None:
        self._reply = reply
        self._request = request
        self._seen = seen
        self._journal = journal
        self._due = time.monotonic()
        self._response = _Response(status=reply.status or 200, headers=_headers_of(reply))

    async def play(self) -> web.StreamResponse:
        """
        Send all pieces at their moments, and end as the reply is scripted.

        Returns:
            The response, with which aiohttp goes on to the next request.
        """
        complete = False
        with contextlib.suppress(ConnectionError):
            await self._send_all()
            complete = await self._end()
        if not complete:
            # The connection is lost, or the reply stalls. aiohttp cancels this task when the connection is lost.
            await asyncio.Event().wait()
        return self._response

    async def _send_all(self) -> None:
        pieces = self._reply.pieces if self._request.method != "HEAD" else ()
        for place, piece in enumerate(pieces):
            if place % _PIECES_PER_TURN == _PIECES_PER_TURN - 1:
                await asyncio.sleep(0)
            if piece.wait:
                await self._wait(piece.wait)
            if place == 0 and self._reply.status is not None:
                await self._response.prepare(self._request)
            await self._send(piece.data)

    async def _wait(self, seconds: float) -> None:
        # The moment is relative to the previous one and not to now, so that delays do not add up.
        self._due += seconds
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
        if self._reply.end_wait:
            await self._wait(self._reply.end_wait)
        if ending == "complete" and self._reply.status is not None:
            await self._response.prepare(self._request)
            start = time.monotonic()
            await self._response.write_eof()
            self._seen.first_byte_at = self._seen.first_byte_at or start
            self._journal.reply_finished(self._seen)
            return True
        if ending != "stalled":
            await self._disconnect(reset=ending == "reset")
        return False

    async def _disconnect(self, *, reset: bool) -> None:
        transport = self._journal.connections[self._request.protocol]
        if reset:
            await asyncio.sleep(_SETTLE)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self._journal.reply_finished(self._seen)
        transport.abort()


def _headers_of(reply: Reply) -> list[tuple[str, str]]:
    # aiohttp frames the body, and sets this header itself.
    return [header for header in reply.headers if header[0].lower() != "transfer-encoding"]
