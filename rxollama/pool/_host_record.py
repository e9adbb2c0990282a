"""The state of one host. Nothing here reads a clock: the caller passes the time."""

from __future__ import annotations

from collections.abc import Iterable

from rxollama._hosts import full_name
from rxollama.errors import (
    BusyError,
    ConnectionFailedError,
    ConnectionLostError,
    NotFoundError,
    StreamError,
    StreamTimeoutError,
    UsageLimitError,
)
from rxollama.pool._host import Host, HostState, Situation
from rxollama.pool._ranking import LONG_QUEUE, Has, Rank

__all__ = ("HostRecord", "is_unreachable")

_FRESH_SECONDS = 5.0
# A refresh whose loop was closed does not end.
_LOST_SECONDS = 30.0
_FIRST_WAIT_SECONDS = 0.25
_GROWTH = 1.5
_LONGEST_WAIT_SECONDS = 30.0
_BUSY_SECONDS = 5.0
_MISSING_SECONDS = 60.0
_LIMITED_SECONDS = 300.0
_NEW_SHARE = 0.3


class HostRecord:
    """
    The state of one host, as a pool knows it.

    Args:
        host: The host.
    """

    def __init__(self, host: Host) -> None:
        self.url = host.host
        self.slots = host.slots
        self.priority = host.priority
        self.in_flight = 0
        self.asked_at: float | None = None
        # A refresh that began before the host went down does not say that the host is up.
        self.epoch = 0
        self._only = None if host.models is None else frozenset(map(full_name, host.models))
        self._models = self._only
        self._loaded: frozenset[str] = frozenset()
        self._asking_since: float | None = None
        self._is_down = False
        self._failures = 0
        self._retry_at = 0.0
        self._busy_until = 0.0
        self._missing: dict[str, float] = {}
        self._limited: dict[str, float] = {}
        self._pace: float | None = None
        self._error = ""

    @property
    def is_down(self) -> bool:
        """Whether the host could not be reached when it was last tried."""
        return self._is_down

    @property
    def retry_at(self) -> float:
        """The time at which to try again a host that is down."""
        return self._retry_at

    @property
    def has_fixed_models(self) -> bool:
        """Whether the user said which models may be asked for here."""
        return self._only is not None

    def rank(self, model: str, now: float, *, is_tried: bool, is_home: bool, turn: float) -> Rank | None:
        """
        Return the rank of the host for a request, see `Rank`.

        Args:
            model: The model with its tag; empty for a request that needs none.
            now: The time.
            is_tried: Whether the host has this very request, or failed it.
            is_home: Whether the host answered the conversation so far.
            turn: The clock of its weight.

        Returns:
            The rank. None if the user does not let this host serve the model.
        """
        if self._only is not None and model and model not in self._only:
            return None
        queue = 0.0 if self.in_flight < self.slots else self.in_flight / self.slots
        return Rank(
            self._is_down or (bool(self._limited) and self._limited.get(model, 0.0) > now),
            self._has(model, now),
            self._busy_until > now,
            is_tried,
            bool(model) and (model not in self._loaded or queue >= LONG_QUEUE),
            queue,
            not is_home,
            self.priority,
            turn,
            self._pace or 0.0,
        )

    def answered(self, model: str, seconds: float | None) -> None:
        """
        Record the beginning of an answer.

        Args:
            model: The model that is loaded now; empty if none is.
            seconds: The time until it began, if it says something about the next chat.
        """
        self._reached()
        if model:
            self._loaded |= {model}
        if seconds is not None:
            self._pace = seconds if self._pace is None else self._pace + _NEW_SHARE * (seconds - self._pace)

    def failed(self, error: StreamError, model: str, now: float) -> None:
        """Record the failure of a request."""
        self._error = str(error)
        if is_unreachable(error):
            # Many streams break at once when a host goes down. Together they are one failure.
            if not self._is_down:
                self._go_down(now)
        elif isinstance(error, UsageLimitError):
            self._limited[model] = now + (_LIMITED_SECONDS if error.retry_after is None else error.retry_after)
        elif isinstance(error, BusyError):
            self._busy_until = now + (_BUSY_SECONDS if error.retry_after is None else error.retry_after)
        elif isinstance(error, NotFoundError) and model:
            self._missing[model] = now + _MISSING_SECONDS

    def due_at(self) -> float:
        """Return the time from which on the host should be asked for its models."""
        if self._asking_since is not None:
            return self._asking_since + _LOST_SECONDS
        if self._is_down:
            return self._retry_at
        return 0.0 if self.asked_at is None else self.asked_at + _FRESH_SECONDS

    def begin_asking(self, now: float) -> int:
        """Record that the host is being asked, and return the epoch of the question."""
        self._asking_since = now
        return self.epoch

    def forget_asking(self) -> None:
        """Forget a question whose answer will not come."""
        self._asking_since = None

    def learned(self, models: Iterable[str] | None, loaded: Iterable[str], epoch: int, now: float) -> None:
        """
        Record what the host said.

        Args:
            models: The models that it has; None if it was not asked for them.
            loaded: The models that are in its memory.
            epoch: The epoch of the question.
            now: The time.
        """
        self._asked(now)
        if models is not None:
            before, self._models = self._models or frozenset(), frozenset(map(full_name, models))
            arrived = self._models - before
            self._missing = {name: until for name, until in self._missing.items() if name not in arrived}
        if epoch == self.epoch:
            self._loaded = frozenset(map(full_name, loaded))
            if self._is_down:
                self._reached()

    def kept_silent(self, error: Exception, now: float) -> None:
        """Record that the host did not say what it was asked."""
        self._asked(now)
        if is_unreachable(error):
            self._error = str(error)
            self._go_down(now)

    def state(self, now: float) -> HostState:
        """Return the state for the user."""
        situation: Situation = "down" if self._is_down else "busy" if self._busy_until > now else "ready"
        return HostState(
            host=self.url,
            situation=situation,
            models=None if self._models is None else tuple(sorted(self._models)),
            loaded=tuple(sorted(self._loaded)),
            in_flight=self.in_flight,
            slots=self.slots,
            time_to_first_chunk=None if self._pace is None else round(self._pace * 1e9),
            error=self._error,
        )

    def _has(self, model: str, now: float) -> Has:
        if not model:
            return Has.YES
        if self._missing and self._missing.get(model, 0.0) > now:
            return Has.NO
        if self._models is None:
            return Has.UNKNOWN
        return Has.YES if model in self._models else Has.NO

    def _asked(self, now: float) -> None:
        self._asking_since, self.asked_at = None, now

    def _reached(self) -> None:
        self._is_down, self._failures, self._error = False, 0, ""

    def _go_down(self, now: float) -> None:
        self._retry_at = now + min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * _GROWTH**self._failures)
        # A host that is down for a week would otherwise have a wait that no float holds.
        self._failures = min(self._failures + 1, 16)
        self._is_down = True
        self.epoch += 1
        self._loaded = frozenset()


def is_unreachable(error: Exception) -> bool:
    """Return whether an error says that the host is down."""
    if isinstance(error, StreamTimeoutError):
        return error.phase == "connect"
    return isinstance(error, (ConnectionFailedError, ConnectionLostError))
