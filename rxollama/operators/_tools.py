"""The tools that a model calls: one by one, or all of a message at once."""

from __future__ import annotations

from reactivex import Observable, abc

from .._runtime import Operator, Stream, chunks_of
from ..messages import ChatChunk, MessageBoundary, ToolCall
from ._ending import emit_and_end

__all__ = ("gather_tool_calls", "tool_calls")

_NOTHING = ChatChunk()


def tool_calls() -> Operator[ChatChunk, ToolCall]:
    """
    Emit each tool call as it arrives.

    .. marbles::

        --a--b------c--|
        tool_calls()
        -----(B,C)-----|

        a = ChatChunk(message=Message("assistant", "Let me see."))
        b = ChatChunk(message=Message("assistant", tool_calls=(B, C)))
        c = ChatChunk(message=Message("assistant"), done=True)
        B = ToolCall(Function("get_weather", {"city": "Oslo"}))
        C = ToolCall(Function("get_weather", {"city": "Rome"}))

    Returns:
        The operator.

    Completes: with the source.
    Errors: with the source; no call is lost, because calls come whole.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> Stream[ToolCall]:
        source = chunks_of(source, "tool_calls()")

        def subscribe(
            observer: abc.ObserverBase[ToolCall], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            emit = observer.on_next

            def on_next(chunk: ChatChunk) -> None:
                for call in chunk.message.tool_calls:
                    emit(call)

            return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

        return Stream(subscribe, items=ToolCall)

    return apply


def gather_tool_calls() -> Operator[ChatChunk, tuple[ToolCall, ...]]:
    """
    Emit all tool calls of a message at once, in order, when the message ends.

    There is exactly one tuple for each message of the assistant, an empty one if it calls nothing. Two calls are two,
    also where a server gives them the same index or no id.

    .. marbles::

        --a--b--c--d--e--|
        gather_tool_calls()
        --------C-----E--|

        a = ChatChunk(message=Message("assistant", tool_calls=(x,)))
        b = ChatChunk(message=Message("assistant", tool_calls=(x,)))
        c = ChatChunk(message=Message("assistant"), done=True)
        d = ChatChunk(message=Message.tool("3 °C", call=x))
        e = ChatChunk(message=Message("assistant", "Cold."), done=True)
        x = ToolCall(Function("get_weather", {"city": "Oslo"}))
        C = (x, x)
        E = ()

    Returns:
        The operator.

    Completes: with the source; a message that did not say that it is done gets its tuple first.
    Errors: with the source; the calls of an unfinished message are not emitted, as they are not to be acted on. They
        are in the error's `partial`.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> Stream[tuple[ToolCall, ...]]:
        source = chunks_of(source, "gather_tool_calls()")

        def subscribe(
            observer: abc.ObserverBase[tuple[ToolCall, ...]], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            gathering = _Gathering()
            take, emit = gathering.take, observer.on_next

            def on_next(chunk: ChatChunk) -> None:
                for calls in take(chunk):
                    emit(calls)

            def on_completed() -> None:
                emit_and_end(observer, gathering.end())

            return source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)

        return Stream(subscribe, items=tuple)

    return apply


class _Gathering:
    """Follow one stream: its messages, and the tools that are called."""

    __slots__ = ("_begun", "_boundary", "_calls")

    def __init__(self) -> None:
        self._begun = False
        self._calls: list[ToolCall] = []
        self._boundary = MessageBoundary()

    def take(self, chunk: ChatChunk) -> tuple[tuple[ToolCall, ...], ...]:
        """Take in a chunk, and bring the calls of each message that ends before it or with it."""
        boundary, message = self._boundary, chunk.message
        if self._begun and message.role == boundary.role == "assistant" and not (chunk.done or message.tool_calls):
            return ()
        ended = self.end() if boundary.changes(chunk) else ()
        # A chunk that says nothing begins no message.
        self._begun = boundary.role != "tool" and (self._begun or chunk != _NOTHING)
        self._calls += message.tool_calls
        if chunk.done:
            boundary.restart()
            ended = (*ended, *self.end())
        return ended

    def end(self) -> tuple[tuple[ToolCall, ...], ...]:
        """End the message, and bring its calls, if it is the assistant's."""
        ended = (tuple(self._calls),) if self._begun else ()
        self._begun = False
        self._calls.clear()
        return ended
