"""The operators that add chunks up to a response: `accumulate` and `collect`."""

from __future__ import annotations

from reactivex import Observable, abc

from .._runtime import Operator, Sink, Stream, always_ready, batch_path, chunks_of, emit_and_end
from ..messages import ChatChunk, ChatResponse, ChunkBatch, ResponseBuilder

__all__ = ("accumulate", "collect")


def accumulate() -> Operator[ChatChunk, ChatResponse]:
    """
    Emit the response so far, after each chunk.

    A snapshot takes the same time however long the answer is. Its texts are joined when they are first read.

    .. marbles::

        --a--b--c--|
        accumulate()
        --A--B--C--|

        a = ChatChunk(message=Message("assistant", "Hel"))
        b = ChatChunk(message=Message("assistant", "lo"))
        c = ChatChunk(message=Message("assistant"), done=True, done_reason="stop")
        A = ChatResponse(message=Message("assistant", "Hel"))
        B = ChatResponse(message=Message("assistant", "Hello"))
        C = ChatResponse(message=Message("assistant", "Hello"), done=True, done_reason="stop")

    Returns:
        An operator from a chat to a stream of snapshots.

    Raises:
        InvalidValueError: In `pipe`, if the source does not carry chunks.

    Completes: with the source.
    Errors: with the source; the last snapshot holds everything that was received.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> Stream[ChatResponse]:
        source = chunks_of(source, "accumulate()")

        def subscribe(
            observer: abc.ObserverBase[ChatResponse], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            builder = ResponseBuilder()
            add, snapshot, emit = builder.add, builder.snapshot, observer.on_next
            ready_below, absorb_below = batch_path(observer)

            def on_next(chunk: ChatChunk) -> None:
                add(chunk)
                emit(snapshot())

            def absorb(batch: ChunkBatch) -> None:
                absorb_below(builder.snapshots(batch))

            # Snapshots do not add up, so whoever is ready for any batch is ready for theirs.
            sink = Sink(on_next, observer.on_error, observer.on_completed, ready_below, absorb)
            return source.subscribe(sink, scheduler=scheduler)

        return Stream(subscribe, items=ChatResponse)

    return apply


def collect() -> Operator[ChatChunk, ChatResponse]:
    """
    Emit the whole response once, when the source completes.

    .. marbles::

        --a--b--c--|
        collect()
        -----------(R,|)

        a = ChatChunk(message=Message("assistant", "Hel"))
        b = ChatChunk(message=Message("assistant", "lo"))
        c = ChatChunk(message=Message("assistant"), done=True, done_reason="stop")
        R = ChatResponse(message=Message("assistant", "Hello"), done=True, done_reason="stop")

    Returns:
        An operator from a chat to a stream of one `ChatResponse`.

    Raises:
        InvalidValueError: In `pipe`, if the source does not carry chunks.

    Completes: with the source, after the response. There is no response if there was no chunk.
    Errors: with the source; the response so far is in the error's `partial`.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> Stream[ChatResponse]:
        source = chunks_of(source, "collect()")

        def subscribe(
            observer: abc.ObserverBase[ChatResponse], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            builder = ResponseBuilder()
            add = builder.add
            begun = False

            def on_next(chunk: ChatChunk) -> None:
                nonlocal begun
                begun = True
                add(chunk)

            def absorb(batch: ChunkBatch) -> None:
                nonlocal begun
                begun = True
                builder.extend(batch)

            def on_completed() -> None:
                emit_and_end(observer, (builder.snapshot(),) if begun else ())

            sink = Sink(on_next, observer.on_error, on_completed, always_ready, absorb)
            return source.subscribe(sink, scheduler=scheduler)

        return Stream(subscribe, items=ChatResponse)

    return apply
