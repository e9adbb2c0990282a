"""
One connection of the pool: sends a request, receives its response, and waits for the next request.

`data_received` feeds each read to the framing of the body and hands the result to the function that takes it. While
nobody takes or reads, the body is held, and above a limit reading pauses.

A connection serves the next request only if nothing of the last one is open: the request was sent completely, its
response was read completely, nothing followed it, and neither side asked to close. Bytes that arrive between two
requests close the connection. They would otherwise be taken for the response to the next request.

A request is sent once. If an idle connection breaks as the next request is sent, the server may have read the request,
so it is never repeated here.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, TypeAlias, cast

import httpx

from rxollama._http._framing import Framing
from rxollama._http._heads import Head, HeadExchange

__all__ = ("Connection", "Take")

_HELD_LIMIT = 256 * 1024
# Windows has no `poll`, but no limit for the numbers of sockets in `select` either.
_SELECTOR: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)

Take: TypeAlias = Callable[[bytes], bool]
"""A function that takes each piece of a body, and returns True if it wants no more."""


class Connection(asyncio.Protocol):
    """
    A connection.

    Args:
        closed: Called when the connection is closed.
    """

    _transport: asyncio.Transport

    def __init__(self, closed: Callable[[Connection], None]) -> None:
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._expiry: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None
        self._is_made = self._is_paused = False
        self._forget_request()

    def _forget_request(self) -> None:
        self._heads: HeadExchange | None = None
        self._head: Head | None = None
        # The framing, and the same while the body is not over.
        self._framing: Framing | None = None
        self._receiving: Framing | None = None
        self._fault: Exception | None = None
        self._held: list[bytes] = []
        self._held_size = 0
        self._take: Take | None = None
        self._raised: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._upload: asyncio.Task[None] | None = None
        self._is_sent = False

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._is_made = True

    def data_received(self, data: bytes) -> None:
        framing = self._receiving
        if framing is None:
            self._receive_head(data)
            return
        body = framing.feed(data)
        if body:
            if (take := self._take) is None:
                self._hold(body)
            else:
                try:
                    is_enough = take(body)
                except BaseException as error:  # noqa: BLE001 - `deliver` returns it.
                    self._raised, is_enough = error, True
                if is_enough:
                    self._take = None
                    self._wake()
        if framing.over:
            self._receiving = None
            # Over TLS, what follows the body may have left the socket already. `is_usable` would not see it.
            self._resume_reading()
            if framing.has_surplus:
                self.abort()
            self._wake()
        elif framing.fault:
            self._fail(httpx.RemoteProtocolError(framing.fault))

    def eof_received(self) -> None:
        if self._framing is not None:
            self._framing.end()
        # asyncio would close the connection only after sending what the server does not read any more.
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._receive_unread()
        if self._fault is None and not self._is_over():
            self._fault = self._loss(exc)
        if self._expiry is not None:
            self._expiry.cancel()
        if self._upload is not None:
            self._upload.cancel()
        self.resume_writing()
        self._wake()
        self._closed(self)
        self._end.set_result(None)

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # Called by the pool.

    @property
    def is_lost(self) -> bool:
        """Whether the connection is closed."""
        return self._end.done()

    def is_usable(self) -> bool:
        """Return whether an idle connection can serve a request: it is open, and nothing has arrived on it."""
        if self._transport.is_closing():
            return False
        # The loop has not seen what arrived while it was busy.
        with _SELECTOR() as selector:
            selector.register(self._transport.get_extra_info("socket").fileno(), selectors.EVENT_READ)
            return not selector.select(0)

    async def send(self, request: httpx.Request) -> Head:
        """
        Send a request, and wait for the head of its response.

        Raises:
            TransportError: If the connection breaks or the response is not HTTP.
        """
        if self._expiry is not None:
            self._expiry.cancel()
        self._heads = heads = HeadExchange()
        pieces = aiter(cast("httpx.AsyncByteStream", request.stream))
        first, second = await anext(pieces, b""), await anext(pieces, None)
        # uvloop raises if a connection is written to that is lost. The fault is raised below.
        if not self._transport.is_closing():
            # A short request is one packet. Its head holds the key, so it is no local variable.
            self._transport.write(heads.encode(request) + first)
        if second is None:
            self._is_sent = True
        else:
            # The response may arrive before the request is sent, and may be the reason not to send the rest.
            self._upload = self._loop.create_task(self._send_rest(second, pieces))
        while self._head is None:
            await self._wait()
        return self._head

    async def read(self) -> bytes:
        """Return the next piece of the body; empty at its end."""
        while not self._held:
            if self._is_over():
                return b""
            await self._wait()
        return self._pop_held()

    async def deliver(self, take: Take) -> BaseException | None:
        """
        Hand each piece of the body to a function, in the caller's context, until it wants no more or the body ends.

        Returns:
            The exception that the function raised. It is not raised here, since it is not a fault of the network.
        """
        # Reads run in the context in which the connection was opened.
        run: Any = copy_context().run
        take_in_context: Take = partial(run, take)
        if self._held:
            try:
                if take_in_context(self._pop_held()):
                    return None
            except BaseException as error:  # noqa: BLE001 - The caller raises it.
                return error
        if self._is_over():
            return None
        self._take = take_in_context
        try:
            await self._wait()
        finally:
            is_enough = self._take is not take_in_context
            self._take = None
        if not is_enough and not self._is_over():
            self._check()
        raised, self._raised = self._raised, None
        return raised

    def finish(self, keepalive: float) -> bool:
        """
        End a response, and return whether the connection can serve another request. Otherwise close it.

        Args:
            keepalive: The number of seconds after which an idle connection closes.
        """
        transport, head = self._transport, self._head
        is_complete = head is not None and head.keeps_alive and self._is_sent and self._is_over()
        if transport.is_closing() or not is_complete or transport.get_write_buffer_size():
            self.abort()
            return False
        self._forget_request()
        self._expiry = self._loop.call_later(keepalive, self.abort)
        return True

    def abort(self) -> None:
        """Close the connection at once, without sending the rest of the request."""
        if not self._is_made:
            return
        own = self._transport.get_extra_info("socket")
        if own is not None and not self._transport.is_closing():
            # A child that was forked meanwhile holds a copy of the socket. Without this the server would notice the end
            # only when the child exits. A loop lends its socket only in part, so a copy is shut down.
            with suppress(OSError), socket.fromfd(own.fileno(), own.family, own.type) as copy:
                copy.shutdown(socket.SHUT_RDWR)
        self._transport.abort()

    async def aclose(self) -> None:
        """Close the connection at once, and wait until it is closed."""
        self.abort()
        await asyncio.wait([self._end, self._upload] if self._upload is not None else [self._end])

    # The rest.

    def _receive_head(self, data: bytes) -> None:
        """Receive bytes that are not the body."""
        if self._heads is None:
            self._fail(httpx.RemoteProtocolError("the server sent bytes that no request asked for"))
            return
        try:
            head = self._heads.feed(data)
        except httpx.RemoteProtocolError as error:
            self._fail(error)
            return
        if head is not None:
            self._heads, self._head, self._framing = None, head, head.framing
            self._receiving = None if head.framing.over else head.framing
            self._wake()
            if head.rest:
                self.data_received(head.rest)

    def _receive_unread(self) -> None:
        """
        Receive what has arrived on a connection that was reset.

        A server that refuses a large request may close before it has read all of it. asyncio gives up a connection that
        cannot be written to without reading the refusal. Over TLS only asyncio could read it.
        """
        own = self._transport.get_extra_info("socket")
        if own is None or self._transport.get_extra_info("sslcontext") is not None:
            return
        with suppress(OSError), socket.fromfd(own.fileno(), own.family, own.type) as copy:
            copy.setblocking(False)
            while data := copy.recv(_HELD_LIMIT):
                self.data_received(data)

    async def _send_rest(self, piece: bytes | None, pieces: AsyncIterator[bytes]) -> None:
        while piece is not None:
            if self._writable is not None:
                await self._writable
            if self._transport.is_closing():
                return
            self._transport.write(piece)
            await asyncio.sleep(0)
            piece = await anext(pieces, None)
        self._is_sent = True

    def _hold(self, body: bytes) -> None:
        self._held.append(body)
        self._held_size += len(body)
        if self._held_size > _HELD_LIMIT and not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def _pop_held(self) -> bytes:
        held, self._held, self._held_size = self._held, [], 0
        return b"".join(held)

    def _resume_reading(self) -> None:
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    async def _wait(self) -> None:
        """Wait for the head, a held piece or the end of the body, or raise the fault."""
        self._check()
        self._resume_reading()
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _is_over(self) -> bool:
        return self._framing is not None and self._framing.over

    def _fail(self, fault: Exception) -> None:
        self._fault = fault
        self._wake()
        self.abort()

    def _loss(self, cause: Exception | None) -> Exception:
        if cause is not None:
            fault: Exception = httpx.ReadError(str(cause))
        elif self._head is None:
            fault = httpx.RemoteProtocolError("Server disconnected without sending a response.")
        else:
            fault = httpx.RemoteProtocolError("peer closed connection without sending complete message body")
        fault.__cause__ = cause
        return fault
