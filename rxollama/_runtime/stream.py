"""
The stream: an observable that can be iterated and awaited.

It stands above `_iterate` and `_whole`, which know any observable, and decides what leaving a stream gives.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar, overload

from reactivex import Observable, abc, compose

from rxollama._invalid_value import InvalidValueError, invalid_value
from rxollama._runtime._batches import Sink, subscribe_sink
from rxollama._runtime._blocking import check_asyncio, check_no_loop
from rxollama._runtime._iterate import AsyncIteration, Iteration, Overflow
from rxollama._runtime._loop import call_on
from rxollama._runtime._whole import Whole

__all__ = ("Operator", "Stream", "overflow_of", "wait_for_whole")

# Windows does not interrupt a lock that waits without a limit.
_SLICE = 0.5 if os.name == "nt" else None

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")
T6 = TypeVar("T6")
T7 = TypeVar("T7")
T8 = TypeVar("T8")
T9 = TypeVar("T9")
T10 = TypeVar("T10")
T11 = TypeVar("T11")
T12 = TypeVar("T12")
T13 = TypeVar("T13")
T14 = TypeVar("T14")
T15 = TypeVar("T15")
T16 = TypeVar("T16")

R = TypeVar("R")

Op: TypeAlias = Callable[[Observable[A]], Observable[B]]
Last: TypeAlias = Callable[[Observable[A]], R]


class Stream(Observable[T_co]):
    """
    An observable that can be iterated and awaited: what every call and every operator returns.

    All of reactivex works on it. `for item in stream` and `async for item in stream` iterate, see `iterate` and
    `aiterate`; `await stream` gives the whole, see `run`. Each of them is a new subscription.

    Args:
        subscribe: Called for each subscription with its observer and scheduler; returns what disposes it.
        items: The type of the items; None if it is not known.
        deltas: Whether the items are deltas of one text or message, which add up, rather than values of their own.

    .. versionadded:: 0.1
    """

    def __init__(
        self, subscribe: abc.Subscription[T_co], *, items: type[Any] | None = None, deltas: bool = False
    ) -> None:
        super().__init__(subscribe)
        self._begin = subscribe
        self._items = items
        self._deltas = deltas

    @classmethod
    def like(cls, source: Observable[T], subscribe: abc.Subscription[T]) -> Stream[T]:
        """
        Build a stream whose items are those of another.

        Args:
            source: The other stream; of an observable that is not a `Stream`, nothing is known.
            subscribe: See `Stream`.

        Returns:
            A stream with the same kind of items.
        """
        if isinstance(source, Stream):
            return Stream(subscribe, items=source.items, deltas=source.deltas)
        return Stream(subscribe)

    @property
    def items(self) -> type[Any] | None:
        """The type of the items; None if it is not known."""
        return self._items

    @property
    def deltas(self) -> bool:
        """Whether the items are deltas of one text or message, which add up."""
        return self._deltas

    def subscribe(
        self,
        on_next: abc.ObserverBase[T_co] | abc.OnNext[T_co] | None = None,
        on_error: abc.OnError | None = None,
        on_completed: abc.OnCompleted | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Subscribe an observer or callbacks, as to every observable."""
        if isinstance(on_next, Sink):
            return subscribe_sink(self._begin, on_next, scheduler)
        return super().subscribe(on_next, on_error, on_completed, scheduler=scheduler)

    def __iter__(self) -> Iteration[T_co]:
        """Iterate in a plain `for`, see `iterate`."""
        check_no_loop("`for item in stream`", "`async for item in stream`")
        return Iteration(self, overflow=overflow_of(self))

    def __aiter__(self) -> AsyncIteration[T_co]:
        """Iterate in an `async for`, see `aiterate`."""
        return AsyncIteration(self, overflow=overflow_of(self))

    def __await__(self) -> Generator[Any, None, T_co]:
        """
        Wait for the whole: the sum of deltas, or else the last item; see `run`.

        The stream may live on any loop and thread. Cancelling the task closes the request.
        """
        check_asyncio("`await stream`")
        return _wait_for(self).__await__()

    def run(self, scheduler: abc.SchedulerBase | None = None) -> T_co:
        """
        Block this thread until the stream completes, and return the whole of it; see `rxollama.run`.

        The method of reactivex, which this replaces, would return the last delta, and would block a running loop.

        Args:
            scheduler: The scheduler to subscribe on.
        """
        whole = wait_for_whole(self, "stream.run()", scheduler)
        if whole.error is not None:
            raise whole.error
        return whole.take()

    def __getitem__(self, key: slice | int) -> Stream[T_co]:
        """Return a stream of some of the items, by the numbers of their places; see `reactivex.operators.slice`."""
        if not isinstance(key, (slice, int)):
            raise invalid_value("stream[...]", key, "an int or a slice", hint=_WHOLE)
        return _stream_of(super().__getitem__(key))

    def __add__(self, other: Observable[Any]) -> Stream[Any]:
        """Return a stream of the items of this one, and then of another."""
        return _stream_of(super().__add__(other))

    if not TYPE_CHECKING:
        # Type checkers must go on to refuse unknown names.
        def __getattr__(self, name: str) -> NoReturn:
            """Refuse a name that only the answer has."""
            raise AttributeError(f"'Stream' object has no attribute {name!r}: {_WHOLE}", name=name, obj=self)

    # The law: the items of one operator are the items of the next, and the last one may return anything. The overloads
    # at the end are reactivex's own, for operators that ask for more than an observable, such as `rx.ref_count`. With
    # those alone no type checker infers the argument of a lambda in `rx.map`.
    # Not formatted: one argument a line would make this 400 lines.
    # fmt: off
    # The order is not that of the base class, which is all that the checkers object to.
    @overload  # type: ignore[override]
    def pipe(self) -> Stream[T_co]: ...
    @overload
    def pipe(self, o1: Last[T_co, R], /) -> R: ...
    @overload
    def pipe(self, o1: Op[T_co, T1], o2: Last[T1, R], /) -> R: ...
    @overload
    def pipe(self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Last[T2, R], /) -> R: ...
    @overload
    def pipe(self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Last[T3, R], /) -> R: ...
    @overload
    def pipe(self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Op[T3, T4], o5: Last[T4, R], /) -> R: ...
    @overload
    def pipe(
        self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Op[T3, T4], o5: Op[T4, T5], o6: Last[T5, R], /
    ) -> R: ...
    @overload
    def pipe(
        self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Op[T3, T4], o5: Op[T4, T5], o6: Op[T5, T6],
        o7: Last[T6, R], /
    ) -> R: ...
    @overload
    def pipe(
        self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Op[T3, T4], o5: Op[T4, T5], o6: Op[T5, T6],
        o7: Op[T6, T7], o8: Last[T7, R], /
    ) -> R: ...
    @overload
    def pipe(
        self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Op[T3, T4], o5: Op[T4, T5], o6: Op[T5, T6],
        o7: Op[T6, T7], o8: Op[T7, T8], o9: Last[T8, R], /
    ) -> R: ...
    @overload
    def pipe(
        self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Op[T3, T4], o5: Op[T4, T5], o6: Op[T5, T6],
        o7: Op[T6, T7], o8: Op[T7, T8], o9: Op[T8, T9], o10: Last[T9, R], /
    ) -> R: ...
    @overload
    def pipe(
        self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Op[T3, T4], o5: Op[T4, T5], o6: Op[T5, T6],
        o7: Op[T6, T7], o8: Op[T7, T8], o9: Op[T8, T9], o10: Op[T9, T10], o11: Last[T10, R], /
    ) -> R: ...
    @overload
    def pipe(
        self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Op[T3, T4], o5: Op[T4, T5], o6: Op[T5, T6],
        o7: Op[T6, T7], o8: Op[T7, T8], o9: Op[T8, T9], o10: Op[T9, T10], o11: Op[T10, T11], o12: Last[T11, R], /
    ) -> R: ...
    @overload
    def pipe(
        self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Op[T3, T4], o5: Op[T4, T5], o6: Op[T5, T6],
        o7: Op[T6, T7], o8: Op[T7, T8], o9: Op[T8, T9], o10: Op[T9, T10], o11: Op[T10, T11], o12: Op[T11, T12],
        o13: Last[T12, R], /
    ) -> R: ...
    @overload
    def pipe(
        self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Op[T3, T4], o5: Op[T4, T5], o6: Op[T5, T6],
        o7: Op[T6, T7], o8: Op[T7, T8], o9: Op[T8, T9], o10: Op[T9, T10], o11: Op[T10, T11], o12: Op[T11, T12],
        o13: Op[T12, T13], o14: Last[T13, R], /
    ) -> R: ...
    @overload
    def pipe(
        self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Op[T3, T4], o5: Op[T4, T5], o6: Op[T5, T6],
        o7: Op[T6, T7], o8: Op[T7, T8], o9: Op[T8, T9], o10: Op[T9, T10], o11: Op[T10, T11], o12: Op[T11, T12],
        o13: Op[T12, T13], o14: Op[T13, T14], o15: Last[T14, R], /
    ) -> R: ...
    @overload
    def pipe(
        self, o1: Op[T_co, T1], o2: Op[T1, T2], o3: Op[T2, T3], o4: Op[T3, T4], o5: Op[T4, T5], o6: Op[T5, T6],
        o7: Op[T6, T7], o8: Op[T7, T8], o9: Op[T8, T9], o10: Op[T9, T10], o11: Op[T10, T11], o12: Op[T11, T12],
        o13: Op[T12, T13], o14: Op[T13, T14], o15: Op[T14, T15], o16: Last[T15, R], /
    ) -> R: ...
    @overload
    def pipe(self, o1: Callable[[Observable[T_co]], T1], o2: Callable[[T1], T2], /) -> T2: ...
    @overload
    def pipe(self, o1: Callable[[Observable[T_co]], T1], o2: Callable[[T1], T2], o3: Callable[[T2], T3], /) -> T3: ...
    @overload
    def pipe(
        self, o1: Callable[[Observable[T_co]], T1], o2: Callable[[T1], T2], o3: Callable[[T2], T3],
        o4: Callable[[T3], T4], /
    ) -> T4: ...
    @overload
    def pipe(
        self, o1: Callable[[Observable[T_co]], T1], o2: Callable[[T1], T2], o3: Callable[[T2], T3],
        o4: Callable[[T3], T4], o5: Callable[[T4], T5], /
    ) -> T5: ...
    @overload
    def pipe(
        self, o1: Callable[[Observable[T_co]], T1], o2: Callable[[T1], T2], o3: Callable[[T2], T3],
        o4: Callable[[T3], T4], o5: Callable[[T4], T5], o6: Callable[[T5], T6], /
    ) -> T6: ...
    @overload
    def pipe(
        self, o1: Callable[[Observable[T_co]], T1], o2: Callable[[T1], T2], o3: Callable[[T2], T3],
        o4: Callable[[T3], T4], o5: Callable[[T4], T5], o6: Callable[[T5], T6], o7: Callable[[T6], T7], /
    ) -> T7: ...
    # fmt: on
    def pipe(self, *operators: Callable[[Any], Any]) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - See above.
        """
        Apply operators from left to right.

        Args:
            operators: Any number of operators, of this library, of reactivex, or your own: functions of an observable.
                Type checkers follow the first 16.

        Returns:
            The result of the last operator; without operators the stream itself.

        Raises:
            InvalidValueError: If something is not a function, or an operator gets the wrong kind of items.
        """
        for operator in operators:
            _check_operator(operator)
        return _as_stream(compose(*operators)(self))


