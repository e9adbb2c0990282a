"""One cancel: where and when it strikes, and what is heard before and after it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from reactivex import Observable
from reactivex.disposable import SingleAssignmentDisposable

from rxollama import ChatChunk

__all__ = ("PATIENCE", "Attempt", "Cancel", "Ledger", "Phase", "kind_of")

Phase: TypeAlias = Literal["connecting", "sending", "silent", "streaming", "stalled", "callback", "done"]
"""Where a cancel strikes: the name of what the chat is busy with then."""

PATIENCE = 10.0
"""Seconds after which something that has to happen counts as never happening."""


class Cancel(NamedTuple):
    """Say when to cancel a chat: after some seconds, at a chunk where the phase is `callback`, or at its end."""

    number: int
    phase: Phase
    delay: float
    chunk: int

    @property
    def model(self) -> str:
        """The model to ask: it tells the server what to play, and whose request this is."""
        return f"{self.phase}/{self.number}"


def kind_of(model: str) -> str:
    """Tell from a model's name what to play."""
    return model.partition("/")[0]


class Ledger:
    """Note when each cancel struck, and what went wrong."""

    def __init__(self) -> None:
        self.struck: dict[str, float] = {}
        self.wrongs: list[str] = []
        self.count = 0
        self._lock = threading.Lock()

    def strike(self, cancel: Cancel) -> None:
        """Note the moment before the cancel; the first counts."""
        self.struck.setdefault(cancel.model, time.monotonic())

    def wrong(self, cancel: Cancel, way: str, what: object) -> None:
        """Note what went wrong."""
        self.wrongs.append(f"cancel {cancel.number}, {cancel.phase}, {way}: {what}")

    def done(self) -> None:
        """Count a cancel."""
        with self._lock:
            self.count += 1


class Attempt:
    """
    Subscribe to a chat that is going to be cancelled, and listen.

    Args:
        cancel: When to cancel.
        way: The name of how.
        ledger: Where to note it.
    """

    def __init__(self, cancel: Cancel, way: str, ledger: Ledger) -> None:
        self.cancel = cancel
        self.way = way
        self.struck = threading.Event()
        self.ended = threading.Event()
        self._ledger = ledger
        self._chunks = 0
        self._quiet = False
        self._subscription = SingleAssignmentDisposable()

    def begin(self, chat: Observable[ChatChunk]) -> None:
        """Subscribe."""
        self._subscription.disposable = chat.subscribe(self._on_next, self._on_error, self._on_completed)

    def strike(self, dispose: Callable[[], object] | None = None, *, times: int = 1) -> None:
        """Cancel, on the stream's own loop or on any other thread."""
        self._ledger.strike(self.cancel)
        for _ in range(times):
            (dispose or self._subscription.dispose)()
        self.struck.set()

    def strike_at_home(self, *, times: int = 1) -> None:
        """Cancel on the stream's own loop, where nothing at all may be heard afterwards."""
        self.strike(times=times)
        self._quiet = True

    def wait(self, sleep: Callable[[float], object] = time.sleep) -> None:
        """Block until the moment of the cancel."""
        if self.cancel.phase == "done":
            self.expect(self.ended, "the end")
        elif self.cancel.phase == "callback":
            self.expect(self.struck, "the chunk")
        else:
            sleep(self.cancel.delay)

    def expect(self, event: threading.Event, what: str) -> None:
        """Block until something happens that has to."""
        if not event.wait(PATIENCE):
            self._ledger.wrong(self.cancel, self.way, f"{what} never came")

    def _on_next(self, _: ChatChunk) -> None:
        self._chunks += 1
        self._hear("a chunk")
        if self.cancel.phase == "callback" and self._chunks == self.cancel.chunk:
            self.strike_at_home(times=2 if self.way == "dispose twice" else 1)

    def _on_error(self, error: Exception) -> None:
        self._ledger.wrong(self.cancel, self.way, repr(error))
        self.ended.set()

    def _on_completed(self) -> None:
        self._hear("the end")
        if self.cancel.phase != "done":
            self._ledger.wrong(self.cancel, self.way, "it completed")
        self.ended.set()

    def _hear(self, what: str) -> None:
        if self._quiet:
            self._ledger.wrong(self.cancel, self.way, f"{what} was heard after dispose() had returned")
