"""Thinking that a model writes into its content, moved to where thinking belongs."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from msgspec.structs import replace
from reactivex import Observable, abc

from .._invalid_value import invalid_value
from .._runtime import Operator, Stream, chunks_of
from ..messages import ChatChunk, Message, MessageBoundary
from ._ending import emit_and_end
from ._tags import CONTENT, THINKING, Piece, TagSplitter

__all__ = ("extract_thinking",)

_NOTHING = ChatChunk()


def extract_thinking(
    start: str = "<think>",
    end: str = "</think>",
    *,
    inside: bool = False,
    first_only: bool = False,
) -> Operator[ChatChunk, ChatChunk]:
    """
    Move inline thinking from the content into `thinking`, wherever its tags are cut.

    Nothing but the tags is removed. What may become a tag is held back until that is known; a chunk whose words are
    all held back arrives empty. Thinking that is never closed stays thinking, a tool's results stay as they are, and
    each message starts afresh.

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
        first_only: Whether a start tag counts only as the first thing of a message, white space apart, so that an
            answer may write about tags.

    Returns:
        The operator. Of a chunk that becomes several the first has the logprobs, the last the calls, `done` and the
        numbers.

    Raises:
        InvalidValueError: When a tag is empty or no text.

    Completes: with the source, after what was held back.
    Errors: with the source, after what was held back.
    Disposed: the source is disposed; what was held back is dropped.

    .. versionadded:: 0.1
    """
    _check("start", start)
    _check("end", end)

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "extract_thinking()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            extraction = _Extraction(TagSplitter(start, end, inside=inside, first_only=first_only))
            take, emit = extraction.take, observer.on_next

            def on_next(chunk: ChatChunk) -> None:
                for told in take(chunk):
                    emit(told)

            def on_error(error: Exception) -> None:
                emit_and_end(observer, extraction.end(), error)

            def on_completed() -> None:
                emit_and_end(observer, extraction.end())

            return source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


def _check(field: str, tag: object) -> None:
    if not isinstance(tag, str) or not tag:
        raise invalid_value(field, tag, "a str of at least one character")


class _Extraction:
    """Follow one stream: its messages, who speaks, and what is held back."""

    __slots__ = ("_boundary", "_last", "_splitter")

    def __init__(self, splitter: TagSplitter) -> None:
        self._splitter = splitter
        self._boundary = MessageBoundary()
        self._last = _NOTHING

    def take(self, chunk: ChatChunk) -> tuple[ChatChunk, ...]:
        """Turn a chunk into the chunks that say the same with its thinking in place."""
        boundary = self._boundary
        rest = self.end() if boundary.changes(chunk) else ()
        self._last = chunk
        told = (chunk,) if boundary.role == "tool" else _told(chunk, self._pieces(chunk))
        if chunk.done:
            boundary.restart()
            self._splitter.restart()
        return (*rest, *told) if rest else told

    def end(self) -> tuple[ChatChunk, ...]:
        """End a message that did not say so: bring what is held back, if there is any."""
        pieces = self._splitter.flush()
        self._splitter.restart()
        return tuple(_part(self._last, texts) for texts in _in_order(pieces))

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


def _told(chunk: ChatChunk, pieces: list[Piece]) -> tuple[ChatChunk, ...]:
    message = chunk.message
    # Nearly every chunk is one of these: it goes on as it came.
    if not message.thinking and pieces == [(CONTENT, message.content)]:
        return (chunk,)
    texts = _in_order(pieces) or [("", "")]
    if texts == [(message.thinking, message.content)]:
        return (chunk,)
    thinking, content = texts[-1]
    message = replace(message, thinking=thinking, content=content)
    if len(texts) == 1:
        return (replace(chunk, message=message),)
    first, *between = (_part(chunk, pair) for pair in texts[:-1])
    return (replace(first, logprobs=chunk.logprobs), *between, replace(chunk, message=message, logprobs=()))


def _in_order(pieces: list[Piece]) -> list[tuple[str, str]]:
    """Put pieces into as few pairs of thinking and content as keep the order of reading."""
    texts: list[tuple[str, str]] = []
    for kind, same in groupby(pieces, itemgetter(0)):
        text = "".join([text for _, text in same])
        if kind == THINKING:
            texts.append((text, ""))
        elif texts:
            # Kinds alternate here: the last one was thinking.
            texts[-1] = (texts[-1][0], text)
        else:
            texts.append(("", text))
    return texts


def _part(chunk: ChatChunk, texts: tuple[str, str]) -> ChatChunk:
    thinking, content = texts
    message = Message(chunk.message.role, content, thinking)
    return ChatChunk(model=chunk.model, created_at=chunk.created_at, message=message)
