"""A stream of prompts, each of them answered: what becomes of one that comes while another is being answered."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeAlias, TypeVar, get_args

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from .._invalid_value import invalid_value
from .._runtime import Operator, Stream
from ._ending import end_safely

__all__ = ("Policy", "ask")

A = TypeVar("A")
P = TypeVar("P")

Policy: TypeAlias = Literal["switch", "queue", "ignore", "parallel"]
"""What becomes of a prompt that comes while another is being answered, see `ask`."""

_POLICIES: tuple[str, ...] = get_args(Policy)


def ask(send: Callable[[P], Observable[A]], policy: Policy = "switch") -> Operator[P, A]:
    """
    Answer a stream of prompts, and emit what the answers bring.

    The policies say what becomes of a prompt that comes while another is being answered:

    - `switch`: the old answer is left, its request closed, and then the new one is asked for.
    - `queue`: it waits until all those before it are answered.
    - `ignore`: it is dropped.
    - `parallel`: it is answered at the same time.

    Prompts may come from any thread, and from within what an answer leads to. A prompt is sent on the thread that it
    comes from, one that waited on that of the answer before it. Emissions never overlap: what comes while the
    subscriber is being called waits its turn, and with `switch` what waited of an old answer is dropped.

    .. marbles::

        -p-q----------|
        lambda prompts: tuple(ask(send, policy)(prompts) for policy in ("switch", "queue", "ignore", "parallel"))
        --p-q---q-----|
        --p---p-q---q-|
        --p---p-------|
        --p-q-p-q-----|

        send = lambda prompt: reactivex.from_marbles(f"-{prompt}---{prompt}|", timespan=1.0)

    Args:
        send: Makes the answer to a prompt, such as `conversation.send`. It is called when it is the prompt's turn.
        policy: See above.

    Returns:
        The operator.

    Raises:
        InvalidValueError: At this call, when *send* is no function or there is no such policy. To the subscriber, when
            *send* returns no observable.

    Completes: when the prompts are over and every answer is.
    Errors: with the prompts, with the first answer that fails, and with what *send* raises; all other answers are left
        then. To go on after a failure, end it within the answer:
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
    """Refuse what a function brings that does not return its answer, or is async."""
    if not isinstance(answer, Observable):
        raise invalid_value("send", answer, "a function that returns an observable", show=False)
    return answer


class _Slot:
    """
    Be the place of one answer.

    Attributes:
        place: Its subscription.
        left: Whether nothing more of it is wanted.
        is_half_over: Whether it has been subscribed, or has ended: with both it is over. One that ends while it is
            being subscribed is followed only after that, so that a long queue of such makes no deep stack.
    """

    __slots__ = ("is_half_over", "left", "place")

    def __init__(self) -> None:
        self.place = SingleAssignmentDisposable()
        self.left = self.is_half_over = False


class _PromptQueue(Generic[P, A]):
    """
    Drive one subscription: the prompts and their answers, on whichever threads.

    Nothing is called while the lock is held, be it downstream or upstream. Who brings an item while nobody is emitting
    emits it, and all that comes meanwhile.
    """

    def __init__(
        self,
        observer: abc.ObserverBase[A],
        scheduler: abc.SchedulerBase | None,
        send: Callable[[P], Observable[A]],
        policy: Policy,
    ) -> None:
        self._observer = observer
        self._scheduler = scheduler
        self._send = send
        self._policy = policy
        self._lock = threading.Lock()
        self._prompts = SingleAssignmentDisposable()
        self._waiting: deque[P] = deque()
        self._running: set[_Slot] = set()
        self._outbox: deque[tuple[_Slot, A]] = deque()
        self._error: Exception | None = None
        self._is_asked = self._is_ended = self._is_disposed = self._is_emitting = False

    def begin(self, source: Observable[P]) -> None:
        """Subscribe to the prompts."""
        self._prompts.disposable = source.subscribe(
            self._on_prompt, self._end, self._on_prompts_completed, scheduler=self._scheduler
        )

    def dispose(self) -> None:
        """Leave everything, and emit nothing more."""
        with self._lock:
            self._is_ended = self._is_disposed = True
            self._outbox.clear()
        self._leave_all()

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
        # The new request begins when the old one is gone, and so does what is remembered of it.
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
        """Subscribe to an answer; and to those that wait, as long as each is over at once."""
        following: tuple[_Slot, P] | None = (answer, prompt)
        while following is not None:
            answer, prompt = following
            try:
                source = _answer(self._send(prompt))
            except Exception as error:  # noqa: BLE001 - A caller's function may raise what it likes.
                self._end(error, answer)
                return
            self._subscribe(answer, source)
            following = self._half_over(answer)

    def _subscribe(self, answer: _Slot, source: Observable[A]) -> None:
        def on_next(item: A) -> None:
            with self._lock:
                if answer.left or self._is_ended:
                    return
                self._outbox.append((answer, item))
            self._emit()

        def on_error(error: Exception) -> None:
            self._end(error, answer)

        def on_completed() -> None:
            following = self._half_over(answer)
            if following is not None:
                self._run(*following)

        if not answer.place.is_disposed:
            answer.place.disposable = source.subscribe(on_next, on_error, on_completed, scheduler=self._scheduler)

    def _half_over(self, answer: _Slot) -> tuple[_Slot, P] | None:
        """Take notice that an answer was subscribed, or ended; after both, tell who is next."""
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
        with self._lock:
            self._waiting.clear()
            left, self._running = self._running, set()
        self._prompts.dispose()
        for answer in left:
            answer.place.dispose()

    def _end(self, error: Exception | None = None, answer: _Slot | None = None) -> None:
        """End after what waits to be emitted; not by an answer that nobody wants any more."""
        with self._lock:
            if self._is_ended or (answer is not None and answer.left):
                return
            self._is_ended, self._error = True, error
        self._leave_all()
        self._emit()

    def _emit(self) -> None:
        """Emit what there is, unless somebody is at it."""
        with self._lock:
            if self._is_emitting:
                return
            self._is_emitting = True
        while True:
            with self._lock:
                if not self._outbox:
                    # At the end nobody emits again, and who saw it first tells it.
                    self._is_emitting = is_over = self._is_ended
                    break
                answer, item = self._outbox.popleft()
                if answer.left:
                    continue
            try:
                self._observer.on_next(item)
            except Exception as error:  # noqa: BLE001 - A subscriber may raise what it likes, and is told of it.
                with self._lock:
                    self._is_ended, self._error = True, error
                    self._outbox.clear()
                self._leave_all()
        if is_over and not self._is_disposed:
            end_safely(self._observer, self._error)
