"""The operators that emit tool calls: `tool_calls` and `gather_tool_calls`."""

from __future__ import annotations

from typing import Any

from reactivex import Observable, abc

from .._runtime import Operator, Sink, Stream, always_ready, chunks_of
from ..messages import ChatChunk, MessageBoundary, ToolCall
from ._delivered import DeliveredValues, EarlyEnd

__all__ = ("gather_tool_calls", "tool_calls")

_EMPTY = ChatChunk()


_CallKey = tuple[str, dict[str, Any]]


def _drop(_: object) -> None:
    """Absorb a batch without a tool call."""


def _key(call: ToolCall) -> _CallKey:
    """Return what makes two calls equal. Ids are left out, because each attempt has its own."""
    return call.name, call.arguments


def _keyed(calls: tuple[ToolCall, ...]) -> tuple[tuple[_CallKey, ...], tuple[ToolCall, ...]]:
    return tuple(map(_key, calls)), calls


def tool_calls() -> Operator[ChatChunk, ToolCall]:
    """
    Emit each tool call as it arrives.

    Tool calls are only reported; `converse` runs them. If the answer begins over, see `ChatChunk`, the calls that the
    new attempt repeats are skipped: those with the same name and arguments, in the same order.

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
        An operator from a chat to a stream of tool calls.

    Raises:
        InvalidValueError: In `pipe`, if the source does not carry chunks.

    Completes: with the source.
    Errors: with the source; a call that was received was emitted before, since a chunk holds whole calls. With
        `RestartedError`, once the source was disposed, if the answer begins over and its calls differ from those that
        were emitted, or are fewer.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> Stream[ToolCall]:
        source = chunks_of(source, "tool_calls()")

        def subscribe(
            observer: abc.ObserverBase[ToolCall], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            delivered: DeliveredValues[_CallKey] = DeliveredValues()
            ended, emit = EarlyEnd(observer, "tool_calls()"), observer.on_next

            def on_next(chunk: ChatChunk) -> None:
                message = chunk.message
                if message.role == "assistant" and not (message.tool_calls or chunk.done or chunk.restart is not None):
                    # Nearly every chunk is like this. Text begins no message whose calls would count otherwise.
                    return
                if not (ended.has_ended or fits(chunk)):
                    ended.differ(chunk.model)

            def fits(chunk: ChatChunk) -> bool:
                calls = ((_key(call), call) for call in chunk.message.tool_calls)
                return delivered.before(chunk) and delivered.emit_new(calls, emit) and delivered.after(chunk)

            def on_completed() -> None:
                ended.complete(delivered)

            # A batch has nothing but text.
            sink = Sink(on_next, observer.on_error, on_completed, always_ready, _drop)
            ended.upstream.disposable = source.subscribe(sink, scheduler=scheduler)
            return ended.upstream

        return Stream(subscribe, items=ToolCall)

    return apply


def gather_tool_calls() -> Operator[ChatChunk, tuple[ToolCall, ...]]:
    """
    Emit all tool calls of a message as one tuple, when the message ends.

    Each message of the assistant gives one tuple, which is empty if the message calls no tool. Calls keep their order.
    Calls with the same index, or without an id, stay separate. If an answer begins over, see `ChatChunk`, the calls of
    the attempt that broke are dropped, and equal tuples that were emitted before are skipped.

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
        An operator from a chat to a stream of tuples.

    Raises:
        InvalidValueError: In `pipe`, if the source does not carry chunks.

    Completes: with the source, after the tuple of a message that is not done.
    Errors: with the source. The calls of an unfinished message are not emitted, because they should not be run; they
        are in the error's `partial`. With `RestartedError`, once the source was disposed, if the answer begins over and
        differs from the tuples that were emitted, or has fewer.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> Stream[tuple[ToolCall, ...]]:
        source = chunks_of(source, "gather_tool_calls()")

        def subscribe(
            observer: abc.ObserverBase[tuple[ToolCall, ...]], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            gathered = _GatheredCalls()
            delivered: DeliveredValues[tuple[_CallKey, ...]] = DeliveredValues()
            ended, emit = EarlyEnd(observer, "gather_tool_calls()"), observer.on_next

            def on_next(chunk: ChatChunk) -> None:
                if ended.has_ended:
                    return
                messages = gathered.add(chunk)
                if not messages and chunk.restart is None:
                    return
                if chunk.restart is not None and chunk.restart.scope == "answer":
                    # An unfinished message has emitted nothing, so no other scope repeats anything.
                    delivered.begin_over("answer")
                if not delivered.emit_new(map(_keyed, messages), emit):
                    ended.differ(chunk.model)

            def on_completed() -> None:
                new: list[tuple[ToolCall, ...]] = []
                if delivered.emit_new(map(_keyed, gathered.end()), new.append):
                    ended.complete(delivered, new)
                else:
                    ended.differ()

            # A batch has nothing but text, which changes nothing within a message of the assistant.
            sink = Sink(on_next, observer.on_error, on_completed, lambda _: gathered.goes_on, _drop)
            ended.upstream.disposable = source.subscribe(sink, scheduler=scheduler)
            return ended.upstream

        return Stream(subscribe, items=tuple)

    return apply


class _GatheredCalls:
    """The tool calls of the current message of one stream."""

    __slots__ = ("_begun", "_boundary", "_calls")

    def __init__(self) -> None:
        self._begun = False
        self._calls: list[ToolCall] = []
        self._boundary = MessageBoundary()

    @property
    def goes_on(self) -> bool:
        """Whether text of the assistant would continue the message."""
        return self._begun and self._boundary.role == "assistant"

    def add(self, chunk: ChatChunk) -> tuple[tuple[ToolCall, ...], ...]:
        """Add a chunk and return the calls of each message that ends before it or with it."""
        boundary, message = self._boundary, chunk.message
        is_text = not (chunk.done or message.tool_calls or chunk.restart is not None)
        if is_text and self._begun and message.role == boundary.role == "assistant":
            return ()
        ended = self.end() if boundary.changes(chunk) else ()
        if chunk.restart is not None:
            # Nobody may run the calls of an attempt that broke.
            ended = ()
        # An empty chunk does not begin a message.
        self._begun = boundary.role != "tool" and (self._begun or chunk != _EMPTY)
        self._calls += message.tool_calls
        if chunk.done:
            boundary.restart()
            ended = (*ended, *self.end())
        return ended

    def end(self) -> tuple[tuple[ToolCall, ...], ...]:
        """End the message and return its calls, if it is the assistant's."""
        ended = (tuple(self._calls),) if self._begun else ()
        self._begun = False
        self._calls.clear()
        return ended
