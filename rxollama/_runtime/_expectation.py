"""
The path of an estimate from a request to those who wait for its answer.

The law. A subscriber that waits puts a listener into a context variable while it subscribes. A source that sends a
request looks for it once, and tells it the seconds that are still expected until the first token; None for no estimate.
Contexts are copied into tasks, timers and callbacks of a loop. So an estimate passes every operator, of any library,
and a request that is sent later, such as another attempt or the next round of a conversation, is found, too.

Two rules keep it from strangers. A source removes the listener from its own task, so a request that somebody's
`on_next` sends has none. A listener that was closed tells nobody, and a context that is kept holds nothing by it.

An operator with several subscribers puts a `WaitHub` into the context, which passes estimates on to all of them, also
to those who come later. A source does nothing before a listener wants it, so nothing is computed or asked for a hub
without anybody in it.

Where it ends: a thread does not inherit a context, so an attempt that a scheduler's thread begins has no listener.
Neither has a source that reactivex subscribes later, on its trampoline, as `merge` and `concat` do. There is no
estimate then, and never a wrong one.

Alternatives that were tried:

- An item in the stream: every operator and every callback would see it.
- A method of the observables, which each operator passes on: reactivex's operators would not.
- A variable that is reset when the trampoline is empty: requests of others are sent meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Protocol, TypeAlias, final

__all__ = ("Listener", "Tell", "WaitHub", "WaitListener", "current_listener", "listening", "take_listener")

Tell: TypeAlias = Callable[[float | None], object]
"""Called, on any thread, with the seconds that are still expected until the first token; None for no estimate."""


class Listener(Protocol):
    """A receiver of the estimates of a source."""

    @property
    def is_open(self) -> bool:
        """Whether somebody listens, or may come to listen."""
        ...

    def want(self, begin: Callable[[], object], /) -> None:
        """
        Call a function as soon as somebody listens.

        Args:
            begin: The function, which may be called more than once and on any thread.
        """
        ...

    def tell(self, seconds: float | None, /) -> None:
        """Pass an estimate on, see `Tell`."""
        ...


@final
class WaitListener:
    """
    A listener to estimates, until it is closed.

    Args:
        tell: See `Tell`. It must not raise.
    """

    __slots__ = ("_tell",)

    def __init__(self, tell: Tell) -> None:
        self._tell: Tell | None = tell

    @property
    def is_open(self) -> bool:
        """Whether somebody listens."""
        return self._tell is not None

    def want(self, begin: Callable[[], object], /) -> None:
        """Call a function at once, unless this is closed."""
        if self.is_open:
            begin()

    def tell(self, seconds: float | None, /) -> None:
        """Pass an estimate on, unless this is closed."""
        tell = self._tell
        if tell is not None:
            tell(seconds)

    def close(self) -> None:
        """Pass nothing more on, and release the function."""
        self._tell = None


@final
class WaitHub:
    """A listener for several, which may be added at any time. The latest estimate is told to each of them."""

    __slots__ = ("_begin", "_latest", "_lock", "_members", "_told_at")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: tuple[Listener, ...] = ()
        self._begin: Callable[[], object] | None = None
        self._latest: float | None = None
        self._told_at = 0.0

    @property
    def is_open(self) -> bool:
        """Return True: somebody may come."""
        return True

    def add(self, member: Listener) -> None:
        """Add a listener."""
        with self._lock:
            self._members = (*(other for other in self._members if other.is_open), member)
            begin, latest, told_at = self._begin, self._latest, self._told_at
        if latest is not None:
            member.tell(max(0.0, latest - (monotonic() - told_at)))
        if begin is not None:
            member.want(begin)

    def want(self, begin: Callable[[], object], /) -> None:
        """Call a function as soon as there is a listener that wants it."""
        with self._lock:
            self._begin, self._latest = begin, None
            members = self._members
        for member in members:
            member.want(begin)

    def tell(self, seconds: float | None, /) -> None:
        """Pass an estimate on to every listener. None is the end of a wait, after which its source is released."""
        with self._lock:
            self._latest, self._told_at = seconds, monotonic()
            if seconds is None:
                self._begin = None
            members = self._members
        for member in members:
            member.tell(seconds)


_listener: ContextVar[Listener | None] = ContextVar("rxollama_wait_listener", default=None)


@contextmanager
def listening(listener: Listener) -> Generator[None, None, None]:
    """Let requests that are sent within, or by what is started within, find a listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def current_listener() -> Listener | None:
    """Return the listener of this context if it is open."""
    listener = _listener.get()
    return listener if listener is not None and listener.is_open else None


def take_listener() -> Listener | None:
    """Return the listener of this context if it is open, and remove it from this context."""
    listener = current_listener()
    if listener is not None:
        _listener.set(None)
    return listener
