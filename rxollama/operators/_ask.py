"""
The answering of a stream of prompts.

The four policies resemble `switch_latest`, `merge(max_concurrent=1)`, `exclusive` and `merge_all` of reactivex, with
which this file would be 25 lines long. A trial of them showed what users would lose (docs/conversations.md has more):

- With `switch_latest` and `exclusive` emissions overlap when an old and a new answer live on two threads.
- `merge` and `merge_all` call downstream under a lock. A callback that waits for another thread, which receives an
  answer, waits without end.
- An answer to a prompt from within a callback is emitted within that callback. With answers that come at once,
  `merge_all` ended in a `RecursionError` after 97 prompts, and `switch_latest` stopped without an error.
- A callback that raises is told nothing: the producer of the answer receives the exception.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeAlias, TypeVar, cast, get_args

from msgspec.structs import replace
from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from .._invalid_value import invalid_value
from .._runtime import Operator, Stream
from ..messages import ChatChunk
from ._timing.outlet import Outlet

__all__ = ("Policy", "ask")

A = TypeVar("A")
P = TypeVar("P")

Policy: TypeAlias = Literal["switch", "queue", "ignore", "parallel"]
"""The fate of a prompt that arrives while another is being answered, see `ask`."""

_POLICIES: tuple[str, ...] = get_args(Policy)


def ask(send: Callable[[P], Observable[A]], policy: Policy = "switch") -> Operator[P, A]:
    """
    Answer a stream of prompts, and emit the items of the answers.

    The policy decides about a prompt that arrives while another is being answered:

    - `switch`: the old answer is left, its request is closed, and then the new prompt is sent.
    - `queue`: the prompt waits until all those before it are answered.
    - `ignore`: the prompt is dropped.
    - `parallel`: both are answered at the same time.

    Prompts may come from any thread, and from within a callback of an answer. A prompt is sent on the thread that it
    comes from; one that waited, on the thread of the answer before it. Emissions never overlap: an item that arrives
    while the subscriber is being called waits for its turn, and `switch` drops what waits of an answer that is left.

    The items are not treated as deltas, since the texts of several answers are not one text: `iterate` and `for` give
    every item, `run` and `await` the last one. If an answer begins over, see `ChatChunk`, the answers before it stay,
    as long as it is in its first message. To get each answer whole, reduce it within the answer:
    `ask(lambda prompt: conversation.send(prompt).pipe(collect()))`.

    .. marbles::

        -p-q----------|
        lambda prompts: tuple(ask(send, policy)(prompts) for policy in ("switch", "queue", "ignore", "parallel"))
        --p-q---q-----|
        --p---p-q---q-|
        --p---p-------|
        --p-q-p-q-----|

        send = lambda prompt: reactivex.from_marbles(f"-{prompt}---{prompt}|", timespan=1.0)

    Args:
        send: Returns the answer to a prompt, such as `conversation.send`. It is called when the prompt is sent.
        policy: See above.

    Returns:
        The operator.

    Raises:
        InvalidValueError: At this call if *send* is not a function or *policy* is not one of these. To the subscriber
            if *send* does not return an observable.

    Completes: when the prompts have completed, and every answer has.
    Errors: with the prompts, with the first answer that fails, and with what *send* raises; all other answers are left.
        To go on after a failure, handle it within the answer:
        `ask(lambda prompt: conversation.send(prompt).pipe(rx.catch(show)))`.
    Disposed: the prompts and all answers are disposed.

    .. versionadded:: 0.1
    """
    if not callable(send):
        raise invalid_value(
            "send", send, "a function from a prompt to an observable, such as conversation.send", show=False
        )
    if policy not in _POLICIES:
        raise invalid_value("policy", policy, " or ".join(map(repr, _POLICIES)))

    def apply(source: Observable[P]) -> Stream[A]:
        def subscribe(observer: abc.ObserverBase[A], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            answers = _PromptQueue(observer, scheduler, send, policy)
            answers.begin(source)
            return Disposable(answers.dispose)

        return Stream(subscribe)

    return apply


def _answer(answer: Observable[A]) -> Observable[A]:
    """Refuse the result of a function that returns no answer, or is async."""
    if not isinstance(answer, Observable):
        raise invalid_value("send", answer, "a function that returns an observable", show=False)
    return answer


class _Slot:
    """
    The place of one answer.

    Attributes:
        place: Its subscription.
        has_message: Whether one of its messages is complete.
        left: Whether its items are no longer wanted.
        is_half_over: Whether it has been subscribed, or has ended: with both it is over. If it ends while it is being
            subscribed, the next one follows only after that, so that a long queue of such answers needs no deep stack.
    """

    __slots__ = ("has_message", "is_half_over", "left", "place")

    def __init__(self) -> None:
        self.place = SingleAssignmentDisposable()
        self.left = self.is_half_over = self.has_message = False

    def follow(self, chunk: ChatChunk) -> ChatChunk:
        """Return the next chunk. If the first message begins over, the answers before this one stay."""
        restart = chunk.restart
        if restart is not None and not self.has_message:
            chunk = replace(chunk, restart=replace(restart, scope="message"))
        self.has_message = self.has_message or chunk.done
        return chunk


class _PromptQueue(Generic[P, A]):
    """One subscription: the prompts and their answers, on any threads. Nothing is called while its lock is held."""

    def __init__(
        self,
        observer: abc.ObserverBase[A],
        scheduler: abc.SchedulerBase | None,
        send: Callable[[P], Observable[A]],
        policy: Policy,
    ) -> None:
        self._emit = observer.on_next
        self._scheduler = scheduler
        self._send = send
        self._policy = policy
        self._lock = threading.Lock()
        self._prompts = SingleAssignmentDisposable()
        self._waiting: deque[P] = deque()
        self._running: set[_Slot] = set()
        self._is_asked = self._is_ended = False
        self._outlet: Outlet[tuple[_Slot, A]] = Outlet(observer, self._leave_all, emit=self._emit_wanted)
        self.dispose = self._outlet.close

    def begin(self, source: Observable[P]) -> None:
        """Subscribe to the prompts."""
        self._prompts.disposable = source.subscribe(
            self._on_prompt, self._end, self._on_prompts_completed, scheduler=self._scheduler
        )

    def _on_prompt(self, prompt: P) -> None:
        with self._lock:
            if self._is_ended:
                return
            if self._running and self._policy == "ignore":
                return
            if self._running and self._policy == "queue":
                self._waiting.append(prompt)
                return
            old = self._leave() if self._policy == "switch" else ()
            answer = self._new()
        # The new request begins when the old one is closed, so that a conversation has recorded what came of it.
        for each in old:
            each.place.dispose()
        self._run(answer, prompt)

    def _on_prompts_completed(self) -> None:
        with self._lock:
            self._is_asked = True
            is_over = not self._running
        if is_over:
            self._end()

    def _run(self, answer: _Slot, prompt: P) -> None:
        """Subscribe to an answer, and to the next ones as long as each ends while it is being subscribed."""
        following: tuple[_Slot, P] | None = (answer, prompt)
        while following is not None:
            answer, prompt = following
            try:
                source = _answer(self._send(prompt))
            except Exception as error:  # noqa: BLE001 - A caller's function may raise anything.
                self._end(error, answer)
                return
            self._subscribe(answer, source)
            following = self._half_over(answer)

    def _subscribe(self, answer: _Slot, source: Observable[A]) -> None:
        def on_next(item: A) -> None:
            if not answer.left:
                if isinstance(item, ChatChunk):
                    item = cast("A", answer.follow(item))
                self._outlet.on_next((answer, item))

        def on_error(error: Exception) -> None:
            self._end(error, answer)

        def on_completed() -> None:
            following = self._half_over(answer)
            if following is not None:
                self._run(*following)

        if not answer.place.is_disposed:
            answer.place.disposable = source.subscribe(on_next, on_error, on_completed, scheduler=self._scheduler)

    def _emit_wanted(self, entry: tuple[_Slot, A]) -> None:
        """Emit an item, unless its answer was left while it waited."""
        answer, item = entry
        if not answer.left:
            self._emit(item)

    def _half_over(self, answer: _Slot) -> tuple[_Slot, P] | None:
        """Note that an answer was subscribed, or ended; after both, return the next one."""
        with self._lock:
            if answer.left or not answer.is_half_over:
                answer.is_half_over = True
                return None
            self._running.discard(answer)
            if self._waiting and not self._is_ended:
                return self._new(), self._waiting.popleft()
            is_over = self._is_asked and not self._running
        if is_over:
            self._end()
        return None

    def _new(self) -> _Slot:
        answer = _Slot()
        self._running.add(answer)
        return answer

    def _leave(self) -> set[_Slot]:
        left, self._running = self._running, set()
        for answer in left:
            answer.left = True
        return left

    def _leave_all(self) -> None:
        """Dispose the prompts and the answers. Items that wait may still be emitted."""
        with self._lock:
            self._is_ended = True
            self._waiting.clear()
            left, self._running = self._running, set()
        self._prompts.dispose()
        for answer in left:
            answer.place.dispose()

    def _end(self, error: Exception | None = None, answer: _Slot | None = None) -> None:
        """End after what waits to be emitted, unless the answer that ends it was left."""
        with self._lock:
            if self._is_ended or (answer is not None and answer.left):
                return
            self._is_ended = True
        # Requests are closed at once, however long the subscriber takes.
        self._outlet.put_end(error)
        self._leave_all()
        self._outlet.flush()
