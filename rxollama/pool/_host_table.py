"""
The state of a pool's hosts, for all loops and threads that use it at once.

The law: all state is changed under one lock, and nothing is called under it that could block or call back. Subscribers
of the states are served after it is released, each on its own loop, from a queue that is filled under the lock: so each
sees every change, in order.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import NamedTuple
from weakref import WeakSet, ref

from rxollama._hosts import full_name
from rxollama._runtime import never_collect
from rxollama.errors import StreamError
from rxollama.pool._host import Host, HostState
from rxollama.pool._host_record import HostRecord, is_unreachable
from rxollama.pool._host_watcher import HostWatcher
from rxollama.pool._ranking import Has, Rank, Turns
from rxollama.transport import Request

__all__ = ("Claim", "HostTable")

_CONVERSATIONS = 4096
# A host that is being asked is due already.
_SHORTEST_WAIT_SECONDS = 0.05
# What loads a model, and what says how fast a host begins to answer a chat.
_RUNS_MODEL = {"/api/chat", "/api/generate", "/api/embed"}
_IS_CHAT = {"/api/chat", "/api/generate"}


class Claim(NamedTuple):
    """
    A request that was given to a host.

    Args:
        place: The place of the host in the pool.
        request: The request.
        model: The model with its tag.
        conversation: The key of the conversation; None if the request has none.
        is_last_hope: Whether no other host could take it.
        began: The time.
    """

    place: int
    request: Request
    model: str
    conversation: tuple[str, int] | None
    is_last_hope: bool
    began: float


class _Trail:
    """The hosts that have a request, or failed it."""

    __slots__ = ("failed", "holding", "request")

    def __init__(self, request: ref[Request]) -> None:
        self.request = request
        self.holding: list[int] = []
        self.failed: set[int] = set()


def _origin(request: Request) -> Request:
    """Return the request that a request continues, or else itself."""
    return request if request.continues is None else request.continues


class HostTable:
    """
    The states of all hosts, as a pool knows them.

    Args:
        hosts: The hosts.
        clock: Returns the time in seconds.
    """

    def __init__(self, hosts: Sequence[Host], clock: Callable[[], float] = monotonic) -> None:
        self._records = [HostRecord(host) for host in hosts]
        self._turns = Turns([host.weight for host in hosts])
        self._clock = clock
        self._lock = threading.Lock()
        self._conversations: OrderedDict[tuple[str, int], int] = OrderedDict()
        # By the identity of the request. A key goes when its request does, before its id is that of another object.
        self._trails: dict[int, _Trail] = {}
        self._watchers: tuple[HostWatcher, ...] = ()
        self._shown: tuple[HostState, ...] = ()
        self._is_closed = self._has_asked_all = False
        self.all_asked: Future[None] = Future()
        """Whether every host was asked for its models once."""
        self.asking: set[asyncio.Task[None]] = set()
        """The tasks that ask hosts."""
        self.has_down = False
        """Whether a host is down."""
        self._is_awaited = False
        self._quiet_until = 0.0
        _tables.add(self)

    def claim(self, request: Request, failed: Collection[int]) -> Claim | None:
        """
        Choose the host for a request, and count the request as in flight there.

        Args:
            request: The request.
            failed: The places of the hosts that were tried in vain.

        Returns:
            The claim, which `release` ends. None if there is no host left that could serve it.
        """
        model = full_name(request.model) if request.model else ""
        prefixes = () if request.prefixes is None else request.prefixes()
        with self._lock:
            now = self._clock()
            ranks = self._ranks(request, model, prefixes, now)
            # After a failure of a host that has the model, "not found" from another would only hide it.
            able = [
                (rank, place)
                for place, rank in enumerate(ranks)
                if rank is not None and not (failed and (place in failed or rank.has_model is Has.NO))
            ]
            if not able:
                return None
            _, place = min(able)
            self._turns.advance(place)
            self._records[place].in_flight += 1
            self._trail_of(request).holding.append(place)
            self._note(now)
        self._wake()
        is_last_hope = all(rank.is_out for rank, other in able if other != place)
        return Claim(place, request, model, (model, prefixes[-1]) if prefixes else None, is_last_hope, now)

    def ranks(self, request: Request) -> list[Rank | None]:
        """Return the rank of each host for a request, None for a host that may not serve it."""
        model = full_name(request.model) if request.model else ""
        prefixes = () if request.prefixes is None else request.prefixes()
        with self._lock:
            return self._ranks(request, model, prefixes, self._clock())

    def states(self) -> tuple[HostState, ...]:
        """Return the states of all hosts."""
        with self._lock:
            return self._states(self._clock())

    def answered(self, claim: Claim) -> None:
        """Record that the answer to a request has begun."""
        path = claim.request.path
        with self._lock:
            now = self._clock()
            seconds = now - claim.began if claim.model and path in _IS_CHAT else None
            self._records[claim.place].answered(claim.model if path in _RUNS_MODEL else "", seconds)
            if self.has_down:
                self._find_down()
            if claim.conversation is not None:
                self._conversations[claim.conversation] = claim.place
                self._conversations.move_to_end(claim.conversation)
                if len(self._conversations) > _CONVERSATIONS:
                    self._conversations.popitem(last=False)
            self._note(now)
        self._wake()

    def failed(self, claim: Claim, error: StreamError) -> None:
        """Record that a host failed a request, before its answer or within it."""
        with self._lock:
            now = self._clock()
            # A host that is down is out until it is back, and then as good as any. If it counted as one that failed the
            # request, hosts that restart one after another would be tried in just that order.
            if not is_unreachable(error):
                self._trail_of(claim.request).failed.add(claim.place)
            self._records[claim.place].failed(error, claim.model, now)
            self._find_down()
            self._note(now)
        self._wake()

    def tried_in_vain(self, claim: Claim) -> None:
        """Record that a request was given up before its answer began, so that it is sent elsewhere the next time."""
        with self._lock:
            self._trail_of(claim.request).failed.add(claim.place)

    def release(self, claim: Claim, *, is_whole: bool) -> None:
        """
        Record that a request is over.

        Args:
            claim: The claim.
            is_whole: Whether it was answered to its end. The next sending of the same request then begins afresh.
        """
        with self._lock:
            trail = self._trail_of(claim.request)
            # A forked child may still finalize requests of its parent, which it does not count.
            if claim.place in trail.holding:
                trail.holding.remove(claim.place)
                self._records[claim.place].in_flight -= 1
            if is_whole:
                trail.failed.clear()
            if not trail.holding and not trail.failed:
                self._trails.pop(id(_origin(claim.request)), None)
            self._note(self._clock())
        self._wake()

    def begin_waiting(self) -> bool:
        """Return whether the caller is to wait for the hosts that are down, which one task does at a time."""
        with self._lock:
            is_new, self._is_awaited = not self._is_awaited, True
            return is_new

    def end_waiting(self) -> None:
        """Record that nobody waits for the hosts that are down."""
        self._is_awaited = False

    def seconds_to_wait(self) -> float | None:
        """Return the time until a host that is down is to be tried; None if no host is down or no request is open."""
        with self._lock:
            if not self.has_down or not self.is_in_use:
                return None
            at = min(record.retry_at for record in self._records if record.is_down)
            return max(_SHORTEST_WAIT_SECONDS, at - self._clock())

    @property
    def is_in_use(self) -> bool:
        """Whether a request is open."""
        return any(record.in_flight for record in self._records)

    def take_due(self) -> list[tuple[int, int]]:
        """Return the places and epochs of the hosts that are to be asked now, and count them as being asked."""
        now = self._clock()
        # Nearly every request comes here before the time.
        if now < self._quiet_until:
            return []
        with self._lock:
            due = [place for place, record in enumerate(self._records) if record.due_at() <= now]
            epochs = [self._records[place].begin_asking(now) for place in due]
            self._quiet_until = min(record.due_at() for record in self._records)
        return list(zip(due, epochs, strict=True))

    def wants_models(self, place: int) -> bool:
        """Return whether a host is to be asked for the models that it has."""
        return not self._records[place].has_fixed_models

    def learned(self, place: int, models: list[str] | None, loaded: list[str], epoch: int) -> None:
        """Record what a host said of its models, see `HostRecord.learned`."""
        with self._lock:
            now = self._clock()
            self._records[place].learned(models, loaded, epoch, now)
            self._note(now)
            self._find_down()
            is_first = self._is_first_end()
        self._end_asking(is_first=is_first)

    def kept_silent(self, place: int, error: Exception | None) -> None:
        """Record that a host did not say what it was asked. Without an error, the question was given up."""
        with self._lock:
            now = self._clock()
            if error is None:
                self._records[place].forget_asking()
            else:
                self._records[place].kept_silent(error, now)
            self._note(now)
            self._find_down()
            is_first = self._is_first_end()
        self._end_asking(is_first=is_first)

    def wait_no_more(self) -> None:
        """Let no further request wait for the hosts that have not answered yet."""
        with self._lock:
            is_first, self._has_asked_all = not self._has_asked_all, True
        self._end_asking(is_first=is_first)

    def watch(self, watcher: HostWatcher) -> None:
        """Add a subscriber of the states, which first receives those of now."""
        with self._lock:
            watcher.queue.append(self._states(self._clock()))
            if self._is_closed:
                watcher.queue.append(None)
            else:
                self._watchers += (watcher,)
                self._shown = watcher.queue[0] or ()

    def unwatch(self, watcher: HostWatcher) -> None:
        """Remove a subscriber of the states."""
        with self._lock:
            self._watchers = tuple(each for each in self._watchers if each is not watcher)

    def close(self) -> None:
        """Complete every subscriber of the states, and wake the requests that wait for the hosts."""
        with self._lock:
            self._is_closed, is_first, self._has_asked_all = True, not self._has_asked_all, True
            ended, self._watchers = self._watchers, ()
            for watcher in ended:
                watcher.queue.append(None)
        if is_first:
            self.all_asked.set_result(None)
        for watcher in ended:
            watcher.wake()

    def forget(self) -> None:
        """Forget the requests and subscribers of the parent, in a forked child, where the lock may be held for good."""
        self._lock = threading.Lock()
        never_collect(self.asking)
        self.all_asked, self.asking = Future(), set()
        self._has_asked_all = self._is_awaited = False
        self._quiet_until = 0.0
        self._watchers = ()
        self._trails.clear()
        for record in self._records:
            record.in_flight = 0
            record.forget_asking()

    def _ranks(self, request: Request, model: str, prefixes: Sequence[int], now: float) -> list[Rank | None]:
        home = self._home_of(model, prefixes)
        trail = self._trails.get(id(_origin(request)))
        tried: Collection[int] = () if trail is None else (*trail.holding, *trail.failed)
        turns = self._turns.clocks()
        return [
            record.rank(model, now, is_tried=place in tried, is_home=place == home, turn=turns[place])
            for place, record in enumerate(self._records)
        ]

    def _home_of(self, model: str, prefixes: Sequence[int]) -> int | None:
        for prefix in reversed(prefixes):
            if (home := self._conversations.get((model, prefix))) is not None:
                return home
        return None

    def _trail_of(self, request: Request) -> _Trail:
        request = _origin(request)
        key = id(request)
        trail = self._trails.get(key)
        if trail is None:
            # The callback may run within any statement, also under the lock, so it takes none.
            trail = self._trails[key] = _Trail(ref(request, lambda _: self._trails.pop(key, None)))
        return trail

    def _find_down(self) -> None:
        self._quiet_until = 0.0
        self.has_down = any(record.is_down for record in self._records)

    def _states(self, now: float) -> tuple[HostState, ...]:
        return tuple(record.state(now) for record in self._records)

    def _note(self, now: float) -> None:
        """Queue the states for the subscribers, if they changed; under the lock."""
        if self._watchers and (states := self._states(now)) != self._shown:
            self._shown = states
            for watcher in self._watchers:
                watcher.queue.append(states)

    def _wake(self) -> None:
        for watcher in self._watchers:
            watcher.wake()

    def _is_first_end(self) -> bool:
        """Return whether all hosts have been asked now, for the first time; under the lock."""
        if self._has_asked_all or any(record.asked_at is None for record in self._records):
            return False
        self._has_asked_all = True
        return True

    def _end_asking(self, *, is_first: bool) -> None:
        if is_first:
            self.all_asked.set_result(None)
        self._wake()


_tables: WeakSet[HostTable] = WeakSet()


def _forget_all() -> None:
    for table in tuple(_tables):
        table.forget()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks.
    os.register_at_fork(after_in_child=_forget_all)
