"""
Cases that are played twice, with batches and without, and what an onlooker sees of each.

A case is a chat: the bytes of its answers, cut anywhere, a chain of operators, and subscribers who do something at
their k-th item. Everything that a subscriber, a log or a waiting task sees goes into one journal, in its order.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, Literal, NamedTuple

import reactivex
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from msgspec.structs import replace
from reactivex import Observable, abc
from reactivex import operators as rx
from scripted_answers import Answer, Scripted, answers
from virtual_loop import VirtualLoop

from rxollama import Ollama, Stream, aiterate
from rxollama import operators as op
from rxollama.errors import SlowCallbackWarning, StreamError
from rxollama.messages import ChatChunk, ChatRequest, GenerateRequest, MeterReading

__all__ = ("ENDINGS", "STAGES", "Branch", "Case", "Journal", "OneByOne", "cases", "play", "shown")

Operator = Callable[[Any], Any]

_LONGEST = 60.0


def one_by_one(source: Stream[Any]) -> Stream[Any]:
    """Return a stream of the same items, behind which there are no batches: its observer is a foreign one."""

    def subscribe(observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        return source.subscribe(observer.on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

    return Stream.like(source, subscribe)


class OneByOne(Ollama):
    """A client without batches."""

    def send(self, request: ChatRequest | GenerateRequest) -> Stream[ChatChunk]:
        """Send a request."""
        return one_by_one(super().send(request))


_TIMES = re.compile(r"(time_to_first_\w+|wall_duration)=\d+")


def shown(item: object) -> str:
    """Return all that can be seen of an item, except the times that the client measured."""
    if isinstance(item, MeterReading):
        # All times of a reading are in virtual time, apart from those of the client.
        return f"{replace(item, metrics=None)!r} {shown(item.metrics)}"
    if isinstance(item, BaseException):
        fields = {name: getattr(item, name) for name in ("phase", "model", "endpoint", "detail") if hasattr(item, name)}
        partial = item.partial if isinstance(item, StreamError) else None
        return f"{type(item).__name__}: {item} {fields} {getattr(item, '__notes__', ())} {shown(partial)}"
    return _TIMES.sub(r"\1", repr(item))


class Journal:
    """All that is seen from outside, in its order."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, str]] = []

    def write(self, name: str, event: str, seen: object = None) -> None:
        """Add an entry."""
        self.entries.append((name, event, shown(seen)))

    def info(self, event: str, **fields: Any) -> None:
        """Add a line of `log`, without its id and times."""
        hidden = {"chat", "wall_duration", "time_to_first_token", "time_to_first_chunk", "time_to_first_content"}
        self.write("log", event, {name: value for name, value in fields.items() if name not in hidden})

    warning = error = info


_TOOL = {"type": "function", "function": {"name": "get_time"}}

STAGES: dict[str, Callable[[Journal, Ollama], Operator]] = {
    "log": lambda journal, _: op.log(journal),
    "log with content": lambda journal, _: op.log(journal, content=True),
    "share": lambda _, __: op.share(),
    "timeouts": lambda _, __: op.timeouts(first_chunk=1, gap=1, total=4),
    "stop_loops": lambda _, __: op.stop_loops(8),
    "extract_tool_calls": lambda _, __: op.extract_tool_calls([_TOOL]),
    "retry": lambda _, __: op.retry(3, backoff=0.1, jitter=0),
    "fallback": lambda _, ollama: op.fallback(ollama.chat("other", "Hi")),
    "hedge": lambda _, ollama: op.hedge(ollama.chat("other", "Hi"), after=0.5),
    "coalesce": lambda _, __: op.coalesce(0.05),
    "debounce": lambda _, __: op.debounce(0.05, max_wait=0.3),
}
"""The operators from a chat to a chat."""


def _unchanged(source: Observable[Any]) -> Observable[Any]:
    return source


