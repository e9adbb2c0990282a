"""A subscriber of the states of a pool's hosts, on the loop on which it subscribed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from reactivex import abc

from rxollama._runtime import end_failed, end_safely, running, stream_loop
from rxollama.pool._host import HostState

__all__ = ("HostWatcher", "States")

States: TypeAlias = tuple[HostState, ...]

_NAME = "the stream of a pool's hosts"


class HostWatcher:
    """
    A subscriber of the states.

    Args:
        observer: The subscriber.
        leave: Called when it wants no more states.
    """

    def __init__(self, observer: abc.ObserverBase[States], leave: Callable[[HostWatcher], None]) -> None:
        self.queue: deque[States | None] = deque()
        """The states that it has not received. None is the end."""
        self._observer = observer
        self._leave = leave
        self._loop = stream_loop()
        self._is_over = self._is_emitting = False

    def begin(self) -> None:
        """Emit the first states: at once on a running loop, else soon on the background loop."""
        if self._loop is running():
            self._emit()
        else:
            self.wake()

    def wake(self) -> None:
        """Emit what is queued, soon: a request must not wait for the callbacks, or fail with them."""
        try:
            self._loop.call_soon_threadsafe(self._emit)
        except RuntimeError:
            # The loop was closed, and with it everything on it.
            self.dispose()

    def dispose(self) -> None:
        """Emit no more states; on any thread."""
        self._is_over = True
        self._leave(self)

    def _emit(self) -> None:
        # A callback may subscribe and wake others, but each loop runs this for one subscriber once at a time.
        while self.queue and not self._is_over and not self._is_emitting:
            states = self.queue.popleft()
            if states is None:
                self.dispose()
                end_safely(self._observer, name=_NAME)
                return
            self._is_emitting = True
            try:
                self._observer.on_next(states)
            except BaseException as raised:
                self.dispose()
                end_failed(self._observer, raised, name=_NAME)
                if not isinstance(raised, Exception):
                    raise
            finally:
                self._is_emitting = False
