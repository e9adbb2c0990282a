"""The scripted server: an HTTP server on loopback, in its own thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from aiohttp import web

from rxollama.testing._builtin import builtin_reply, find_recording, refuse
from rxollama.testing._journal import Journal, SeenRequest
from rxollama.testing._player import Player
from rxollama.testing._recording import Recording
from rxollama.testing._reply import Reply
from rxollama.testing._server_thread import ServerThread

Recordings: TypeAlias = Mapping[str, Recording] | Sequence[Recording]
Standing: TypeAlias = Reply | Callable[[SeenRequest], Reply]


class ScriptedOllama:
    """
    A scripted Ollama: an HTTP server on loopback, in its own daemon thread.

    A request is answered by the first of these that has a reply for it:

    1. the queue, see `enqueue`;
    2. the standing replies, see `always`;
    3. the recordings: the one with the same request, else one with the same last prompt;
    4. the built-in replies: version, empty lists, load and unload;
    5. *default*;
    6. the error that Ollama would send.

    It is a context manager and an asynchronous one. Constructing it does not start it.

    Args:
        recordings: The recordings, in order of preference.
        default: The reply to every other request, or a function from the request to its reply.
        host: The address to listen on.
        port: The port to listen on. 0 for any free port, which is kept when the server is started again.
        speed: The speed of recordings: 1 keeps their timing, 10 is ten times faster, None is without pauses. It may be
            changed at any time.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        recordings: Recordings | None = None,
        *,
        default: Standing | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float | None = 1.0,
    ) -> None:
        self.speed = speed
        self._recordings = _in_order(recordings)
        self._default = default
        self._host = host
        self._port = port
        self._queue: list[tuple[str | None, Reply]] = []
        self._standing: dict[str | None, Standing] = {}
        self._journal = Journal()
        self._thread: ServerThread | None = None

    @property
    def url(self) -> str:
        """The server's address, such as ``http://127.0.0.1:40123``. It is known when the server has started."""
        return f"http://[{self._host}]:{self._port}" if ":" in self._host else f"http://{self._host}:{self._port}"

    @property
    def port(self) -> int:
        """The port that the server listens on. It is known when the server has started."""
        return self._port

    @property
    def requests(self) -> tuple[SeenRequest, ...]:
        """The requests so far, in order of arrival."""
        with self._journal.changed:
            return tuple(self._journal.requests)

    @property
    def open_connections(self) -> int:
        """The number of open connections."""
        return len(self._journal.connections)

    def enqueue(self, reply: Reply, *more: Reply, path: str | None = None) -> None:
        """
        Queue replies to the next requests, one each. The queue comes before everything else.

        Args:
            reply: The next reply.
            *more: The replies after it.
            path: The path whose requests they answer. None for any path.
        """
        with self._journal.changed:
            self._queue += [(path, each) for each in (reply, *more)]

    def always(self, answer: Standing, path: str | None = "/api/chat") -> None:
        """
        Set the reply to all requests to a path for which the queue holds none.

        Args:
            answer: The reply, or a function from the request to its reply. It is called on the server's thread.
            path: The path. None for every path without a standing reply.
        """
        with self._journal.changed:
            self._standing[path] = answer

    def wait_for(self, count: int, timeout: float = 5.0) -> tuple[SeenRequest, ...]:
        """
        Block until this many requests have arrived.

        Args:
            count: The number of requests, counted from the beginning.
            timeout: The longest time to wait, in seconds.

        Returns:
            All requests so far.

        Raises:
            TimeoutError: If fewer arrive in time.
        """
        seen = self._journal.requests
        return self._journal.wait(lambda: tuple(seen) if len(seen) >= count else None, timeout, f"{count} requests")

    def wait_idle(self, timeout: float = 5.0) -> None:
        """
        Block until no request is being answered.

        Args:
            timeout: The longest time to wait, in seconds.

        Raises:
            TimeoutError: If it takes longer.
        """
        self._journal.wait(lambda: not self._journal.answering or None, timeout, "all answers to end")

    def wait_closed(self, timeout: float = 5.0) -> None:
        """
        Block until no connection is open.

        Args:
            timeout: The longest time to wait, in seconds.

        Raises:
            TimeoutError: If it takes longer.
        """
        self._journal.wait(lambda: not self._journal.connections or None, timeout, "all connections to close")

    def start(self) -> Self:
        """
        Start to listen. A server that listens already is left as it is.

        Returns:
            The server itself.

        Raises:
            OSError: If the address is in use, or does not belong to this machine.
        """
        thread = self._launch()
        try:
            self._port = thread.started.result()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Abort all connections and end the thread. A server that was not started is left as it is."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    close = stop

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        thread = self._launch()
        try:
            self._port = await asyncio.shield(asyncio.wrap_future(thread.started))
        except BaseException:
            self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.astop()

    def _launch(self) -> ServerThread:
        if self._thread is None:
            self._thread = ServerThread(self._host, self._port, self._answer, self._journal)
        return self._thread

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        seen = SeenRequest(
            method=request.method,
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
            peer_port=self._journal.connections[connection].get_extra_info("peername")[1],
            journal=self._journal,
        )
        self._journal.request_began(connection, seen)
        try:
            return await Player(self._reply_to(seen), request, seen, self._journal).play()
        finally:
            self._journal.request_ended(connection)

    def _reply_to(self, seen: SeenRequest) -> Reply:
        with self._journal.changed:
            for index, (path, reply) in enumerate(self._queue):
                if path in (None, seen.path):
                    del self._queue[index]
                    return reply
            standing = self._standing.get(seen.path) or self._standing.get(None)
        chosen = standing or self._recorded(seen) or builtin_reply(seen) or self._default or refuse(seen)
        return chosen if isinstance(chosen, Reply) else chosen(seen)

    def _recorded(self, seen: SeenRequest) -> Reply | None:
        recording = find_recording(self._recordings, seen)
        return Reply.of(recording, self.speed) if recording is not None else None


def _in_order(recordings: Recordings | None) -> tuple[Recording, ...]:
    if recordings is None:
        return ()
    return tuple(recordings.values() if isinstance(recordings, Mapping) else recordings)
