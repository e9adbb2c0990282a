"""Operators played in virtual time, from the diagram of a docstring or from a list of notifications."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

import reactivex
from reactivex import Observable, abc
from reactivex.notification import OnError
from reactivex.observable.marbles import parse
from reactivex.testing import Recorded, TestScheduler
from reactivex.testing.marbles import messages_to_records
from reactivex.testing.subscription import Subscription

from rxollama import messages
from rxollama.messages._response import ChatResponse

_SUBSCRIBED = 200.0
_DISPOSED = 1000.0
_DIRECTIVE = ".. marbles::"


class Quiet:
    """A logger that logs nothing: `QUIET` in a diagram."""

    def info(self, event: str, **fields: object) -> None:
        """Log nothing."""

    warning = error = info


class Played(NamedTuple):
    """The notifications of a subscription, and the intervals in which the source was subscribed."""

    messages: list[Recorded[Any]]
    subscriptions: list[Subscription]


def play(
    operator: Callable[[Observable[Any]], Observable[Any]], *sent: Recorded[Any], disposed: float = _DISPOSED
) -> Played:
    """
    Subscribe an operator on a cold source at 200 in virtual time, and return what is recorded.

    Args:
        operator: The operator.
        sent: The notifications of the source, at times relative to the subscription.
        disposed: The time at which the subscription is disposed.

    Returns:
        What was recorded, at absolute times.
    """
    scheduler = TestScheduler()
    source = scheduler.create_cold_observable(*sent)
    observer = scheduler.start(lambda: source.pipe(operator), subscribed=_SUBSCRIBED, disposed=disposed)
    return Played(observer.messages, source.subscriptions)


class Diagram(NamedTuple):
    """A diagram: the source, the call, a line for each result, and the definitions of the names."""

    source: str
    call: str
    results: tuple[str, ...]
    names: tuple[str, ...]


def diagram_of(operator: Callable[..., Any]) -> Diagram:
    """Return the diagram in an operator's docstring."""
    lines = iter((inspect.getdoc(operator) or "").splitlines())
    if _DIRECTIVE not in (line.strip() for line in lines):
        raise AssertionError(f"{operator.__name__}() has no marble diagram in its docstring")
    next(lines)
    drawing = _paragraph(lines)
    names = _paragraph(lines)
    if len(drawing) < len(Diagram._fields) - 1:
        raise AssertionError(f"{operator.__name__}() has a diagram without a source, a call and a result: {drawing}")
    return Diagram(drawing[0], drawing[1], tuple(drawing[2:]), tuple(names))


def play_docstring(operator: Callable[..., Any]) -> None:
    """
    Play the diagram in an operator's docstring, and assert that the results are those of the diagram.

    A character is a second of virtual time. The operator is built by the call, and its subscriber passes a
    `TestScheduler`. If the call makes several observables, each has a line of results. The name `#` is the source's
    error. Errors in the results are compared by their type.
    """
    diagram = diagram_of(operator)
    names = _names(operator, diagram.names)
    error = names.get("#", RuntimeError("the error of the diagram"))
    scheduler = TestScheduler()
    source = reactivex.from_marbles(diagram.source, timespan=1.0, lookup=names, error=error)
    made = _evaluate(diagram.call, names)(source)
    observables = cast("tuple[Observable[Any], ...]", made if isinstance(made, tuple) else (made,))
    observers = [scheduler.create_observer() for _ in observables]

    def subscribe(*_: object) -> None:
        for observable, observer in zip(observables, observers, strict=True):
            scheduler.schedule_absolute(_DISPOSED, disposing(observable.subscribe(observer, scheduler=scheduler)))

    scheduler.schedule_absolute(_SUBSCRIBED, subscribe)
    scheduler.start()
    expected = [_expected(line, names, error) for line in diagram.results]
    played = [_comparable(observer.messages) for observer in observers]
    assert played == expected, f"{diagram.call} does not do what its diagram says"


def disposing(subscription: abc.DisposableBase) -> Callable[..., None]:
    """Return a scheduler's action that disposes a subscription."""

    def dispose(*_: object) -> None:
        subscription.dispose()

    return dispose


def _paragraph(lines: Iterable[str]) -> list[str]:
    """Return the indented lines up to the next empty one."""
    found: list[str] = []
    for line in lines:
        if not line.startswith("    ") or not line.strip():
            break
        found.append(line.strip())
    return found


def _names(operator: Callable[..., Any], definitions: Iterable[str]) -> dict[str | float, Any]:
    scope: dict[str | float, Any] = {"ChatResponse": ChatResponse, "QUIET": Quiet(), "reactivex": reactivex}
    # The public module of an operator does not have the names that its diagram uses; its own one does.
    for known in (vars(messages), operator.__globals__):
        scope.update(known.items())
    pending = [definition.split(" = ", 1) for definition in definitions]
    while pending:
        waiting: list[list[str]] = []
        for name, expression in pending:
            try:
                scope[name] = _evaluate(expression, scope)
            except NameError:
                # A diagram reads best with its names in the order of their marbles.
                waiting.append([name, expression])
        if len(waiting) == len(pending):
            raise AssertionError(f"{operator.__name__}() has a diagram whose names are not defined: {waiting}")
        pending = waiting
    return scope


def _evaluate(expression: str, names: dict[str | float, Any]) -> Any:
    return eval(expression, {str(name): value for name, value in names.items()})  # noqa: S307 - Our own docstrings.


def _expected(line: str, names: dict[str | float, Any], error: Exception) -> list[tuple[float, object]]:
    found = parse(line, timespan=1.0, time_shift=_SUBSCRIBED, lookup=names, error=error)
    return _comparable(messages_to_records(found))


def _comparable(records: list[Recorded[Any]]) -> list[tuple[float, object]]:
    return [(float(record.time), _of(record.value)) for record in records]


def _of(notification: object) -> object:
    return type(notification.exception) if isinstance(notification, OnError) else notification
