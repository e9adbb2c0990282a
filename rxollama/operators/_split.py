"""The operators that split a chat: `content`, `thinking`, `split` and `events`."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Literal

from reactivex import Observable, abc

from .._runtime import Operator, Sink, Stream, batch_path, chunks_of, emit_and_end
from ..messages import Batch, ChatChunk, ChatEvent, ChunkBatch, TextBatch, Value
from ._delivered import DeliveredTexts, EarlyEnd
from ._event_builder import EventBuilder
from ._share import share

__all__ = ("content", "events", "split", "thinking")


def content() -> Operator[ChatChunk, str]:
    """
    Emit the assistant's content, delta by delta.

    Thinking and tool results are left out. If the answer begins over, see `ChatChunk`, the text that the new attempt
    repeats is skipped.

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
        An operator from a chat to a stream of `str` deltas, none of which is empty.

    Raises:
        InvalidValueError: In `pipe`, if the source does not carry chunks.

    Completes: with the source.
    Errors: with the source; with `RestartedError`, once the source was disposed, if the answer begins over and its text
        differs from what was emitted, or ends earlier.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """
    return _texts("content")


def thinking() -> Operator[ChatChunk, str]:
    """
    Emit the assistant's thinking, delta by delta.

    Content and tool results are left out. If the answer begins over, see `ChatChunk`, the text that the new attempt
    repeats is skipped.

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
        An operator from a chat to a stream of `str` deltas, none of which is empty.

    Raises:
        InvalidValueError: In `pipe`, if the source does not carry chunks.

    Completes: with the source.
    Errors: with the source; with `RestartedError`, once the source was disposed, if the answer begins over and its text
        differs from what was emitted, or ends earlier.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """
    return _texts("thinking")


def _texts(field: Literal["content", "thinking"]) -> Operator[ChatChunk, str]:
    """Return the operator that emits one text field of the assistant's messages."""
    read: Callable[[object], str] = attrgetter(field)
    read_batch: Callable[[object], TextBatch] = attrgetter(f"{field}_batch")

    def apply(source: Observable[ChatChunk]) -> Stream[str]:
        source = chunks_of(source, f"{field}()")

        def subscribe(
            observer: abc.ObserverBase[str], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            state = _TextState(observer, field, read)
            keep, emit = state.delivered.pieces.append, observer.on_next
            ready_below, absorb_below = batch_path(observer)

            def on_next(chunk: ChatChunk) -> None:
                message = chunk.message
                if state.goes_on and message.role == "assistant" and not chunk.done and chunk.restart is None:
                    # Nearly every chunk is like this.
                    text = read(message)
                    if text:
                        keep(text)
                        emit(text)
                else:
                    state.add(chunk)

            def ready(batch: ChunkBatch) -> bool:
                texts = read_batch(batch)
                return state.goes_on and (not texts.text or ready_below(texts))

            def absorb(batch: ChunkBatch) -> None:
                texts = read_batch(batch)
                if texts.text:
                    keep(texts.text)
                    absorb_below(texts)

            sink = Sink(on_next, observer.on_error, state.end, ready, absorb)
            state.ended.upstream.disposable = source.subscribe(sink, scheduler=scheduler)
            return state.ended.upstream

        return Stream(subscribe, items=str, deltas=True)

    return apply


class _TextState:
    """The state of one `content` or `thinking` stream."""

    __slots__ = ("_observer", "_read", "delivered", "ended", "goes_on")

    def __init__(self, observer: abc.ObserverBase[str], field: str, read: Callable[[object], str]) -> None:
        self._observer = observer
        self._read = read
        self.delivered = DeliveredTexts()
        self.ended = EarlyEnd(observer, f"{field}()")
        self.goes_on = False
        """Whether text of the assistant would continue the current message, and all of it is new."""

    def add(self, chunk: ChatChunk) -> None:
        """Add a chunk of any kind."""
        if self.ended.has_ended:
            return
        self.goes_on = False
        delivered = self.delivered
        if not (delivered.before(chunk) and self._emit_new(chunk) and delivered.after(chunk)):
            self.ended.differ(chunk.model)
        else:
            self.goes_on = delivered.role == "assistant" and not delivered.repeats

    def _emit_new(self, chunk: ChatChunk) -> bool:
        """Emit what goes beyond the text that was emitted, and return whether it begins with that."""
        text = self._read(chunk.message)
        if not text or chunk.message.role == "tool":
            return True
        new = self.delivered.take(text)
        if new:
            self._observer.on_next(new)
        return new is not None

    def end(self) -> None:
        """Complete."""
        self.ended.complete(self.delivered)


def split() -> Callable[[Observable[ChatChunk]], tuple[Stream[str], Stream[str]]]:
    """
    Split a chat into two streams, its thinking and its content, which share one request.

    The request starts with the first subscriber of either stream and ends with the last. See `share`.

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
        A function from a chat to the pair `(thinking, content)`. It may be the last in a `pipe`.

    Raises:
        InvalidValueError: In `pipe`, if the source does not carry chunks.

    Completes: both streams with the source.
    Errors: both streams with the source. Each has its own `RestartedError`, see `content`.
    Disposed: the source is disposed once neither stream has a subscriber.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> tuple[Stream[str], Stream[str]]:
        shared = chunks_of(source, "split()").pipe(share())
        return shared.pipe(thinking()), shared.pipe(content())

    return apply


def events() -> Operator[ChatChunk, ChatEvent]:
    """
    Emit a chat as typed events, made for `match`.

    Thinking and content each have a started, delta and ended event. Starts and ends always come in pairs. Either may
    start again after the other, and after a tool call. `Restarted` comes where the answer begins over: what came before
    it counts no longer. `Finished` comes once, with all rounds of a conversation with tools, if the last message is
    done when the source completes.

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
        An operator from a chat to a stream of events. The events of one chunk are ordered thinking, content, tool
        calls.

    Raises:
        InvalidValueError: In `pipe`, if the source does not carry chunks.

    Completes: with the source, after the ended event of an open text and, if done, `Finished`.
    Errors: with the source, after the ended event of an open text.
    Disposed: the source is disposed; no further event is emitted.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> Stream[ChatEvent]:
        source = chunks_of(source, "events()")

        def subscribe(
            observer: abc.ObserverBase[ChatEvent], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            builder = EventBuilder()
            add, emit = builder.add, observer.on_next
            ready_below, absorb_below = batch_path(observer)

            def on_next(chunk: ChatChunk) -> None:
                for event in add(chunk):
                    emit(event)

            def absorb(batch: ChunkBatch) -> None:
                if built := builder.extend(batch):
                    absorb_below(Batch(len(built), lambda: built))

            def on_error(error: Exception) -> None:
                emit_and_end(observer, builder.close(), error)

            def on_completed() -> None:
                emit_and_end(observer, builder.finish())

            # Events do not add up, so whoever is ready for any batch is ready for theirs.
            return source.subscribe(Sink(on_next, on_error, on_completed, ready_below, absorb), scheduler=scheduler)

        # The events have no closer base class, because `match` over a union is checked for completeness.
        return Stream(subscribe, items=Value)

    return apply
