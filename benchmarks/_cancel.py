"""Planned cancels, and chats that are watched before and after their cancel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from reactivex import Observable
from reactivex.disposable import SingleAssignmentDisposable

from rxollama import ChatChunk

__all__ = ("PATIENCE", "CancelLog", "Phase", "PlannedCancel", "WatchedChat", "reply_kind_of")

Phase: TypeAlias = Literal["connecting", "sending", "silent", "streaming", "stalled", "callback", "done"]
"""The state of a chat at the moment of the cancel."""

PATIENCE = 10.0
"""The seconds after which an expected event counts as missing."""


class PlannedCancel(NamedTuple):
    """A cancel after a delay, at a numbered chunk in the phase `callback`, or after the end in the phase `done`."""

    number: int
    phase: Phase
    delay: float
    chunk: int

    @property
    def model(self) -> str:
        """The model's name, from which the server knows the reply and the cancel."""
        return f"{self.phase}/{self.number}"


def reply_kind_of(model: str) -> str:
    """Return the kind of reply that a model's name asks for."""
    return model.partition("/")[0]


class CancelLog:
    """The moment of each cancel, and the errors."""

    def __init__(self) -> None:
        self.moments: dict[str, float] = {}
        self.errors: list[str] = []
        self.count = 0
        self._lock = threading.Lock()

    def add_moment(self, planned: PlannedCancel) -> None:
        """Note the moment just before a cancel. Only the first one counts."""
        self.moments.setdefault(planned.model, time.monotonic())

    def add_error(self, planned: PlannedCancel, method: str, error: object) -> None:
        """Note an error."""
        self.errors.append(f"cancel {planned.number}, {planned.phase}, {method}: {error}")

    def add_done(self) -> None:
        """Count a cancel that was carried out."""
        with self._lock:
            self.count += 1


class WatchedChat:
    """
    A subscription to a chat that is going to be cancelled.

    Args:
        planned: The cancel.
        method: The name of the method of cancelling.
        log: The log of moments and errors.
    """

    def __init__(self, planned: PlannedCancel, method: str, log: CancelLog) -> None:
        self.planned = planned
        self.method = method
        self.cancelled = threading.Event()
        self.ended = threading.Event()
        self._log = log
        self._chunks = 0
        self._must_be_silent = False
        self._subscription = SingleAssignmentDisposable()

    def subscribe(self, chat: Observable[ChatChunk]) -> None:
        """Subscribe to the chat."""
        self._subscription.disposable = chat.subscribe(self._on_next, self._on_error, self._on_completed)

    def cancel(self, dispose: Callable[[], object] | None = None, *, times: int = 1) -> None:
        """Cancel the chat on any thread, by *dispose* or by disposing of the subscription."""
        self._log.add_moment(self.planned)
        for _ in range(times):
            (dispose or self._subscription.dispose)()
        self.cancelled.set()

    def cancel_on_its_loop(self, *, times: int = 1) -> None:
        """Cancel the chat on its own loop. Anything that is emitted afterwards is an error."""
        self.cancel(times=times)
        self._must_be_silent = True

    def wait_for_moment(self) -> None:
        """Block until the moment of the cancel."""
        if self.planned.phase == "done":
            self.wait_for(self.ended, "the end")
        elif self.planned.phase == "callback":
            self.wait_for(self.cancelled, "the chunk")
        else:
            time.sleep(self.planned.delay)

    def wait_for(self, event: threading.Event, name: str) -> None:
        """Block until an expected event. If it does not come, note an error."""
        if not event.wait(PATIENCE):
            self._log.add_error(self.planned, self.method, f"{name} never came")

    def _on_next(self, _: ChatChunk) -> None:
        self._chunks += 1
        self._check_silence("a chunk")
        if self.planned.phase == "callback" and self._chunks == self.planned.chunk:
            self.cancel_on_its_loop(times=2 if self.method == "dispose twice" else 1)

    def _on_error(self, error: Exception) -> None:
        self._log.add_error(self.planned, self.method, repr(error))
        self.ended.set()

    def _on_completed(self) -> None:
        self._check_silence("the end")
        if self.planned.phase != "done":
            self._log.add_error(self.planned, self.method, "it completed")
        self.ended.set()

    def _check_silence(self, name: str) -> None:
        if self._must_be_silent:
            self._log.add_error(self.planned, self.method, f"{name} came after dispose() had returned")
