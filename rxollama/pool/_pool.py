"""The pool: a transport that chooses a host for each request."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Self

from reactivex import abc
from reactivex.disposable import Disposable

from rxollama._checks import check_choice, check_seconds
from rxollama._invalid_value import invalid_value
from rxollama._runtime import Stream, run_jobs, run_jobs_blocking
from rxollama.messages import AfterBreak
from rxollama.pool._exchange import Exchange
from rxollama.pool._host import Host
from rxollama.pool._host_watcher import HostWatcher, States
from rxollama.pool._members import Members
from rxollama.transport import Request, Response

__all__ = ("Pool",)


class Pool:
    """
    A transport that shares requests among several Ollama hosts: `Ollama(transport=Pool("http://gpu:11434", "old"))`.

    Every call and every operator works on it as on one host. Each request goes to one host, which is chosen by these
    criteria, the most important first:

    1. it can be reached, and no usage limit for the model is used up;
    2. it has the model (`models=`, or `/api/tags`), and has not refused a request a moment ago because it was busy;
    3. it does not have this very request already, and has not failed it: so `hedge` and a retry reach another host;
    4. it has the model loaded (`/api/ps`, or an earlier answer), and fewer than two requests per slot;
    5. it has a free slot, or else the fewest requests per slot;
    6. it answered this conversation before, so that its cache holds the beginning;
    7. its priority, and among equals its weight;
    8. its usual time to the first chunk.

    A host that cannot be reached, is busy, does not have the model, refuses the key or fails is left out, and the
    request goes to the next one. Before the response has begun, the subscriber sees nothing of that. Errors, metrics
    and the log name the host. A request that the server calls wrong (400) is not sent elsewhere. If no host is left,
    the error that says most is raised, with the other ones in its notes. Once an answer has begun, *after_break* says
    what follows if it breaks.

    The hosts are asked for their models while requests are sent: in the background, if the last answer is older than
    some seconds. The first request waits for these answers, up to *connect_timeout*. A host that is down is tried again
    in the background while requests are open, after waits that grow from a quarter of a second to half a minute. A pool
    that is not used sends nothing.

    Calls that manage models (`pull`, `push`, `create`, `copy`, `delete`) and those that ask (`models`, `running`,
    `show`, `version`) act on one host, chosen in the same way. Use `Ollama(host)` to manage a certain host.

    Several loops and threads may use one pool. It works after a fork. Close it with `with`, `async with`, `close()` or
    `aclose()`; an `Ollama` does not close a transport that was passed to it.

    Args:
        hosts: The hosts: each a `Host`, or a str with its address.
        connect_timeout: The limit for connecting while another host is left, in seconds or as a `timedelta`. The last
            one has ten seconds.
        after_break: What to do if an answer breaks after something of it was visible, unless the request says it:
            "raise" ends the stream with the error, "restart" begins the answer over on another host, "continue" lets
            another host go on from what there was. None means "raise".

    Raises:
        InvalidValueError: If there is no host, if one is given twice, or if an argument is wrong.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        *hosts: str | Host,
        connect_timeout: float | timedelta = 1.0,
        after_break: AfterBreak | None = "raise",
    ) -> None:
        given = [host if isinstance(host, Host) else Host(host) for host in hosts]
        if not given:
            raise invalid_value("hosts", hosts, "one host or more, such as 'http://gpu:11434'")
        for place, host in enumerate(given):
            if any(host.host == other.host for other in given[:place]):
                raise invalid_value("hosts", host.host, "each host once")
        check_choice("after_break", after_break, ("raise", "restart", "continue"))
        self._after_break: AfterBreak = after_break or "raise"
        self._members = Members(given, check_seconds("connect_timeout", connect_timeout))

    @property
    def after_break(self) -> AfterBreak:
        """The way to treat an answer that breaks after something of it was visible."""
        return self._after_break

    def hosts(self) -> Stream[States]:
        """
        Watch the hosts.

        Returns:
            A cold stream of the states of all hosts, in the order in which they were given: those of now at once, and
            all of them again after each change. It completes when the pool is closed. Watching sends no requests.

        .. versionadded:: 0.1
        """

        def subscribe(observer: abc.ObserverBase[States], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            watcher = HostWatcher(observer, self._members.table.unwatch)
            self._members.table.watch(watcher)
            watcher.begin()
            return Disposable(watcher.dispose)

        return Stream(subscribe)

    def open(self, request: Request) -> AbstractAsyncContextManager[Response]:
        """Send a request to a host; see `rxollama.transport.Transport`."""
        return Exchange(request, self._members)

    def close(self) -> None:
        """
        Close the connections to all hosts; requests that are open end with `ClientClosedError`.

        It works from any thread, and a second call does nothing. In a coroutine use `aclose`, which waits.
        """
        run_jobs_blocking(self._members.closing())
        for transport in self._members.transports:
            transport.close()

    async def aclose(self) -> None:
        """Close the connections to all hosts; requests that are open end with `ClientClosedError`."""
        await run_jobs(self._members.closing())
        for transport in self._members.transports:
            await transport.aclose()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pool."""
        self.close()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the pool."""
        await self.aclose()

    def __repr__(self) -> str:
        return f"Pool({', '.join(map(repr, self._members.urls))})"
