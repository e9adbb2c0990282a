"""Another model or another host, where the first one fails before it answers."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable, abc

from .._invalid_value import invalid_value
from .._runtime import Operator, Stream, chunks_of
from ..errors import ClientClosedError, StreamError
from ..messages import ChatChunk
from ._attempts import Attempts, check_predicate, check_source

__all__ = ("fallback",)


def fallback(
    *others: Observable[ChatChunk], when: Callable[[Exception], bool] | None = None
) -> Operator[ChatChunk, ChatChunk]:
    """
    Go on with another source, such as another model or another host, when the one before fails unseen.

    Once thinking, content or a tool call was delivered, an error is passed on as it is: a second beginning would be
    worse. Chunks with nothing to see are held back until the answer begins, so that what comes out is one source's
    chunks, all of them and only these.

    .. marbles::

        -e-#
        fallback(other)
        ----a-b-|

        e = ChatChunk(message=Message("assistant"))
        a = ChatChunk(message=Message("assistant", "Hello"))
        b = ChatChunk(message=Message("assistant"), done=True)
        other = reactivex.from_marbles("-a-b-|", timespan=1.0, lookup={"a": a, "b": b})
        # = StreamError("no such model")

    Args:
        others: What to subscribe to instead, in this order.
        when: Tells of an error whether another source may help. None says yes to every `StreamError`, such as an
            unknown model, a host that is not there, or a timeout, but for that of a client that was closed.

    Returns:
        The operator. For several attempts at each source put `retry` before this operator and behind each of *others*.

    Raises:
        InvalidValueError: At this call, when there are no others, or something that is no observable.

    Completes: with the source that completes.
    Errors: with the last source's error, after what was held back of it; the errors of the sources before are told in
        its notes. What `when` raises is passed on in place of the error.
    Disposed: the source whose turn it is is disposed; those after it are never subscribed.

    .. versionadded:: 0.1
    """
    if not others:
        raise invalid_value("others", others, "at least one observable of chunks")
    for other in others:
        check_source("others", other)
    check_predicate("when", when)

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "fallback()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            left = iter(others)

            def follow(error: Exception) -> Observable[ChatChunk] | None:
                return next(left, None) if (when or _may_help)(error) else None

            choices = Attempts(observer, scheduler, "choice", follow)
            choices.begin(source)
            return choices.current

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


def _may_help(error: Exception) -> bool:
    # Who closes a client wants no further requests, though another client could send them.
    return isinstance(error, StreamError) and not isinstance(error, ClientClosedError)
