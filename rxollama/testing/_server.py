"""The scripted server: a real HTTP server on loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from aiohttp import web

from rxollama.testing._builtin import builtin, matching, refusal
from rxollama.testing._journal import Journal, SeenRequest
from rxollama.testing._play import Player
from rxollama.testing._recording import Recording
from rxollama.testing._reply import Reply
from rxollama.testing._server_thread import ServerThread

Recordings: TypeAlias = Mapping[str, Recording] | Sequence[Recording]
Standing: TypeAlias = Reply | Callable[[SeenRequest], Reply]


class ScriptedOllama:
    """
    A server that answers as scripted, on loopback, in a daemon thread of its own.

    A request is answered by the first of these that has something for it: the queue (`enqueue`), the
    standing answers (`always`), the recordings (the same request, else one that said the same last), the
    built-in answers (version, empty lists, load and unload), `default`, and a refusal in Ollama's words.

    It is a context manager, both plain and asynchronous; constructing it starts nothing.

    Args:
        recordings: Recordings to answer from, the preferred first.
        default: What answers, in place of a refusal, what nothing else does.
        host: The address to listen on.
        port: The port to listen on; 0 for any that is free, which is kept when started again.
        speed: How fast recordings are played: 1 with their own timing, 10 ten times faster, ``None`` as
            fast as it goes. It may be changed at any time.

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
        self._recordings = _listed(recordings)
        self._default = default
        self._host = host
        self._port = port
        self._queue: list[tuple[str | None, Reply]] = []
        self._standing: dict[str | None, Standing] = {}
        self._journal = Journal()
        self._run: ServerThread | None = None

    @property
    def url(self) -> str:
        """The server's address, such as ``http://127.0.0.1:40123``; known once it has started."""
        return f"http://[{self._host}]:{self._port}" if ":" in self._host else f"http://{self._host}:{self._port}"

    @property
    def port(self) -> int:
        """The port it listens on; known once it has started."""
        return self._port

    @property
    def requests(self) -> tuple[SeenRequest, ...]:
        """What was asked so far, in order of arrival."""
        with self._journal.changed:
            return tuple(self._journal.requests)

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._journal.connections)

    def enqueue(self, reply: Reply, *more: Reply, path: str | None = None) -> None:
        """
        Answer the next requests, one reply each, ahead of everything else.

        Args:
            reply: The next answer.
            *more: The answers after it.
            path: Keep them for requests to this path; ``None`` for requests to any.
        """
        with self._journal.changed:
            self._queue += [(path, each) for each in (reply, *more)]

    def always(self, answer: Standing, path: str | None = "/api/chat") -> None:
        """
        Answer all requests to a path, whenever the queue holds nothing for them.

        Args:
            answer: The reply, or a function from the request to its reply, called on the server's thread.
            path: The path; ``None`` for every path that has no answer of its own.
        """
        with self._journal.changed:
            self._standing[path] = answer

    def wait_for(self, count: int, timeout: float = 5.0) -> tuple[SeenRequest, ...]:
        """
        Block until so many requests came.

        Args:
            count: How many, counted from the beginning.
            timeout: Seconds to wait at most.

        Returns:
            All requests so far.

        Raises:
            TimeoutError: Fewer came in time.
        """
        seen = self._journal.requests
        return self._journal.wait(lambda: tuple(seen) if len(seen) >= count else None, timeout, f"{count} requests")

    def wait_idle(self, timeout: float = 5.0) -> None:
        """
        Block until no request is being answered.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: One still was when the time was over.
        """
        self._journal.wait(lambda: not self._journal.answering or None, timeout, "all answers to end")

    def wait_closed(self, timeout: float = 5.0) -> None:
        """
        Block until no connection is open.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: One still was when the time was over.
        """
        self._journal.wait(lambda: not self._journal.connections or None, timeout, "all connections to close")

    def start(self) -> Self:
        """
        Start to listen; nothing happens where it listens already.

        Returns:
            The server itself.

        Raises:
            OSError: The address is in use or is none of this machine's.
        """
        run = self._launch()
        try:
            self._port = run.started.result()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Cut all connections and end the thread; nothing happens where there is none."""
        run, self._run = self._run, None
        if run is not None:
            run.stop()

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
        run = self._launch()
        try:
            self._port = await asyncio.shield(asyncio.wrap_future(run.started))
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
        run, self._run = self._run, None
        if run is not None:
            await run.astop()

    def _launch(self) -> ServerThread:
        if self._run is None:
            self._run = ServerThread(self._host, self._port, self._answer, self._journal)
        return self._run

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
        self._journal.began(connection, seen)
        try:
            return await Player(self._choose(seen), request, seen, self._journal).play()
        finally:
            self._journal.ended(connection)

    def _choose(self, seen: SeenRequest) -> Reply:
        with self._journal.changed:
            for index, (path, reply) in enumerate(self._queue):
                if path in (None, seen.path):
                    del self._queue[index]
                    return reply
            standing = self._standing.get(seen.path) or self._standing.get(None)
        chosen = standing or self._recorded(seen) or builtin(seen) or self._default or refusal(seen)
        return chosen if isinstance(chosen, Reply) else chosen(seen)

    def _recorded(self, seen: SeenRequest) -> Reply | None:
        recording = matching(self._recordings, seen)
        return Reply.of(recording, self.speed) if recording is not None else None


def _listed(recordings: Recordings | None) -> tuple[Recording, ...]:
    if recordings is None:
        return ()
    return tuple(recordings.values() if isinstance(recordings, Mapping) else recordings)