_WHOLE = "the answer is in run(stream), `await stream`, or a loop over the stream"


def _as_stream(found: Any) -> Any:
    """
    Return a plain observable as a stream, and everything else as it is.

    A `for` over an observable of reactivex never ends, and never subscribes. A subclass, such as a connectable
    observable, has methods that a stream does not have.
    """
    return _stream_of(found) if found.__class__ is Observable else found


def _stream_of(source: Observable[T]) -> Stream[T]:
    def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        return source.subscribe(observer, scheduler=scheduler)

    return Stream(subscribe)


Operator: TypeAlias = Callable[[Observable[A]], Stream[B]]
"""An operator: what `pipe` takes."""


def _check_operator(operator: object) -> None:
    # An operator is a function that one of ours returned. One of ours itself was not called.
    if inspect.isfunction(operator) and operator.__module__ == _OPERATORS and "<" not in operator.__qualname__:
        name = operator.__name__
        message = f"pipe(): expected an operator, got the function op.{name}: call it, as in op.{name}(...)"
        raise InvalidValueError(message, field="pipe()", given=name, allowed="an operator")
    if not callable(operator):
        raise invalid_value("pipe()", operator, "operators, such as op.content()", show=False)


_OPERATORS = "rxollama.operators"


def _adds_up(source: Observable[Any]) -> bool:
    return isinstance(source, Stream) and source.deltas


