"""The operator `fallback`."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable, abc

from .._checks import check_choice
from .._invalid_value import invalid_value
from .._runtime import AfterFirst, Attempts, Following, Operator, Stream, check_predicate, chunks_of
from ..errors import ClientClosedError, StreamError
from ..messages import ChatChunk

__all__ = ("fallback",)


def fallback(
    *others: Observable[ChatChunk],
    when: Callable[[Exception], bool] | None = None,
    after_first: AfterFirst = "raise",
) -> Operator[ChatChunk, ChatChunk]:
    """
    Continue with another source, such as another model or host, if one fails.

    Once thinking, content or a tool call was delivered, an error is passed on as it is, unless *after_first* allows the
    answer to begin over. Chunks with nothing to see are held back until the answer begins, so the chunks that come out
    are those of one source, all of them.

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
        others: The sources to subscribe to instead, in this order.
        when: A function from an error to whether another source may help. The default is True for every `StreamError`,
            such as an unknown model, an unreachable host or a timeout, except that of a closed client.
        after_first: What to do once thinking, content or a tool call was delivered: "raise" passes the error on,
            "restart" lets the next source begin the answer over, as in `retry`.

    Returns:
        An operator from a chat to a chat. For several attempts at each source put `retry` before this operator and
        into the pipe of each of *others*.

    Raises:
        InvalidValueError: If there are no *others*, or one does not carry chunks; in `pipe`, if the source does not
            carry chunks.

    Completes: with the source that completes.
    Errors: with the last source's error, after the chunks of it that were held back. The errors of the sources before
        are in its notes. What `when` raises replaces the error.
    Disposed: the current source is disposed; the sources after it are never subscribed.

    .. versionadded:: 0.1
    """
    if not others:
        raise invalid_value("others", others, "at least one stream of ChatChunk, such as ollama.chat(...)")
    sources = tuple(chunks_of(other, "others") for other in others)
    check_predicate("when", when)
    check_choice("after_first", after_first, ("raise", "restart"), none=False)

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "fallback()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            left = iter(sources)

            def follow(error: Exception, has_answered: bool) -> Following | None:
                if has_answered and after_first == "raise":
                    return None
                other = next(left, None) if (when or _may_help)(error) else None
                return None if other is None else Following(other)

            choices = Attempts(observer, scheduler, "choice", follow)
            choices.begin(source)
            return choices.current

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


def _may_help(error: Exception) -> bool:
    # A closed client shows that no further request is wanted, even if another client could send it.
    return isinstance(error, StreamError) and not isinstance(error, ClientClosedError)
