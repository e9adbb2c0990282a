"""The hosts of a pool: the transport to each, and the questions that are asked while requests are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

from rxollama._hosts import LazyTransport
from rxollama._runtime import Job, call_on
from rxollama.errors import ClientClosedError, StreamError
from rxollama.pool._host import Host
from rxollama.pool._host_table import HostTable
from rxollama.pool._questions import ask_models
from rxollama.transport import Request

__all__ = ("Members",)


class Members:
    """
    The hosts of a pool.

    Args:
        hosts: The hosts.
        connect_timeout: The limit for connecting while another host is left, in seconds.
    """

    def __init__(self, hosts: Sequence[Host], connect_timeout: float) -> None:
        self.urls = [host.host for host in hosts]
        self.connect_timeout = connect_timeout
        self.table = HostTable(hosts)
        self.transports = [LazyTransport(host.host, host.api_key, host.headers, None) for host in hosts]
        self._is_closed = False
        self._waiting: asyncio.Task[None] | None = None

    async def prepare(self, request: Request) -> None:
        """
        Prepare for a request: ask the hosts whose last answer is old, and wait for them if no answer was ever awaited.

        Raises:
            ClientClosedError: If the pool was closed.
        """
        if not self._is_closed:
            self._ask_due()
        if request.model and len(self.urls) > 1 and not self.table.all_asked.done():
            # `wait` does not cancel what it waits for, which others wait for, too.
            _, late = await asyncio.wait([asyncio.wrap_future(self.table.all_asked)], timeout=self.connect_timeout)
            if late:
                self.table.wait_no_more()
        if self._is_closed:
            raise ClientClosedError("the pool was closed: make a new one")

    def wait_for_down(self) -> None:
        """Try the hosts that are down again, in the background, for as long as requests are open."""
        if not self._is_closed and self.table.begin_waiting():
            self._waiting = self._start(self._wait_for_down())
            # A task that is cancelled before its first step runs none of its code.
            self._waiting.add_done_callback(lambda _: self.table.end_waiting())

    def settle(self) -> None:
        """End the waiting if no request is open, so that nothing remains of the last one."""
        waiting = self._waiting
        if waiting is not None and not waiting.done() and not self.table.is_in_use:
            call_on(waiting.get_loop(), waiting.cancel)

    def closing(self) -> list[Job]:
        """Let no other request begin, and return the jobs that end the questions."""
        self._is_closed = True
        self.table.close()
        return [(task.get_loop(), partial(_cancelled, task)) for task in self.table.asking.copy()]

    def _ask_due(self) -> None:
        for place, epoch in self.table.take_due():
            self._start(self._ask(place, epoch))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        # Until it ends, nobody else holds it.
        self.table.asking.add(task)
        task.add_done_callback(self.table.asking.discard)
        return task

    async def _wait_for_down(self) -> None:
        while (seconds := self.table.seconds_to_wait()) is not None:
            await asyncio.sleep(seconds)
            self._ask_due()

    async def _ask(self, place: int, epoch: int) -> None:
        table, is_all = self.table, self.table.wants_models(place)
        try:
            models = await ask_models(self.transports[place], connect_timeout=self.connect_timeout, is_all=is_all)
        except (StreamError, TimeoutError, ImportError) as error:
            table.kept_silent(place, error)
        except BaseException:
            table.kept_silent(place, None)
            raise
        else:
            table.learned(place, models.present, models.loaded, epoch)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
