"""The operators for answers that are JSON: `parse`, `partial_json` and `elements`."""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Any, TypeVar, overload

from reactivex import Observable, abc

from .._invalid_value import invalid_value
from .._runtime import Operator, Stream, chunks_of, emit_and_end
from .._schema import TypeReader
from ..messages import ChatChunk, PartialJson
from ._delivered import DeliveredValues, EarlyEnd
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

    The answer is the content of the assistant's last message: in a conversation with tools, text beside the calls does
    not count. White space and one Markdown fence around the JSON are skipped. An answer that begins over, see
    `ChatChunk`, is read from its beginning.

    .. marbles::

        --a--b--c--|
        parse(dict[str, int])
        -----------(V,|)

        a = ChatChunk(message=Message("assistant", '{"celsi'))
        b = ChatChunk(message=Message("assistant", 'us": -3}'))
        c = ChatChunk(message=Message("assistant"), done=True, done_reason="stop")
        V = {"celsius": -3}

    Args:
        kind: The type of the value: a `msgspec.Struct`, a dataclass, a `TypedDict`, a pydantic model, or a list, dict
            or union of such. Pass the same type as `format=` of the request.

    Returns:
        An operator from a chat to a stream of one value.

    Raises:
        InvalidValueError: If the type cannot be read from JSON; in `pipe`, if the source does not carry chunks.

    Completes: with the source, after the value.
    Errors: with the source; with `StructuredOutputError` if the source completes and the answer is not such a value. A
        `ValueError` or `TypeError` of the type's own validation is its cause; any other exception is passed on as it
        is.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """
    reader: TypeReader[T] = TypeReader.of(kind, field="kind")

    def apply(source: Observable[ChatChunk]) -> Stream[T]:
        source = chunks_of(source, "parse()")

        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            answer = JsonAnswer()

            def on_completed() -> None:
                answer.end()
                emit_and_end(observer, *answer.whole(reader))

            def on_next(chunk: ChatChunk) -> None:
                answer.add(chunk)

            return source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)

        return Stream(subscribe, items=_class_of(kind))

    return apply


def partial_json() -> Operator[ChatChunk, PartialJson]:
    """
    Emit the JSON value so far, after each chunk that changes it.

    A snapshot takes the same time however long the answer is. Its value is built when it is first read, so behind
    `throttle` only the values that are shown are built. Each message of the assistant is a new value; the last one is
    the answer. White space and one Markdown fence around the JSON are skipped. An answer that begins over, see
    `ChatChunk`, is a new value, too.

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
        An operator from a chat to a stream of `PartialJson`. Strings, lists and objects are shown as far as they go;
        numbers, `true`, `false` and `null` once they are whole; a key once its value begins.

    Raises:
        InvalidValueError: In `pipe`, if the source does not carry chunks.

    Completes: with the source, after a number that stands alone.
    Errors: with the source; with `StructuredOutputError` if the source completes and the answer is not whole JSON.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """

    def apply(source: Observable[ChatChunk]) -> Stream[PartialJson]:
        source = chunks_of(source, "partial_json()")

        def subscribe(
            observer: abc.ObserverBase[PartialJson], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            answer = JsonAnswer()
            add, snapshot, emit = answer.add, answer.snapshot, observer.on_next

            def on_next(chunk: ChatChunk) -> None:
                if add(chunk):
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
    Emit each element of a list in the answer, as soon as it is whole.

    Emitted elements are not kept in memory, only a hash of each. Each message of the assistant is a new value; the last
    one is the answer. White space and one Markdown fence around the JSON are skipped. If the answer begins over, see
    `ChatChunk`, the elements that the new attempt repeats are skipped.

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
        path: Where the list is: a key, or a list or tuple of keys and indexes that lead to it. The default is for an
            answer that is the list itself.

    Returns:
        An operator from a chat to a stream of elements.

    Raises:
        InvalidValueError: If the type cannot be read from JSON, or *path* is not a path; in `pipe`, if the source does
            not carry chunks.

    Completes: with the source.
    Errors: with the source; with `StructuredOutputError` at once if an element does not fit its type, or if the source
        completes and the answer is not whole JSON or has no list there. See `parse` for what the type's own code
        raises. With `RestartedError`, once the source was disposed, if the answer begins over and its elements differ
        from those that were emitted, or are fewer.
    Disposed: the source is disposed.

    .. versionadded:: 0.1
    """
    reader: TypeReader[T] = TypeReader.of(kind, field="kind")
    steps = _check_path(path)

    def apply(source: Observable[ChatChunk]) -> Stream[T]:
        source = chunks_of(source, "elements()")

        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            answer, emit = JsonAnswer(steps), observer.on_next
            delivered: DeliveredValues[int] = DeliveredValues()
            ended = EarlyEnd(observer, "elements()")

            def on_next(chunk: ChatChunk) -> None:
                if ended.has_ended:
                    return
                answer.add(chunk)
                fits = delivered.before(chunk) and emit_new() and delivered.after(chunk)
                if not (fits or ended.has_ended):
                    ended.differ(chunk.model)

            def emit_new() -> bool:
                """Emit the elements that have become complete, and return whether all is as it was before."""
                ready, error = answer.elements(reader)
                fits = delivered.emit_new(ready, emit)
                if fits and error is not None:
                    ended.fail(error)
                return fits and error is None

            def on_completed() -> None:
                answer.end()
                ended.complete(delivered, (), answer.failure())

            subscription = source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)
            ended.upstream.disposable = subscription
            return ended.upstream

        return Stream(subscribe, items=_class_of(kind))

    return apply


def _class_of(kind: object) -> type[Any] | None:
    # Unions and types with parameters, such as `list[int]`, are not classes.
    return kind if isinstance(kind, type) else None


def _check_path(path: str | Sequence[str | int]) -> JsonPath:
    if isinstance(path, str):
        return (path,)
    if isinstance(path, (list, tuple)) and all(map(_is_step, path)):
        return tuple(path)
    raise invalid_value("path", path, "a key, or a list or tuple of keys and indexes, such as ('result', 'rows')")


def _is_step(step: object) -> bool:
    return isinstance(step, str) or (isinstance(step, int) and not isinstance(step, bool) and step >= 0)
