"""Answers that are JSON: read while they are written, and turned into values of a type."""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Any, TypeVar, overload

from reactivex import Observable, abc

from .._invalid_value import invalid_value
from .._runtime import Operator, Stream, chunks_of
from .._schema import TypeReader
from ..messages import ChatChunk, PartialJson
from ._ending import emit_and_end
from ._json_answer import JsonAnswer, JsonPath

__all__ = ("elements", "parse", "partial_json")

T = TypeVar("T")


@overload
def parse(kind: type[T]) -> Operator[ChatChunk, T]: ...
@overload
def parse(kind: UnionType) -> Operator[ChatChunk, Any]: ...
def parse(kind: type[T] | UnionType) -> Operator[ChatChunk, T]:
    """
    Emit the answer as one value of a type, once the source completes.

    The answer is the content of the assistant's last message, so that in a conversation with tools what is said beside
    the calls does not count. Blanks and one Markdown fence around the JSON are passed over.

    .. marbles::

        --a--b--c--|
        parse(dict[str, int])
        -----------(V,|)

        a = ChatChunk(message=Message("assistant", '{"celsi'))
        b = ChatChunk(message=Message("assistant", 'us": -3}'))
        c = ChatChunk(message=Message("assistant"), done=True, done_reason="stop")
        V = {"celsius": -3}

    Args:
        kind: The type: anything that msgspec reads from JSON, such as a Struct, a dataclass, a TypedDict, a list or a
            union of them, or a model of pydantic. The request had better say the same with `format=`.

    Returns:
        The operator.

    Raises:
        InvalidValueError: When the type cannot be read from JSON.

    Completes: with the source, after the value.
    Errors: with the source; or with `StructuredOutputError` when the source completes and the answer is no such value.
        What the type's own code raises is passed on.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """
    shape: TypeReader[T] = TypeReader.of(kind, field="kind")

    def apply(source: Observable[ChatChunk]) -> Stream[T]:
        source = chunks_of(source, "parse()")

        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            answer = JsonAnswer()

            def on_completed() -> None:
                answer.end()
                try:
                    value = answer.value(shape)
                except Exception as error:  # noqa: BLE001 - A type's own code may raise what it likes.
                    observer.on_error(error)
                else:
                    emit_and_end(observer, (value,))

            def on_next(chunk: ChatChunk) -> None:
                answer.take(chunk)

            return source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)

        return Stream(subscribe)

    return apply


def partial_json() -> Operator[ChatChunk, PartialJson]:
    """
    Emit the value that the answer is so far, after each chunk that adds to it.

    A snapshot costs the same however long the answer is; its value is put together when it is read, so that after
    `throttle` only what is shown is put together. Each message of the assistant starts anew, and the last one is the
    answer. Blanks and one Markdown fence around the JSON are passed over.

    .. marbles::

        --a--b--c--d--|
        partial_json()
        --A--B--C-----|

        a = ChatChunk(message=Message("assistant", '{"city": "Os'))
        b = ChatChunk(message=Message("assistant", 'lo", "celsius": -3'))
        c = ChatChunk(message=Message("assistant", '}'))
        d = ChatChunk(message=Message("assistant"), done=True, done_reason="stop")
        A = PartialJson({"city": "Os"}, path=("city",))
        B = PartialJson({"city": "Oslo"})
        C = PartialJson({"city": "Oslo", "celsius": -3}, complete=True)

    Returns:
        The operator. Texts, lists and objects are shown as far as they go, numbers and the words `true`, `false` and
        `null` once they are whole, a key once its value begins.

    Completes: with the source; a number that stands alone is emitted then.
    Errors: with the source; or with `StructuredOutputError` when the source completes and the answer is no whole JSON.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> Stream[PartialJson]:
        source = chunks_of(source, "partial_json()")

        def subscribe(
            observer: abc.ObserverBase[PartialJson], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            answer = JsonAnswer()
            take, snapshot, emit = answer.take, answer.snapshot, observer.on_next

            def on_next(chunk: ChatChunk) -> None:
                if take(chunk):
                    emit(snapshot())

            def on_completed() -> None:
                last = (snapshot(),) if answer.end() else ()
                emit_and_end(observer, last, answer.failure())

            return source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)

        return Stream(subscribe, items=PartialJson)

    return apply


@overload
def elements(kind: type[T], path: str | Sequence[str | int] = ()) -> Operator[ChatChunk, T]: ...
@overload
def elements(kind: UnionType, path: str | Sequence[str | int] = ()) -> Operator[ChatChunk, Any]: ...
def elements(kind: type[T] | UnionType, path: str | Sequence[str | int] = ()) -> Operator[ChatChunk, T]:
    """
    Emit each element of the list that the answer is, or has in it, as soon as it is whole.

    What was emitted is not kept. Each message of the assistant starts anew, and the last one is the answer. Blanks and
    one Markdown fence around the JSON are passed over.

    .. marbles::

        --a--b------c--d--|
        elements(int, "rows")
        -----(x,y)--z-----|

        a = ChatChunk(message=Message("assistant", '{"rows": [1'))
        b = ChatChunk(message=Message("assistant", '0, 20, 3'))
        c = ChatChunk(message=Message("assistant", '0]}'))
        d = ChatChunk(message=Message("assistant"), done=True, done_reason="stop")
        x = 10
        y = 20
        z = 30

    Args:
        kind: The type of an element; see `parse`.
        path: Where the list is: a key, or the keys and places that lead to it; nothing where it is the answer itself.

    Returns:
        The operator.

    Raises:
        InvalidValueError: When the type cannot be read from JSON, or the path is none.

    Completes: with the source.
    Errors: with the source; with `StructuredOutputError` at once where an element does not fit its type; or when the
        source completes and the answer is no whole JSON, or has no list there. What the type's own code raises is
        passed on.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """
    shape: TypeReader[T] = TypeReader.of(kind, field="kind")
    steps = _checked(path)

    def apply(source: Observable[ChatChunk]) -> Stream[T]:
        source = chunks_of(source, "elements()")

        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            answer, emit = JsonAnswer(steps), observer.on_next
            failed = False

            def on_next(chunk: ChatChunk) -> None:
                nonlocal failed
                # A source that was not disposed yet goes on for a while.
                if failed:
                    return
                answer.take(chunk)
                ready, error = answer.elements(shape)
                for element in ready:
                    emit(element)
                if error is not None:
                    failed = True
                    observer.on_error(error)

            def on_completed() -> None:
                answer.end()
                emit_and_end(observer, (), answer.failure())

            return source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)

        return Stream(subscribe)

    return apply


def _checked(path: str | Sequence[str | int]) -> JsonPath:
    if isinstance(path, str):
        return (path,)
    if isinstance(path, (list, tuple)) and all(map(_is_step, path)):
        return tuple(path)
    raise invalid_value("path", path, "a key, or a list or tuple of keys and indexes, such as ('result', 'rows')")


def _is_step(step: object) -> bool:
    return isinstance(step, str) or (isinstance(step, int) and not isinstance(step, bool) and step >= 0)
