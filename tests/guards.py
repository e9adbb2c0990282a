"""Several sources in one virtual time, and a scheduler that counts timers, for the guarding operators."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler.scheduler import Scheduler
from reactivex.testing import ReactiveTest, Recorded, TestScheduler
from reactivex.testing.coldobservable import ColdObservable
from reactivex.testing.subscription import Subscription
from strategies import chunks

from rxollama.errors import StreamTimeoutError
from rxollama.messages import ChatChunk, Function, Message, ToolCall

SUBSCRIBED = 200.0
DISPOSED = 1000.0

EMPTY = ChatChunk(model="m", message=Message("assistant"))
HM = ChatChunk(model="m", message=Message("assistant", thinking="Hm"))
HEL = ChatChunk(model="m", message=Message("assistant", "Hel"))
LO = ChatChunk(model="m", message=Message("assistant", "lo"))
CALL = ChatChunk(model="m", message=Message("assistant", tool_calls=(ToolCall(Function("f")),)))
RESULT = ChatChunk(message=Message.tool("42", name="f"))
DONE = ChatChunk(model="m", message=Message("assistant"), done=True, done_reason="stop")


class Counting(Scheduler):
    """
    A scheduler on another one's time that counts the timers that neither fired nor were cancelled.

    Args:
        other: The scheduler.
    """

    def __init__(self, other: TestScheduler) -> None:
        super().__init__()
        self._other = other
        self.made = self.outstanding = self.most = 0

    @property
    def now(self) -> datetime:
        """The other's time."""
        return self._other.now

    def schedule(self, action: Any, state: Any = None) -> abc.DisposableBase:
        """Count an action that is due now."""
        return self.schedule_relative(0, action, state)

    def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> abc.DisposableBase:
        """Count a timer."""
        self.made += 1
        self.outstanding += 1
        self.most = max(self.most, self.outstanding)
        over: list[bool] = []

        def end() -> None:
            if not over:
                over.append(True)
                self.outstanding -= 1

        def act(scheduler: abc.SchedulerBase, state: Any = None) -> Any:
            end()
            return action(scheduler, state)

        handle = self._other.schedule_relative(duetime, act, state)

        def dispose() -> None:
            end()
            handle.dispose()

        return Disposable(dispose)

    def schedule_absolute(self, duetime: Any, action: Any, state: Any = None) -> abc.DisposableBase:
        """Fail: no operator of this library uses absolute times."""
        raise NotImplementedError


class Stage:
    """A virtual time for several sources, with `clock`, a scheduler that counts the timers of an operator."""

    def __init__(self) -> None:
        self.scheduler = TestScheduler()
        self.clock = Counting(self.scheduler)
        self._sources: list[ColdObservable[ChatChunk]] = []

    def source(self, *sent: Recorded[Any]) -> ColdObservable[ChatChunk]:
        """Return a cold source, whose times are relative to its subscription."""
        made: ColdObservable[ChatChunk] = self.scheduler.create_cold_observable(*sent)
        self._sources.append(made)
        return made

    def in_turn(self, *scripts: list[Recorded[Any]]) -> Observable[ChatChunk]:
        """Return a source that plays the next script at each subscription, and the last one from then on."""
        sources = [self.source(*script) for script in scripts]
        left = list(sources)

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            source = left.pop(0) if len(left) > 1 else left[0]
            return source.subscribe(observer, scheduler=scheduler)

        return Observable(subscribe)

    def at(self, time: float, action: Callable[[], object]) -> None:
        """Schedule an action at a virtual time."""

        def act(_: abc.SchedulerBase, __: object = None) -> None:
            action()

        self.scheduler.schedule_absolute(time, act)

    def play(self, observable: Observable[Any], *, disposed: float = DISPOSED) -> list[Recorded[Any]]:
        """Subscribe at 200, dispose later, and return the notifications."""
        return self.scheduler.start(lambda: observable, subscribed=SUBSCRIBED, disposed=disposed).messages

    @property
    def subscriptions(self) -> list[list[Subscription]]:
        """The intervals in which each source was subscribed, in the order in which the sources were made."""
        return [source.subscriptions for source in self._sources]


def transcript(played: list[Recorded[Any]]) -> list[tuple[float, object]]:
    """Return the times and notifications: a chunk, the phase of a timeout, another error, or `end`."""
    return [(float(record.time), _heard(record.value)) for record in played]


def _heard(notification: Any) -> object:
    if notification.kind == "C":
        return "end"
    if notification.kind == "N":
        return notification.value
    error = notification.exception
    return error.phase if isinstance(error, StreamTimeoutError) else error


def chunks_of(played: list[Recorded[Any]]) -> list[ChatChunk]:
    """Return the chunks among notifications."""
    return [heard for _, heard in transcript(played) if isinstance(heard, ChatChunk)]


def error_of(played: list[Recorded[Any]]) -> Exception:
    """Return the error among notifications."""
    last: Any = played[-1].value
    error: Exception = last.exception
    return error


def scripts(ends: Callable[[int], SearchStrategy[Any]], *, apart: int = 9) -> SearchStrategy[list[Recorded[Any]]]:
    """
    Draw the notifications of a source: some chunks, many of them not visible, and an end.

    Args:
        ends: A function from a time to a strategy for the end.
        apart: The longest time between two notifications.
    """
    said = st.sampled_from([EMPTY, EMPTY, EMPTY, HM, HEL, CALL, DONE]) | chunks(role="assistant")
    gaps = st.lists(st.tuples(st.integers(1, apart), said), max_size=4)

    def timed(sent: list[tuple[int, ChatChunk]], last: int) -> SearchStrategy[list[Recorded[Any]]]:
        times = [sum(gap for gap, _ in sent[: place + 1]) for place in range(len(sent))]
        notifications = [ReactiveTest.on_next(time, chunk) for time, (_, chunk) in zip(times, sent, strict=True)]
        return ends((times[-1] if times else 0) + last).map(lambda end: [*notifications, end])

    return st.tuples(gaps, st.integers(1, apart)).flatmap(lambda drawn: timed(*drawn))
