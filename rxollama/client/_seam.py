"""
The seam of a continued answer: where the server goes on from the text that it was sent.

The law. A server that goes on sends what is missing, so the answer is the text that was sent plus what arrives. A
server whose template does not take a last message of the assistant begins a new answer instead, and two beginnings
would stand in a row. No field says which of the two it does, so the first words tell it: if they are those with which
the text began, or if it thinks again in front of them, the answer began over. Then the first chunk is a restart.

Chunks are held back only while their text is that of the beginning, at most 16 characters of it. Most answers differ in
the first chunk. Whether a text begins with something as short as "It" says nothing, so a shorter text is not continued
at all. Nor does it say anything if the beginning occurs a second time in the text, as in a list of equal lines. Such an
answer is taken as continued.

The alternatives were to skip what is repeated, which is wrong if the new answer is worded otherwise later, and to ask
for the template (`/api/show`), which is one more request, and servers have renderers that no template describes.

White space is the server's: a renderer may strip the end of the text, and a parser the beginning of what follows. So
a space may be missing or doubled at the seam. The client cannot know, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace
from reactivex import Observable, abc

from rxollama._runtime import Sink, Stream, batch_path
from rxollama.errors import StreamError
from rxollama.messages import ChatChunk, ChunkBatch, Message, Restart

__all__ = ("can_continue", "watch_seam")

_SHORTEST = 4
_PROBE = 16


def can_continue(message: Message) -> bool:
    """
    Return whether a server may be asked to go on from a message.

    A tool call cannot be continued. Neither can a thought without content: some templates close it and others do not,
    so that content would arrive as thinking.
    """
    return len(message.content.strip()) >= _SHORTEST and not message.tool_calls


def watch_seam(source: Observable[ChatChunk], sent: str, begin_over: Callable[[], Restart]) -> Stream[ChatChunk]:
    """
    Build a stream that notices if the server begins the answer over instead of going on.

    Args:
        source: The stream of the request.
        sent: The content that was sent to go on from.
        begin_over: Called if the answer began over. It returns the mark for the first chunk.

    Returns:
        The stream. An error that comes before the seam is decided drops what was held back; its `partial` is None.
    """

    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        seam = _Seam(observer, sent, begin_over)
        sink = Sink(seam.on_next, seam.on_error, observer.on_completed, seam.is_ready, batch_path(observer)[1])
        return source.subscribe(sink, scheduler=scheduler)

    return Stream(subscribe, items=ChatChunk, deltas=True)


class _Seam:
    """The first chunks of one continued answer."""

    def __init__(self, observer: abc.ObserverBase[ChatChunk], sent: str, begin_over: Callable[[], Restart]) -> None:
        self._observer = observer
        self._ready_below, _ = batch_path(observer)
        text = sent.lstrip()
        self._probe = text[:_PROBE]
        self._is_telling = self._probe not in text[1:]
        self._begin_over = begin_over
        self._text = ""
        self._held: list[ChatChunk] = []
        self._is_decided = False

    def on_next(self, chunk: ChatChunk) -> None:
        """Pass a chunk on, or hold it back until it is clear what the server does."""
        if self._is_decided:
            self._observer.on_next(chunk)
            return
        self._held.append(chunk)
        self._text = (self._text + chunk.message.content).lstrip()
        if chunk.message.thinking or (self._is_telling and self._text.startswith(self._probe)):
            self._held[0] = replace(self._held[0], restart=self._begin_over())
        elif not (chunk.done or chunk.message.tool_calls) and self._may_repeat():
            return
        self._is_decided = True
        for each in self._held:
            self._observer.on_next(each)
        self._held.clear()

    def on_error(self, error: Exception) -> None:
        """Pass an error on. Chunks that are still held back are not a part of the answer."""
        if not self._is_decided and isinstance(error, StreamError):
            error.partial = None
        self._observer.on_error(error)

    def is_ready(self, batch: ChunkBatch) -> bool:
        """Return whether everybody is ready for a batch, once it is clear what the server does."""
        return self._is_decided and self._ready_below(batch)

    def _may_repeat(self) -> bool:
        return not self._text or (self._is_telling and self._probe.startswith(self._text))