def overflow_of(source: Observable[Any]) -> Overflow:
    """Return what a slow consumer of a stream finds, unless it asks for something else."""
    return "sum" if _adds_up(source) else "keep"


def wait_for_whole(source: Observable[T], call: str, scheduler: abc.SchedulerBase | None = None) -> Whole[T]:
    """
    Block this thread until a stream ends, and return the whole of it.

    It leaves the error for the caller to raise, whose traceback has one frame less.

    Args:
        source: The stream.
        call: The call, as the user wrote it.
        scheduler: The scheduler to subscribe on.
    """
    check_no_loop(call, "`await stream`")
    ended = threading.Event()
    whole = _whole_of(source, ended.set)
    try:
        whole.begin(scheduler)
        while not whole.has_ended:
            ended.wait(_SLICE)
    finally:
        whole.dispose()
    return whole


def _whole_of(source: Observable[T], wake: Callable[[], None]) -> Whole[T]:
    """Return the whole of a stream, which is not subscribed yet."""
    empty: Any = "" if isinstance(source, Stream) and source.deltas and source.items is str else None
    return Whole(source, sums=_adds_up(source), empty=empty, wake=wake)


async def _wait_for(source: Observable[T]) -> T:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    whole = _whole_of(source, lambda: call_on(loop, ended.set))
    try:
        whole.begin()
        await ended.wait()
    finally:
        whole.dispose()
    if whole.error is not None:
        raise whole.error
    return whole.take()
