"""Chunks split into what is thought, what is said, and what happens."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable, abc

from .._runtime import Operator, Stream, chunks_of
from ..messages import ChatChunk, ChatEvent
from ._ending import emit_and_end
from ._event_builder import EventBuilder
from ._share import share

__all__ = ("content", "events", "split", "thinking")


def content() -> Operator[ChatChunk, str]:
    """
    Emit what the assistant says, delta by delta; a tool's results are passed over.

    .. marbles::

        --a--b--c--d--|
        content()
        -----B--C-----|

        a = ChatChunk(message=Message("assistant", thinking="Hm"))
        b = ChatChunk(message=Message("assistant", "Yes", thinking="."))
        c = ChatChunk(message=Message("assistant", "!"))
        d = ChatChunk(message=Message("assistant"), done=True)
        B = "Yes"
        C = "!"

    Returns:
        The operator; no delta is empty.

    Completes: with the source.
    Errors: with the source.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> Stream[str]:
        source = chunks_of(source, "content()")

        def subscribe(
            observer: abc.ObserverBase[str], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            emit = observer.on_next

            def on_next(chunk: ChatChunk) -> None:
                message = chunk.message
                if message.content and message.role != "tool":
                    emit(message.content)

            return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

        return Stream(subscribe, items=str, deltas=True)

    return apply


def thinking() -> Operator[ChatChunk, str]:
    """
    Emit what the assistant thinks, delta by delta.

    .. marbles::

        --a--b--c--d--|
        thinking()
        --A--B--------|

        a = ChatChunk(message=Message("assistant", thinking="Hm"))
        b = ChatChunk(message=Message("assistant", "Yes", thinking="."))
        c = ChatChunk(message=Message("assistant", "!"))
        d = ChatChunk(message=Message("assistant"), done=True)
        A = "Hm"
        B = "."

    Returns:
        The operator; no delta is empty.

    Completes: with the source.
    Errors: with the source.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> Stream[str]:
        source = chunks_of(source, "thinking()")

        def subscribe(
            observer: abc.ObserverBase[str], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            emit = observer.on_next

            def on_next(chunk: ChatChunk) -> None:
                message = chunk.message
                if message.thinking and message.role != "tool":
                    emit(message.thinking)

            return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

        return Stream(subscribe, items=str, deltas=True)

    return apply


def split() -> Callable[[Observable[ChatChunk]], tuple[Stream[str], Stream[str]]]:
    """
    Split a chat into the pair of its thinking and its content, from one request.

    The request starts with the first subscriber of either and ends with the last; see `share`.

    .. marbles::

        --a--b--c--|
        split()
        --T--U-----|
        -----B--C--|

        a = ChatChunk(message=Message("assistant", thinking="Hm"))
        b = ChatChunk(message=Message("assistant", "Yes", thinking="."))
        c = ChatChunk(message=Message("assistant", "!"), done=True)
        T = "Hm"
        U = "."
        B = "Yes"
        C = "!"

    Returns:
        The function from a chat to the pair; it may be the last in a `pipe`.

    Completes: both with the source.
    Errors: both with the source.
    Disposed: the source is disposed when neither has a subscriber any more.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> tuple[Stream[str], Stream[str]]:
        shared = source.pipe(share())
        return shared.pipe(thinking()), shared.pipe(content())

    return apply


def events() -> Operator[ChatChunk, ChatEvent]:
    """
    Tell what happens as typed events, made for `match`.

    Thinking and content are told as started, delta, ended, always in pairs, and may begin again after each other and
    after a tool call. `Finished` comes once, when the source completes and the assistant's last message is done: in a
    conversation with tools it has all rounds.

    .. marbles::

        --a------b--------c--|
        events()
        --(S,D)--(E,T,U)--V--(F,|)

        a = ChatChunk(message=Message("assistant", thinking="Hm"))
        b = ChatChunk(message=Message("assistant", "Yes"))
        c = ChatChunk(message=Message("assistant"), done=True)
        S = ThinkingStarted()
        D = ThinkingDelta("Hm")
        E = ThinkingEnded()
        T = ContentStarted()
        U = ContentDelta("Yes")
        V = ContentEnded()
        F = Finished(ChatResponse(message=Message("assistant", "Yes", "Hm"), done=True))

    Returns:
        The operator. Of one chunk it tells thinking, content, tool calls, in this order.

    Completes: with the source, after the end of what is open and, once done, `Finished`.
    Errors: with the source, after the end of what is open.
    Disposed: the source is disposed; no end is told.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> Stream[ChatEvent]:
        source = chunks_of(source, "events()")

        def subscribe(
            observer: abc.ObserverBase[ChatEvent], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            story = EventBuilder()
            tell, emit = story.tell, observer.on_next

            def on_next(chunk: ChatChunk) -> None:
                for event in tell(chunk):
                    emit(event)

            def on_error(error: Exception) -> None:
                emit_and_end(observer, story.close(), error)

            def on_completed() -> None:
                emit_and_end(observer, story.finish())

            return source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)

        return Stream(subscribe)

    return apply
