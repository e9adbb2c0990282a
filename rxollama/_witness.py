"""
Who is told how far a request is, while there is no answer to tell of.

An operator sees chunks, and before the first there is nothing to see. So one that wants to know what happens until
then says so around its subscription, and each request that begins there takes notice. Timers and tasks inherit it, so
that it hears of a second attempt as well.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from rxollama._runtime import report_error

__all__ = ("Request", "Witness", "begin", "witnessed_by")


class Witness(Protocol):
    """Hear of requests; what it raises is reported, and breaks nothing."""

    def asked(self) -> None:
        """Hear that a request was asked for, within the subscription; from whichever thread."""
        ...

    def connecting(self) -> None:
        """Hear that a request begins; this and all that follows comes on its loop."""
        ...

    def sent(self) -> None:
        """Hear that it is on its way: the connection is there."""
        ...

    def over(self) -> None:
        """Hear that it is over, once it was on its way."""
        ...


_witness: ContextVar[Witness | None] = ContextVar("rxollama_witness", default=None)


@contextmanager
def witnessed_by(witness: Witness | None) -> Generator[None]:
    """Let a witness hear of every request that begins within a `with`; None lets nobody."""
    token = _witness.set(witness)
    try:
        yield
    finally:
        _witness.reset(token)


def begin() -> Request | None:
    """Begin a request of which somebody may want to hear; None where nobody does."""
    witness = _witness.get()
    return None if witness is None else Request(witness)


class Request:
    """Tell a witness of one request, of each step once, and of nothing that its chunks lead to."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._is_sent = False
        self._is_over = False
        self._tell(witness.asked)

    def connecting(self) -> None:
        """
        Tell that it begins; to be called in the task that hands the chunks on.

        From here on the task itself has no witness. Who subscribes to something else because of a chunk does not mean
        this one; who does so because a stream ended, as those that try again do, may well, and has it still.
        """
        self._tell(self._witness.connecting)
        _witness.set(None)

    def sent(self) -> None:
        """Tell that it is on its way; a body that is sent again, as after a challenge, is no news."""
        if not (self._is_sent or self._is_over):
            self._is_sent = True
            self._tell(self._witness.sent)

    def over(self) -> None:
        """Tell that it is over, if it was ever on its way."""
        self._is_over = True
        if self._is_sent:
            self._tell(self._witness.over)

    def _tell(self, hear: Callable[[], None]) -> None:
        try:
            hear()
        except Exception as error:  # noqa: BLE001 - Who only watches is no reason to lose an answer.
            report_error("the witness of a request raised", error)
