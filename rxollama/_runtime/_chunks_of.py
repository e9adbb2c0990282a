"""The check that an operator's source carries chunks."""

from __future__ import annotations

from reactivex import Observable
from reactivex import operators as rx

from rxollama._invalid_value import InvalidValueError, invalid_value
from rxollama._runtime.stream import Stream
from rxollama.messages import ChatChunk

__all__ = ("chunks_of",)


def chunks_of(source: Observable[ChatChunk], operator: str) -> Observable[ChatChunk]:
    """
    Refuse a source that does not carry chunks, at the earliest moment.

    Args:
        source: The source of an operator.
        operator: The operator, as the user wrote it.

    Returns:
        The source. If its kind of items is not known, each item is checked, and a wrong one ends it with an
        `InvalidValueError`.

    Raises:
        InvalidValueError: If it is not an observable, or is known to carry something else.
    """
    allowed = "a stream of ChatChunk, such as ollama.chat(...)"
    if not isinstance(source, Observable):
        raise invalid_value(operator, source, allowed, show=False)
    if not isinstance(source, Stream) or source.items is None:
        return source.pipe(rx.map(lambda item: _chunk(item, operator)))
    if not issubclass(source.items, ChatChunk):
        raise InvalidValueError(
            f"{operator}: expected {allowed}, got a stream of {source.items.__name__}: "
            "apply it before the operator that turns chunks into something else",
            field=operator,
            given=source.items.__name__,
            allowed=allowed,
        )
    return source


def _chunk(item: object, operator: str) -> ChatChunk:
    if not isinstance(item, ChatChunk):
        raise invalid_value(operator, item, "items of type ChatChunk", show=False)
    return item