ENDINGS: dict[str, Callable[[], Operator]] = {
    "chat": lambda: _unchanged,
    "content": op.content,
    "thinking": op.thinking,
    "content, coalesce": lambda: reactivex.compose(op.content(), op.coalesce(0.05)),
    "thinking, coalesce": lambda: reactivex.compose(op.thinking(), op.coalesce(0.05)),
    "content, debounce": lambda: reactivex.compose(op.content(), op.debounce(0.05, max_wait=0.3)),
    "content, share": lambda: reactivex.compose(op.content(), op.share()),
    "events": op.events,
    "events, throttle": lambda: reactivex.compose(op.events(), op.throttle(0.05)),
    "events, share": lambda: reactivex.compose(op.events(), op.share()),
    "accumulate": op.accumulate,
    "accumulate, throttle": lambda: reactivex.compose(op.accumulate(), op.throttle(0.05)),
    "accumulate, share": lambda: reactivex.compose(op.accumulate(), op.share()),
    "collect": op.collect,
    "tool_calls": op.tool_calls,
    "gather_tool_calls": op.gather_tool_calls,
    "meter": lambda: op.meter(0.1),
    "meter, throttle": lambda: reactivex.compose(op.meter(0.1), op.throttle(0.3)),
    "coalesce": lambda: op.coalesce(0.05),
    "debounce": lambda: op.debounce(0.05),
}
"""The operators from a chat to what a subscriber wants."""

Consumer = Literal["callbacks", "foreign", "await", "sum", "keep", "latest"]
Act = Literal["nothing", "leave", "leave all", "raise", "join"]


class Branch(NamedTuple):
    """
    A subscriber.

    Args:
        ending: What it subscribes to.
        consumer: How it consumes the items.
        act: What it does at an item.
        place: At which.
        start: When it subscribes; None if another's `join` brings it.
    """

    ending: str
    consumer: Consumer = "callbacks"
    act: Act = "nothing"
    place: int = 1
    start: float | None = 0.0


class Case(NamedTuple):
    """
    A chat that is played with batches and without.

    Args:
        answers: The answers of the server.
        stages: The names of the operators that all subscribers share.
        branches: The subscribers.
        shared: Whether they share one subscription.
    """

    answers: tuple[Answer, ...]
    stages: tuple[str, ...] = ()
    branches: tuple[Branch, ...] = (Branch("chat"),)
    shared: bool = False


