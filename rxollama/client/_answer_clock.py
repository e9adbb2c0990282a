"""The measurements of an answer that takes several requests."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TypeVar

from msgspec.structs import replace
from reactivex import abc

from rxollama._runtime import Sink, batch_path
from rxollama.messages import ChatChunk, ChunkBatch, ClientTiming

__all__ = ("AnswerClock",)

T = TypeVar("T", bound=ClientTiming)


class AnswerClock:
    """
    The measurements of one answer, from its first request on.

    A restart begins them over, except for the clock itself. If there was one request only, the last chunk stays as it
    is.

    Args:
        observer: The subscriber, which gets the chunks through `sink`.
    """

    def __init__(self, observer: abc.ObserverBase[ChatChunk]) -> None:
        self.requests = 0
        self.thinking_cuts = 0
        self._observer = observer
        ready, self._absorb_below = batch_path(observer)
        self.sink: Sink[ChatChunk] = Sink(self._on_next, observer.on_error, observer.on_completed, ready, self._absorb)
        self._began = perf_counter_ns()
        self._begin_over()

    def _begin_over(self) -> None:
        self._count = 0
        self._first: int | None = None
        self._token: int | None = None
        self._content: int | None = None

    def timing(self, last: T) -> T:
        """
        Return the measurements of the answer.

        Args:
            last: Those of the last request, which knows the host. Everything else of it is kept.
        """
        return replace(
            last,
            time_to_first_chunk=self._first,
            time_to_first_token=self._token,
            time_to_first_content=self._content,
            wall_duration=perf_counter_ns() - self._began,
            chunk_count=self._count,
            repeat_count=self.requests - 1,
            thinking_cut_count=self.thinking_cuts,
        )

    def _on_next(self, chunk: ChatChunk) -> None:
        if chunk.restart is not None:
            self._begin_over()
        self._count += 1
        if self._content is None:
            self._mark(is_visible=chunk.visible, has_content=bool(chunk.message.content))
        if chunk.done and self.requests > 1:
            chunk = replace(chunk, client=self.timing(chunk.client or ClientTiming()))
        self._observer.on_next(chunk)

    def _absorb(self, batch: ChunkBatch) -> None:
        self._count += len(batch)
        if self._content is None:
            self._mark(is_visible=bool(batch.thinking or batch.content), has_content=bool(batch.content))
        self._absorb_below(batch)

    def _mark(self, *, is_visible: bool, has_content: bool) -> None:
        now = perf_counter_ns() - self._began
        if self._first is None:
            self._first = now
        if self._token is None and is_visible:
            self._token = now
        if has_content:
            self._content = now
