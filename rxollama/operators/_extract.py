"""The operator `extract_thinking`, for thinking that a model writes into its content."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from msgspec.structs import replace
from reactivex import Observable, abc

from .._invalid_value import invalid_value
from .._runtime import Operator, Stream, chunks_of, emit_and_end
from ..messages import ChatChunk, Message, MessageBoundary
from ._tags import CONTENT, THINKING, Piece, TagSplitter

__all__ = ("extract_thinking",)

_EMPTY = ChatChunk()


def extract_thinking(
    start: str = "<think>",
    end: str = "</think>",
    *,
    inside: bool = False,
    first_only: bool = False,
) -> Operator[ChatChunk, ChatChunk]:
    """
    Move inline thinking from the content into `thinking`, wherever its tags are cut.

    Only the tags are removed. Text that may become a tag is held back until that is decided; a chunk whose text is
    held back as a whole is emitted with empty texts. Thinking that is never closed stays thinking. Tool results are
    not changed. Each message starts from the beginning, and so does an answer that begins over, see `ChatChunk`: text
    of the attempt that broke is dropped if it was held back.

    .. marbles::

        --a--b--c--d------e--|
        extract_thinking()
        --A--B--C--(D,E)--F--|

        a = ChatChunk(message=Message("assistant", "<thi"))
        b = ChatChunk(message=Message("assistant", "nk>Hm"))
        c = ChatChunk(message=Message("assistant", ", 2 < 3</thin"))
        d = ChatChunk(message=Message("assistant", "k>Yes<think>Or"))
        e = ChatChunk(message=Message("assistant", "?"), done=True)
        A = ChatChunk(message=Message("assistant"))
        B = ChatChunk(message=Message("assistant", thinking="Hm"))
        C = ChatChunk(message=Message("assistant", thinking=", 2 < 3"))
        D = ChatChunk(message=Message("assistant", "Yes"))
        E = ChatChunk(message=Message("assistant", thinking="Or"))
        F = ChatChunk(message=Message("assistant", thinking="?"), done=True)

    Args:
        start: The tag before the thinking.
        end: The tag after it.
        inside: Whether a message begins in its thinking, because the start tag was part of the prompt.
        first_only: Whether a start tag counts only if nothing but white space stands before it in the message, so that
            an answer may write about tags.

    Returns:
        An operator from a chat to a chat. If one chunk becomes several, the first has the logprobs and `restart`, the
        last has the tool calls, `done` and the numbers.

    Raises:
        InvalidValueError: If a tag is empty or not a `str`; in `pipe`, if the source does not carry chunks.

    Completes: with the source, after the text that was held back.
    Errors: with the source, after the text that was held back.
    Disposed: the source is disposed; the text that was held back is dropped.

    .. versionadded:: 0.1
    """
    _check_tag("start", start)
    _check_tag("end", end)

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "extract_thinking()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            extraction = _Extraction(TagSplitter(start, end, inside=inside, first_only=first_only))
            add, emit = extraction.add, observer.on_next

            def on_next(chunk: ChatChunk) -> None:
                for extracted in add(chunk):
                    emit(extracted)

            def on_error(error: Exception) -> None:
                emit_and_end(observer, extraction.end(), error)

            def on_completed() -> None:
                emit_and_end(observer, extraction.end())

            return source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


def _check_tag(field: str, tag: object) -> None:
    if not isinstance(tag, str) or not tag:
        raise invalid_value(field, tag, "a str of at least one character")


class _Extraction:
    """
    The state of one stream: the current message, and the text that is held back.

    The law: joined, the texts of the emitted chunks are those of the received ones without the tags, and reading order
    (thinking, content, tool calls within a chunk) is kept. So a chunk becomes several only if content stands before
    thinking in it.
    """

    __slots__ = ("_boundary", "_last", "_splitter")

    def __init__(self, splitter: TagSplitter) -> None:
        self._splitter = splitter
        self._boundary = MessageBoundary()
        self._last = _EMPTY

    def add(self, chunk: ChatChunk) -> tuple[ChatChunk, ...]:
        """Add a chunk and return the chunks that replace it."""
        boundary = self._boundary
        rest = self.end() if boundary.changes(chunk) else ()
        if chunk.restart is not None:
            rest = ()
        self._last = chunk
        extracted = (chunk,) if boundary.role == "tool" else _replaced(chunk, self._pieces(chunk))
        if chunk.done:
            boundary.restart()
            self._splitter.restart()
        return (*rest, *extracted) if rest else extracted

    def end(self) -> tuple[ChatChunk, ...]:
        """End a message that is not done, and return the chunks of the text that was held back."""
        pieces = self._splitter.flush()
        self._splitter.restart()
        return tuple(_part(self._last, texts) for texts in _texts_of(pieces))

    def _pieces(self, chunk: ChatChunk) -> list[Piece]:
        splitter, message = self._splitter, chunk.message
        pieces: list[Piece] = []
        if message.thinking:
            pieces += splitter.flush()
            pieces.append((THINKING, message.thinking))
        if message.content:
            pieces += splitter.feed(message.content)
        if message.tool_calls or chunk.done:
            pieces += splitter.flush()
        return pieces


def _replaced(chunk: ChatChunk, pieces: list[Piece]) -> tuple[ChatChunk, ...]:
    message = chunk.message
    # Nearly every chunk is like this, and is passed on unchanged.
    if not message.thinking and pieces == [(CONTENT, message.content)]:
        return (chunk,)
    texts = _texts_of(pieces) or [("", "")]
    if texts == [(message.thinking, message.content)]:
        return (chunk,)
    thinking, content = texts[-1]
    message = replace(message, thinking=thinking, content=content)
    if len(texts) == 1:
        return (replace(chunk, message=message),)
    first, *between = (_part(chunk, pair) for pair in texts[:-1])
    begin = replace(first, logprobs=chunk.logprobs, restart=chunk.restart)
    return (begin, *between, replace(chunk, message=message, logprobs=(), restart=None))


def _texts_of(pieces: list[Piece]) -> list[tuple[str, str]]:
    """Return pieces as the fewest pairs of thinking and content that keep the reading order."""
    texts: list[tuple[str, str]] = []
    for kind, same in groupby(pieces, itemgetter(0)):
        text = "".join([text for _, text in same])
        if kind == THINKING:
            texts.append((text, ""))
        elif texts:
            # Kinds alternate here, so the last pair has only thinking.
            texts[-1] = (texts[-1][0], text)
        else:
            texts.append(("", text))
    return texts


def _part(chunk: ChatChunk, texts: tuple[str, str]) -> ChatChunk:
    thinking, content = texts
    message = Message(chunk.message.role, content, thinking)
    return ChatChunk(model=chunk.model, created_at=chunk.created_at, message=message)