def play(case: Case, client: type[Ollama]) -> list[tuple[str, str, str]]:
    """Play a case in virtual time, and return what was seen."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_played(case, client))


async def _played(case: Case, client: type[Ollama]) -> list[tuple[str, str, str]]:
    transport = Scripted(case.answers)
    run = _Run(Journal(), case.branches)

    def on_report(_: object, report: dict[str, Any]) -> None:
        # A busy machine makes callbacks slow, and when a task is collected is up to the garbage collector.
        message = str(report.get("message"))
        if not (isinstance(report.get("exception"), SlowCallbackWarning) or message.endswith("never retrieved")):
            run.journal.write("loop", str(report.get("message")), report.get("exception"))

    asyncio.get_running_loop().set_exception_handler(on_report)
    ollama = client(transport=transport)
    source: Any = ollama.chat("m", "Hi")
    source = source.pipe(*(STAGES[name](run.journal, ollama) for name in case.stages))
    await run.through(source.pipe(op.share()) if case.shared else source)
    await ollama.aclose()
    run.journal.write("transport", f"{len(transport.requests)} requests")
    return run.journal.entries


class _Run:
    """The subscribers of one play."""

    def __init__(self, journal: Journal, branches: tuple[Branch, ...]) -> None:
        self.journal = journal
        self._branches = branches
        self._waiting = [place for place, branch in enumerate(branches) if branch.start is None]
        self._leaves: list[Callable[[], object]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._source: Observable[Any] = reactivex.never()

    async def through(self, source: Observable[Any]) -> None:
        """Let everybody subscribe, and wait until the longest chat is over."""
        self._source = source
        loop = asyncio.get_running_loop()
        for place, branch in enumerate(self._branches):
            if branch.start:
                loop.call_at(branch.start, self._begin, place)
            elif branch.start is not None:
                self._begin(place)
        await asyncio.sleep(_LONGEST)
        self._leave_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _leave_all(self) -> None:
        for leave in self._leaves:
            leave()

    def _begin(self, place: int) -> None:
        branch = self._branches[place]
        seen = _Subscriber(self, f"{place} {branch.ending}", branch)
        stream = self._source.pipe(ENDINGS[branch.ending]())
        if branch.consumer == "callbacks":
            seen.subscribe(stream)
        elif branch.consumer == "foreign":
            seen.subscribe(stream.pipe(rx.to_list()))
        else:
            self._start(seen.whole_of(stream) if branch.consumer == "await" else seen.iterate(stream, branch.consumer))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        self._leaves.append(task.cancel)

    def add_leave(self, leave: Callable[[], object]) -> None:
        """Keep what disposes a subscription."""
        self._leaves.append(leave)

    def leave_all(self) -> None:
        """Dispose every subscription."""
        self._leave_all()

    def join(self) -> None:
        """Let the next subscriber come that waits for it."""
        if self._waiting:
            self._begin(self._waiting.pop(0))


class _Subscriber:
    """One subscriber, who writes into the journal what it sees."""

    def __init__(self, run: _Run, name: str, branch: Branch) -> None:
        self._run, self._name, self._branch = run, name, branch
        self._count = 0
        self._left = False
        self._subscription: abc.DisposableBase | None = None

    def _write(self, event: str, seen: object = None) -> None:
        self._run.journal.write(self._name, event, seen)

    def subscribe(self, stream: Observable[Any]) -> None:
        self._run.add_leave(self._leave)
        self._subscription = stream.subscribe(
            self._on_next, lambda error: self._write("error", error), lambda: self._write("completed")
        )
        if self._left:
            self._leave()

    def _leave(self) -> None:
        self._left = True
        if self._subscription is not None:
            self._subscription.dispose()

    def _on_next(self, item: object) -> None:
        self._write("item", item)
        self._count += 1
        if self._count == self._branch.place:
            self._act()

    def _act(self) -> None:
        act = self._branch.act
        if act == "leave":
            self._leave()
        elif act == "leave all":
            self._run.leave_all()
        elif act == "join":
            self._run.join()
        elif act == "raise":
            raise LookupError("a callback failed")

    async def whole_of(self, stream: Any) -> None:
        try:
            self._write("whole", await stream)
        except Exception as error:  # noqa: BLE001 - Whatever it is, it is seen.
            self._write("error", error)

    async def iterate(self, stream: Any, overflow: Any) -> None:
        try:
            async with aclosing(aiterate(stream, overflow=overflow)) as items:
                async for item in items:
                    self._on_next(item)
                    if self._left:
                        break
                else:
                    self._write("completed")
        except Exception as error:  # noqa: BLE001 - Whatever it is, it is seen.
            self._write("error", error)


_ACTS: SearchStrategy[Any] = st.sampled_from(["nothing", "nothing", "nothing", "leave", "leave all", "raise", "join"])
_STARTS = st.sampled_from([0.0, 0.0, 0.0, 0.015, 0.025, 0.5, None])
# Those to whom nothing is emitted for a read, or not for each of its items, get batches.
_QUIET: SearchStrategy[Any] = st.sampled_from(["await", "sum", "keep", "latest"])
_LOUD: SearchStrategy[Any] = st.sampled_from(["callbacks", "callbacks", "foreign"])
_LOUD_ENDINGS = {"chat", "content", "thinking", "events", "accumulate"}


def branches(endings: Iterable[str]) -> SearchStrategy[Branch]:
    """Draw a subscriber, most of them such as get batches for at least a while."""
    every = [*endings]
    called = [name for name in every if name not in _LOUD_ENDINGS]
    waiting = st.builds(Branch, st.sampled_from(every), _QUIET, _ACTS, st.integers(1, 4), _STARTS)
    if called:
        called_back = st.builds(Branch, st.sampled_from(called), _LOUD, _ACTS, st.integers(1, 4), _STARTS)
        waiting = waiting | called_back
    return waiting | waiting | st.builds(Branch, st.sampled_from(every), _LOUD, _ACTS, st.integers(1, 40), _STARTS)


@st.composite
def cases(
    draw: DrawFn, endings: Iterable[str] = ENDINGS, stages: Iterable[str] = STAGES, *, least: int = 0, most: int = 2
) -> Case:
    """Draw a case, of some endings and stages, with at least *least* and at most *most* of these."""
    drawn = draw(st.lists(branches(endings), min_size=1, max_size=3))
    return Case(
        tuple(draw(st.lists(answers(), min_size=1, max_size=2))),
        tuple(draw(st.lists(st.sampled_from([*stages]), min_size=least, max_size=most))),
        (drawn[0]._replace(start=0.0), *drawn[1:]),
        shared=len(drawn) > 1 or draw(st.booleans()),
    )
