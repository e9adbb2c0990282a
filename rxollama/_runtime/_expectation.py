"""
The way of an estimate from a request to whoever waits for its answer.

The law. Whoever waits puts a listener into a context variable while it subscribes. A source that sends a request looks
for it once, and tells it the seconds that are still expected until the first token; None for no estimate. Contexts are
copied into tasks, timers and callbacks of a loop. So an estimate passes every operator, of this library or of others,
and a request that is sent later, such as another attempt or the next round of a conversation, is found, too.

Two rules keep it from strangers. A source removes the listener from its own task, so a request that somebody's
`on_next` sends has none. A listener that was closed tells nobody, and a context that is kept holds nothing by it.

Where it ends: a thread does not inherit a context, so an attempt that a scheduler's thread begins has no listener.
Neither has a source that reactivex subscribes later, on its trampoline, as `merge` and `concat` do. There is no
estimate then, and never a wrong one.

Alternatives that were tried:

- An item in the stream: every operator and every callback would see it.
- A method of the observables, which each operator passes on: reactivex's operators would not.
- A variable that is reset when the trampoline is empty: requests of others are sent meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias, final

__all__ = ("Tell", "WaitListener", "listening", "take_listener")

Tell: TypeAlias = Callable[[float | None], object]
"""Called, on any thread, with the seconds that are still expected until the first token; None for no estimate."""


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

    def tell(self, seconds: float | None) -> None:
        """Pass an estimate on, unless this is closed."""
        tell = self._tell
        if tell is not None:
            tell(seconds)

    def close(self) -> None:
        """Pass nothing more on, and release the function."""
        self._tell = None


_listener: ContextVar[WaitListener | None] = ContextVar("rxollama_wait_listener", default=None)


@contextmanager
def listening(listener: WaitListener) -> Generator[None, None, None]:
    """Let requests that are sent within, or by what is started within, find a listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def take_listener() -> WaitListener | None:
    """Return the listener of this context if it is open, and remove it from this context."""
    listener = _listener.get()
    if listener is None:
        return None
    _listener.set(None)
    return listener if listener.is_open else None
