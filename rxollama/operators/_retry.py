"""The operator `retry`."""

from __future__ import annotations

import random as _random
import re
import sys
from collections.abc import Callable
from datetime import timedelta

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from .._checks import check_callable, check_choice, check_count, check_seconds
from .._invalid_value import invalid_value
from .._runtime import (
    AfterFirst,
    Attempts,
    Following,
    Operator,
    Stream,
    add_note,
    check_predicate,
    chunks_of,
)
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
from ._timing.clock import Clock, clock_of, given_clock
from ._timing.timer import Timer

__all__ = ("retry",)

_RETRIED = (
    BusyError,
    ConnectionFailedError,
    ConnectionLostError,
    ServerFailureError,
    StreamTimeoutError,
    TruncatedError,
)
# The server's parsers report a tool call that the model wrote badly with words like these. The same request mostly
# gives the same call, after a whole generation each time: https://github.com/ollama/ollama/issues/14834.
_PARSER = re.compile(
    r"\b(pars(e|er|ing)|xml|json|unmarshal(ing|ling)?)\b|\binvalid character\b|\belement (type )?<", re.IGNORECASE
)


def retry(
    attempts: int = 3,
    *,
    backoff: float | timedelta = 0.5,
    factor: float = 2.0,
    max_backoff: float | timedelta = 30.0,
    max_retry_after: float | timedelta = 60.0,
    jitter: float = 0.5,
    when: Callable[[Exception], bool] | None = None,
    after_first: AfterFirst = "raise",
    scheduler: abc.SchedulerBase | None = None,
    random: Callable[[], float] = _random.random,
) -> Operator[ChatChunk, ChatChunk]:
    """
    Subscribe again after a failure.

    Once thinking, content or a tool call was delivered, an error is passed on as it is, unless *after_first* allows the
    answer to begin over. Chunks with nothing to see are held back until the answer begins, so the chunks that come out
    are those of one attempt, all of them. Each attempt is a new subscription of the source, and so a new request.

    .. marbles::

        -e-#
        retry(2, backoff=4, jitter=0)
        ----------(e,#)

        e = ChatChunk(message=Message("assistant"))
        # = BusyError("the server answered 503", status=503)

    Args:
        attempts: The largest number of attempts, the first one included.
        backoff: The wait before the second attempt, in seconds or as a `timedelta`.
        factor: By how much each wait is longer than the one before; 1 or more.
        max_backoff: The longest wait to which `backoff` grows, in seconds or as a `timedelta`.
        max_retry_after: The longest wait that a server may ask for (`Retry-After`), in seconds or as a `timedelta`. If
            it asks for more, its error is passed on.
        jitter: The largest part by which a wait is shortened at random, from 0 to 1, so that clients that failed
            together do not return together.
        when: A function from an error to whether another attempt may help. The default is True for a failed or lost
            connection, a timeout, a busy server (429, 503), a server's failure (500 and up) and a truncated answer;
            and False if the server's message speaks of a parser, since a tool call that the model wrote badly is
            mostly written badly again.
        after_first: What to do once thinking, content or a tool call was delivered: "raise" passes the error on.
            "restart" tries again: the first chunk of the new answer has `restart`, and every operator drops what came
            before. What was delivered stands until then. `content()` and `thinking()` skip what the new answer repeats,
            and raise `RestartedError` where it differs. Tools of a conversation in the source run again.
        scheduler: The clock of the waits, on which the next attempt is subscribed. The default is the subscriber's
            scheduler, or else the loop on which the stream lives.
        random: A function that returns the random number for `jitter`, from 0 to 1.

    Returns:
        An operator from a chat to a chat. No wait is shorter than the server asks for (`retry_after`), whatever
        `max_backoff` is. To limit the time of each attempt put `timeouts` before this operator; see there about models
        that are being loaded.

    Raises:
        InvalidValueError: If an argument is wrong; in `pipe`, if the source does not carry chunks.

    Completes: with the attempt that completes.
    Errors: with the last attempt's error, after the chunks of it that were held back. The errors of the attempts before
        are in its notes, and so is a wait that was too long. What `when` or `random` raises replaces the error.
    Disposed: the running attempt is disposed, or the wait for the next one is cancelled.

    .. versionadded:: 0.1
    """
    check_count("attempts", attempts)
    first_wait = check_seconds("backoff", backoff, zero=True)
    longest_wait = check_seconds("max_backoff", max_backoff, zero=True)
    longest_asked = check_seconds("max_retry_after", max_retry_after, zero=True)
    _check_number("factor", factor, 1, sys.float_info.max, "a number, 1 or more")
    _check_number("jitter", jitter, 0, 1, "a number from 0 to 1")
    check_predicate("when", when)
    check_choice("after_first", after_first, ("raise", "restart"), none=False)
    check_callable("random", random, "a function that returns a number from 0 to 1")

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "retry()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler_: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            left, backoffs = attempts, _Backoffs(first_wait, factor, longest_wait)

            def follow(error: Exception, has_answered: bool) -> Following | None:
                nonlocal left
                left -= 1
                if not left or (has_answered and after_first == "raise"):
                    return None
                if not (when or _may_help)(error) or _asks_too_long(error, longest_asked):
                    return None
                wait = max(backoffs.next() * (1 - jitter * random()), _asked_by(error))
                return Following(_delayed(source, wait, given_clock(scheduler, scheduler_) or clock_of(None)))

            tries = Attempts(observer, scheduler_, "attempt", follow)
            tries.begin(source)
            return tries.current

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


class _Backoffs:
    """The waits of one subscription, in seconds, before any jitter."""

    def __init__(self, first: float, factor: float, longest: float) -> None:
        self._factor = factor
        self._longest = longest
        self._next = min(first, longest)

    def next(self) -> float:
        """Return the next wait, which is longer than the one before."""
        wait = self._next
        self._next = min(wait * self._factor, self._longest)
        return wait


def _may_help(error: Exception) -> bool:
    if isinstance(error, ServerFailureError) and _PARSER.search(error.detail):
        return False
    return isinstance(error, _RETRIED)


def _asked_by(error: Exception) -> float:
    """Return the wait that the server asks for, in seconds; 0 if it asks for none."""
    return (error.retry_after if isinstance(error, StatusError) else None) or 0.0


def _asks_too_long(error: Exception, longest: float) -> bool:
    asked = _asked_by(error)
    if asked <= longest:
        return False
    add_note(
        error,
        f"not tried again: the server asks for a wait of {asked:g} s, longer than max_retry_after={longest:g}: "
        "come back later, or raise max_retry_after",
    )
    return True


def _delayed(source: Observable[ChatChunk], seconds: float, clock: Clock) -> Observable[ChatChunk]:
    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        upstream = SingleAssignmentDisposable()

        def begin() -> None:
            upstream.disposable = source.subscribe(observer, scheduler=scheduler)

        timer = Timer(clock, begin)
        timer.set(clock.now() + seconds)
        return CompositeDisposable(Disposable(timer.put_off), upstream)

    return Stream(subscribe, items=ChatChunk, deltas=True)


def _check_number(field: str, value: object, least: float, most: float, allowed: str) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise invalid_value(field, value, allowed)
