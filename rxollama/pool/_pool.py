"""The pool: a transport that chooses a host for each request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Literal, Self, TypeAlias

from msgspec.structs import replace
from reactivex import abc
from reactivex.disposable import Disposable

from rxollama._checks import check_seconds
from rxollama._hosts import LazyTransport, read_refusal
from rxollama._invalid_value import invalid_value
from rxollama._runtime import Job, Stream, run_jobs, run_jobs_blocking
from rxollama.errors import ClientClosedError, StreamError
from rxollama.pool._failover import is_declined, may_go_elsewhere, most_useful, none_offers
from rxollama.pool._host import Host
from rxollama.pool._host_table import Claim, HostTable
from rxollama.pool._host_watcher import HostWatcher, States
from rxollama.pool._questions import ask_models
from rxollama.transport import Request, Response

__all__ = ("Pool",)

AfterBreak: TypeAlias = Literal["raise", "restart", "continue"]


class Pool:
    """
    A transport that shares requests among several Ollama hosts: `Ollama(transport=Pool("http://gpu:11434", "old"))`.

    Every call and every operator works on it as on one host. Each request goes to one host, which is chosen by these
    criteria, the most important first:

    1. it can be reached, and no usage limit for the model is used up;
    2. it has the model (`models=`, or `/api/tags`), and has not refused a request a moment ago because it was busy;
    3. it does not have this very request already, and has not failed it: so `hedge` and a retry reach another host;
    4. it has the model loaded (`/api/ps`, or an earlier answer);
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
    in the background, after a wait that grows from half a second to half a minute, when the next request is sent. So a
    pool that is not used sends nothing.

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
        if after_break not in (None, "raise", "restart", "continue"):
            raise invalid_value("after_break", after_break, "'raise', 'restart' or 'continue'")
        self._connect_timeout = check_seconds("connect_timeout", connect_timeout)
        self._after_break: AfterBreak = after_break or "raise"
        self._hosts = tuple(given)
        self._table = HostTable(self._hosts)
        self._transports = [LazyTransport(host.host, host.api_key, host.headers, None) for host in given]
        self._is_closed = False

    @property
    def after_break(self) -> AfterBreak:
        """What follows if an answer breaks after something of it was visible."""
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
            watcher = HostWatcher(observer, self._table.unwatch)
            self._table.watch(watcher)
            watcher.begin()
            return Disposable(watcher.dispose)

        return Stream(subscribe)

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Response, None]:
        """Send a request to a host; see `rxollama.transport.Transport`."""
        if not self._is_closed:
            self._ask_hosts()
        if request.model and len(self._hosts) > 1 and not self._table.all_asked.done():
            # `wait` does not cancel what it waits for, which others wait for, too.
            await asyncio.wait([asyncio.wrap_future(self._table.all_asked)], timeout=self._connect_timeout)
        if self._is_closed:
            raise ClientClosedError("the pool was closed: make a new one")
        failures: dict[int, StreamError] = {}
        async with AsyncExitStack() as stack:
            while True:
                claim = self._table.claim(request, failures)
                if claim is None:
                    raise most_useful(failures.values()) if failures else none_offers(request.model)
                try:
                    response = await stack.enter_async_context(self._send(claim))
                    break
                except StreamError as error:
                    failures[claim.place] = error
                    is_stuck = not may_go_elsewhere(request, error)
                if is_stuck:
                    raise most_useful(failures.values())
            yield response

    @asynccontextmanager
    async def _send(self, claim: Claim) -> AsyncGenerator[Response, None]:
        """Send a request to the host that was chosen. A response by which the host declines it is an error."""
        request, has_begun, is_refused, is_whole = claim.request, False, False, False
        if not claim.is_last_hope:
            request = replace(request, connect_timeout=self._connect_timeout)
        try:
            async with self._transports[claim.place].open(request) as response:
                await _check_accepted(response)
                self._table.answered(claim)
                has_begun, is_refused = True, response.status >= HTTPStatus.BAD_REQUEST
                yield response
            is_whole = True
        except StreamError as error:
            error.host = error.host or self._hosts[claim.place].host
            # A refusal that was passed on says that the request is wrong, and not the host.
            if not is_refused and not isinstance(error, ClientClosedError):
                self._table.failed(claim, error)
            raise
        except BaseException:
            # A request that was given up before its answer began was given up for its silence, as by `timeouts`.
            if not has_begun:
                self._table.tried_in_vain(claim)
            raise
        finally:
            self._table.release(claim, is_whole=is_whole)

    def _ask_hosts(self) -> None:
        """Ask the hosts whose last answer is old, in the background."""
        for place, epoch in self._table.take_due():
            asking = asyncio.get_running_loop().create_task(self._ask(place, epoch))
            # Until it ends, nobody else holds it.
            self._table.asking.add(asking)
            asking.add_done_callback(self._table.asking.discard)

    async def _ask(self, place: int, epoch: int) -> None:
        table = self._table
        try:
            models = await ask_models(
                self._transports[place], connect_timeout=self._connect_timeout, is_all=table.wants_models(place)
            )
        except (StreamError, TimeoutError, ImportError) as error:
            table.kept_silent(place, error)
        except BaseException:
            table.kept_silent(place, None)
            raise
        else:
            table.learned(place, models.present, models.loaded, epoch)

    def close(self) -> None:
        """
        Close the connections to all hosts; requests that are open end with `ClientClosedError`.

        It works from any thread, and a second call does nothing. In a coroutine use `aclose`, which waits.
        """
        run_jobs_blocking(self._closing())
        for transport in self._transports:
            transport.close()

    async def aclose(self) -> None:
        """Close the connections to all hosts; requests that are open end with `ClientClosedError`."""
        await run_jobs(self._closing())
        for transport in self._transports:
            await transport.aclose()

    def _closing(self) -> list[Job]:
        self._is_closed = True
        self._table.close()
        return [(task.get_loop(), partial(_cancelled, task)) for task in self._table.asking.copy()]

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
        return f"Pool({', '.join(repr(host.host) for host in self._hosts)})"


async def _check_accepted(response: Response) -> None:
    if is_declined(response.status):
        raise await read_refusal(response)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
