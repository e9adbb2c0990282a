"""Asking again, where that can help and nobody has seen anything yet."""

from __future__ import annotations

import random as _random
import re
import sys
from collections.abc import Callable

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from .._invalid_value import invalid_value
from .._runtime import Operator, Stream, chunks_of
from ..errors import (
    BusyError,
    ConnectionFailedError,
    ConnectionLostError,
    ServerFailureError,
    StatusError,
    StreamTimeoutError,
    TruncatedError,
)
from ..messages import ChatChunk
from ._attempts import Attempts, check_predicate
from ._timing.clock import Clock, clock_of, given_clock
from ._timing.timer import Timer, check_seconds

__all__ = ("retry",)

_CAN_HELP = (
    BusyError,
    ConnectionFailedError,
    ConnectionLostError,
    ServerFailureError,
    StreamTimeoutError,
    TruncatedError,
)
# What the server's parsers say of a tool call that the model wrote badly. The same question mostly brings the same
# call again, after a whole generation each: https://github.com/ollama/ollama/issues/14834.
_PARSER = re.compile(
    r"\b(pars(e|er|ing)|xml|json|unmarshal(ing|ling)?)\b|\binvalid character\b|\belement (type )?<", re.IGNORECASE
)


def retry(
    attempts: int = 3,
    *,
    backoff: float = 0.5,
    factor: float = 2.0,
    max_backoff: float = 30.0,
    jitter: float = 0.5,
    when: Callable[[Exception], bool] | None = None,
    scheduler: abc.SchedulerBase | None = None,
    random: Callable[[], float] = _random.random,
) -> Operator[ChatChunk, ChatChunk]:
    """
    Ask again after a failure, as long as there was nothing to see of the answer.

    Once thinking, content or a tool call was delivered, an error is passed on as it is: a second beginning would be
    worse. Chunks with nothing to see are held back until the answer begins, so that what comes out is one attempt's
    chunks, all of them and only these. Each attempt is a new subscription of the source, and with it a new request.

    .. marbles::

        -e-#
        retry(2, backoff=4, jitter=0)
        ----------(e,#)

        e = ChatChunk(message=Message("assistant"))
        # = BusyError("the server answered 503", status=503)

    Args:
        attempts: How often to ask at most, the first time included.
        backoff: Seconds to wait before the second attempt.
        factor: By how much each wait is longer than the one before.
        max_backoff: Seconds that a wait grows to at most.
        jitter: By which part of itself a wait is shortened at most, at random, so that clients that failed together
            do not come back together: from 0 to 1.
        when: Tells of an error whether another attempt may help. None says yes to no connection, a lost one, a
            timeout, a busy server (429, 503), a server's failure (500 and up) and a truncated answer, but no where
            the server's words tell of a parser: a tool call that the model wrote badly, it mostly writes badly again.
        scheduler: The clock for the waits, and where the next attempt is subscribed. None takes the subscriber's
            scheduler, else the loop that the stream lives on.
        random: Gives the chance for `jitter`, from 0 to 1.

    Returns:
        The operator. Where the server says when to come again (`retry_after`), no wait is shorter, whatever
        `max_backoff` says. For a time limit on each attempt put `timeouts` before this operator, but see there about
        models that are being loaded.

    Raises:
        InvalidValueError: At this call, when an argument is wrong.

    Completes: with the attempt that completes.
    Errors: with the last attempt's error, after what was held back of it; the errors of the attempts before are told in
        its notes. What `when` or `random` raises is passed on in place of the error.
    Disposed: the running attempt is disposed, or the wait for the next is cancelled.

    .. versionadded:: 0.1
    """
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise invalid_value("attempts", attempts, "an int, 1 or more")
    check_seconds("backoff", backoff, zero=True)
    check_seconds("max_backoff", max_backoff, zero=True)
    _check_number("factor", factor, 1, sys.float_info.max, "a number, 1 or more")
    _check_number("jitter", jitter, 0, 1, "a number from 0 to 1")
    check_predicate("when", when)
    if not callable(random):
        raise invalid_value("random", random, "a function that returns a number from 0 to 1", show=False)

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "retry()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler_: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            left, waits = attempts, _Waits(backoff, factor, max_backoff)

            def follow(error: Exception) -> Observable[ChatChunk] | None:
                nonlocal left
                left -= 1
                if not left or not (when or _may_help)(error):
                    return None
                wait = waits.next() * (1 - jitter * random())
                asked = (error.retry_after if isinstance(error, StatusError) else None) or 0.0
                return _later(source, max(wait, asked), given_clock(scheduler, scheduler_) or clock_of(None))

            tries = Attempts(observer, scheduler_, "attempt", follow)
            tries.begin(source)
            return tries.current

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


class _Waits:
    """Say how long to wait before each attempt, but for chance."""

    def __init__(self, first: float, factor: float, longest: float) -> None:
        self._factor = factor
        self._longest = longest
        self._next = min(first, longest)

    def next(self) -> float:
        """Tell the next wait; it grows each time."""
        wait = self._next
        self._next = min(wait * self._factor, self._longest)
        return wait


def _may_help(error: Exception) -> bool:
    if isinstance(error, ServerFailureError) and _PARSER.search(error.detail):
        return False
    return isinstance(error, _CAN_HELP)


def _later(source: Observable[ChatChunk], seconds: float, clock: Clock) -> Observable[ChatChunk]:
    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        timer, upstream = Timer(clock), SingleAssignmentDisposable()

        def begin() -> None:
            upstream.disposable = source.subscribe(observer, scheduler=scheduler)

        timer.set(clock.now() + seconds, begin)
        return CompositeDisposable(Disposable(timer.put_off), upstream)

    return Observable(subscribe)


def _check_number(name: str, value: object, least: float, most: float, allowed: str) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise invalid_value(name, value, allowed)
