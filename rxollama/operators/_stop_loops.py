"""The operator `stop_loops`, for answers that repeat a phrase without an end."""

from __future__ import annotations

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from .._checks import check_count
from .._runtime import Operator, Sink, Stream, batch_path, chunks_of
from ..errors import RepetitionError
from ..messages import ChatChunk, ChunkBatch, MessageBoundary, ResponseBuilder
from ._loop_finder import Loop, LoopFinder

__all__ = ("stop_loops",)


def stop_loops(raise_after: int = 4096) -> Operator[ChatChunk, ChatChunk]:
    """
    Fail when an answer repeats one phrase again and again, and close its request.

    Some models repeat a phrase until the context is full. The server stops an answer only if it repeats a single piece;
    this operator finds phrases of any length, in the thinking and in the content. Everything that arrived is delivered
    before the error. Asking again with the same options mostly gives the same loop, so `retry` passes the error on.

    .. marbles::

        --a--b--c--|
        stop_loops(raise_after=16)
        --a--b--(c,#)

        a = ChatChunk(message=Message("assistant", "So: "))
        b = ChatChunk(message=Message("assistant", "wait, wait, "))
        c = ChatChunk(message=Message("assistant", "wait, wait, "))
        # = RepetitionError("the answer repeats itself", found_by="stop_loops")

    Args:
        raise_after: The number of characters that must repeat, exactly and without a gap. The phrase has at most that
            many, and stands there at least four times. A phrase with fewer than four different letters, such as a line
            of dashes, a row of numbers or "ha ha ha", must fill four times as many characters. The default is about a
            thousand tokens, which no list or table of equal lines in a good answer should reach.

    Returns:
        An operator from a chat to a chat. It passes every chunk on as it is. The end of a text is looked at after each
        quarter of *raise_after* characters, wherever its chunks are cut. Each message starts from the beginning, and so
        does an answer that begins over.

    Raises:
        InvalidValueError: If *raise_after* is not a positive int; in `pipe`, if the source does not carry chunks.

    Completes: with the source.
    Errors: with the source; or with a `RepetitionError` whose `found_by` is "stop_loops" and whose `partial` is what
        arrived, after the chunk in which the loop is complete, once the source was disposed.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """
    check_count("raise_after", raise_after)

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "stop_loops()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            watch, upstream = _LoopWatch(raise_after), SingleAssignmentDisposable()
            add, emit = watch.add, observer.on_next
            ready_below, absorb_below = batch_path(observer)
            failed = False

            def on_next(chunk: ChatChunk) -> None:
                nonlocal failed
                # A source may send more before its subscription can be disposed.
                if failed:
                    return
                loop = add(chunk)
                emit(chunk)
                if loop is not None:
                    failed = True
                    # The request is closed at once, however long the subscriber takes.
                    upstream.dispose()
                    observer.on_error(watch.error(loop))

            def ready(batch: ChunkBatch) -> bool:
                # The last question is the expensive one.
                return not failed and watch.is_within_text and ready_below(batch) and not watch.has_loop(batch)

            def absorb(batch: ChunkBatch) -> None:
                watch.extend(batch)
                absorb_below(batch)

            sink = Sink(on_next, observer.on_error, observer.on_completed, ready, absorb)
            upstream.disposable = source.subscribe(sink, scheduler=scheduler)
            return upstream

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


class _LoopWatch:
    """The texts of the current message, and what arrived so far."""

    __slots__ = ("_boundary", "_builder", "_content", "_thinking")

    def __init__(self, size: int) -> None:
        self._boundary = MessageBoundary()
        self._builder = ResponseBuilder()
        self._thinking, self._content = LoopFinder(size), LoopFinder(size)

    def add(self, chunk: ChatChunk) -> Loop | None:
        """Add a chunk, and return the loop that is complete with it."""
        self._builder.add(chunk)
        boundary, message = self._boundary, chunk.message
        if boundary.changes(chunk) or chunk.restart is not None:
            self._restart()
        loop = None
        if boundary.role != "tool":
            if message.thinking:
                loop = self._thinking.add(message.thinking)
            if message.content:
                loop = self._content.add(message.content) or loop
        if chunk.done:
            boundary.restart()
            self._restart()
        return loop

    @property
    def is_within_text(self) -> bool:
        """Whether a batch would continue the message."""
        return self._boundary.role == "assistant"

    def has_loop(self, batch: ChunkBatch) -> bool:
        """Return whether a loop would be complete within a batch."""
        found = self._thinking.look_ahead(batch.thinking) or self._content.look_ahead(batch.content)
        return found is not None

    def extend(self, batch: ChunkBatch) -> None:
        """Add a batch within the message, in which there is no loop."""
        self._builder.extend(batch)
        if batch.thinking:
            self._thinking.extend(batch.thinking)
        if batch.content:
            self._content.extend(batch.content)

    def error(self, loop: Loop) -> RepetitionError:
        """Return the error of a loop."""
        partial = self._builder.snapshot()
        message = _MESSAGE.format(period=loop.period, times=loop.times)
        return RepetitionError(message, found_by="stop_loops", model=partial.model, partial=partial)

    def _restart(self) -> None:
        self._thinking.restart()
        self._content.restart()


_MESSAGE = (
    "the answer repeats the same {period} characters, at least {times} times in a row: ask again with other options, "
    "such as a higher repeat_penalty or another temperature, or ask another model"
)
