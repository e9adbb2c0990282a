"""Prompts are answered by a policy, and the items of the answers never overlap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
import reactivex
from heard import Heard
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, Recorded, TestScheduler
from reactivex.testing.subscription import Subscription

from rxollama import Stream, iterate, run
from rxollama.errors import InvalidValueError
from rxollama.operators import ask
from rxollama.operators._ask import Policy

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

LOST = ConnectionError("lost")
MINE = KeyError("mine")
PATIENCE = 10.0
POLICIES: tuple[Policy, ...] = ("switch", "queue", "ignore", "parallel")
ENDS: tuple[Callable[[Subject[str]], None], ...] = (
    lambda prompts: prompts.on_completed(),
    lambda prompts: prompts.on_error(LOST),
)


class Stage:
    """A virtual time with prompts and their answers."""

    def __init__(self) -> None:
        self._scheduler = TestScheduler()
        self.answers: dict[str, list[Subscription]] = {}
        self.prompts: list[Subscription] = []

    def send(self, prompt: str) -> Observable[str]:
        """Return an answer with an item at 1, another at 30, and the end at 40."""
        last = on_error(40, LOST) if prompt == "bad" else on_completed(40)
        source = self._scheduler.create_cold_observable(on_next(1, f"{prompt} 1"), on_next(30, f"{prompt} 2"), last)
        self.answers[prompt] = source.subscriptions
        return source

    def play(self, policy: Policy, *sent: Recorded[Any], disposed: float = 1000) -> list[Recorded[Any]]:
        """Subscribe at 200, and return what came."""
        source = self._scheduler.create_cold_observable(*sent)
        self.prompts = source.subscriptions
        return self._scheduler.start(lambda: source.pipe(ask(self.send, policy)), disposed=disposed).messages


class Prompted:
    """Prompts and answers that a test sends, with a subscriber that records."""

    def __init__(self, policy: Policy, each: Callable[[str], object] | None = None) -> None:
        self.prompts: Subject[str] = Subject()
        self.answers: dict[str, Subject[str]] = {}
        self.heard = Heard(self.prompts.pipe(ask(self.send, policy)), each)

    def send(self, prompt: str) -> Observable[str]:
        """Answer by a subject."""
        self.answers[prompt] = Subject()
        return self.answers[prompt]

    def is_live(self, prompt: str) -> bool:
        """Return whether a prompt is being answered."""
        return prompt in self.answers and bool(self.answers[prompt].observers)


@contextmanager
def aside(function: Callable[..., object], *arguments: object) -> Generator[None]:
    """Run a function on another thread meanwhile."""
    thread = threading.Thread(target=function, args=arguments, name="aside")
    thread.start()
    yield
    thread.join(PATIENCE)
    assert not thread.is_alive()


# Transcripts.


@pytest.mark.parametrize(
    ("policy", "expected", "second"),
    [
        ("switch", [(211, "a 1"), (221, "b 1"), (250, "b 2")], [Subscription(220, 260)]),
        ("queue", [(211, "a 1"), (240, "a 2"), (251, "b 1"), (280, "b 2")], [Subscription(250, 290)]),
        ("ignore", [(211, "a 1"), (240, "a 2")], None),
        ("parallel", [(211, "a 1"), (221, "b 1"), (240, "a 2"), (250, "b 2")], [Subscription(220, 260)]),
    ],
)
def test_completes(policy: Policy, expected: list[tuple[int, str]], second: list[Subscription] | None) -> None:
    """The policy decides about a prompt that comes while another is answered; after all answers it completes."""
    stage = Stage()
    played = stage.play(policy, on_next(10, "a"), on_next(20, "b"), on_completed(30))
    end = {"switch": 260, "queue": 290, "ignore": 250, "parallel": 260}[policy]

    assert played == [*[on_next(time, text) for time, text in expected], on_completed(end)]
    assert stage.answers["a"] == [Subscription(210, 220 if policy == "switch" else 250)]
    assert stage.answers.get("b") == second
    assert stage.prompts == [Subscription(200, 230)]


@pytest.mark.parametrize("policy", POLICIES)
def test_one_after_another(policy: Policy) -> None:
    """Prompts that come when nothing is being answered are answered by every policy; the prompts' end comes last."""
    stage = Stage()
    played = stage.play(policy, on_next(10, "a"), on_next(100, "b"), on_completed(300))

    assert played == [
        *[on_next(211, "a 1"), on_next(240, "a 2"), on_next(301, "b 1"), on_next(330, "b 2"), on_completed(500)]
    ]


@pytest.mark.parametrize("policy", POLICIES)
def test_answer_fails(policy: Policy) -> None:
    """The error of an answer ends everything: other answers are left, and none is begun."""
    stage = Stage()
    sent = [on_next(10, "a"), on_next(20, "bad"), on_next(25, "c")]
    if policy in {"switch", "ignore"}:
        sent = [on_next(10, "bad")]
    played = stage.play(policy, *sent)
    error = {"switch": 250, "queue": 290, "ignore": 250, "parallel": 260}[policy]

    assert played[-1] == on_error(error, LOST)
    assert all(each[-1].unsubscribe == min(error, each[-1].subscribe + 40) for each in stage.answers.values())
    assert stage.prompts == [Subscription(200, error)]


@pytest.mark.parametrize("policy", POLICIES)
def test_prompts_fail(policy: Policy) -> None:
    """The error of the prompts ends everything."""
    stage = Stage()

    assert stage.play(policy, on_next(10, "a"), on_error(15, LOST)) == [on_next(211, "a 1"), on_error(215, LOST)]
    assert stage.answers == {"a": [Subscription(210, 215)]}


@pytest.mark.parametrize("policy", POLICIES)
def test_never(policy: Policy) -> None:
    """Prompts that never end keep it open."""
    stage = Stage()

    assert stage.play(policy, on_next(10, "a"))[-1] == on_next(240, "a 2")
    assert stage.prompts == [Subscription(200, 1000)]


@pytest.mark.parametrize("policy", POLICIES)
def test_disposed(policy: Policy) -> None:
    """Disposing leaves the prompts and every answer, and begins none that waits."""
    stage = Stage()
    played = stage.play(policy, on_next(10, "a"), on_next(20, "b"), disposed=225)

    assert all(record.time < 225 for record in played)
    assert all(each[-1].unsubscribe <= 225 for each in stage.answers.values())
    assert stage.prompts == [Subscription(200, 225)]


@pytest.mark.parametrize("policy", POLICIES)
def test_no_prompts(policy: Policy) -> None:
    """Without a prompt it completes with the prompts."""
    assert Stage().play(policy, on_completed(10)) == [on_completed(210)]


# Laws.


@given(sizes=st.lists(st.integers(0, 3), max_size=5), order=st.randoms(use_true_random=False))
def test_parallel_is_the_union(sizes: list[int], order: Any) -> None:
    """In parallel all items of all answers are emitted, each answer in its order."""
    told = Prompted("parallel")
    for number in range(len(sizes)):
        told.prompts.on_next(str(number))
    left = [number for number, size in enumerate(sizes) for _ in range(size + 1)]
    order.shuffle(left)
    counts, sent = dict.fromkeys(range(len(sizes)), 0), list[str]()
    told.prompts.on_completed()
    for number in left:
        counts[number] += 1
        if counts[number] > sizes[number]:
            told.answers[str(number)].on_completed()
        else:
            sent.append(f"{number} {counts[number]}")
            told.answers[str(number)].on_next(sent[-1])

    assert told.heard.items == sent
    assert told.heard.completed


@given(sizes=st.lists(st.integers(0, 3), max_size=5), at_once=st.booleans())
def test_queue_is_the_concatenation(sizes: list[int], at_once: bool) -> None:
    """In a queue the answers come one after another, in the order of the prompts."""
    answers = [[f"{number} {place}" for place in range(size)] for number, size in enumerate(sizes)]
    prompts: Subject[list[str]] = Subject()
    source = reactivex.from_iterable(answers) if at_once else prompts
    heard = Heard(source.pipe(ask(reactivex.from_iterable, "queue")))
    for answer in answers:
        prompts.on_next(answer)
    prompts.on_completed()

    assert heard.items == [text for answer in answers for text in answer]
    assert heard.completed


@given(steps=st.lists(st.sampled_from(["prompt", "item", "end"]), max_size=12), policy=st.sampled_from(POLICIES))
def test_model(steps: list[str], policy: Policy) -> None:
    """The items are those of a model with plain lists."""
    told = Prompted(policy)
    running, waiting, expected = list[str](), list[str](), list[str]()
    for number, step in enumerate(steps):
        name = str(number)
        if step == "prompt":
            told.prompts.on_next(name)
            if policy == "switch":
                running = [name]
            elif policy == "parallel" or not running:
                running.append(name)
            elif policy == "queue":
                waiting.append(name)
        elif running and step == "item":
            told.answers[running[0]].on_next(name)
            expected.append(name)
        elif running:
            told.answers[running.pop(0)].on_completed()
            if waiting:
                running.append(waiting.pop(0))
        assert {each for each in told.answers if told.is_live(each)} == set(running)

    assert told.heard.items == expected


# Threads, and what comes from within.


@pytest.mark.parametrize("policy", ["switch", "parallel"])
def test_emissions_do_not_overlap(policy: Policy) -> None:
    """An item that arrives while the subscriber is being called, on any thread, comes after it; no thread waits."""
    inside, go_on, calls = threading.Event(), threading.Event(), list[str]()

    def each(item: str) -> None:
        calls.append(f"{item} begins")
        if item == "a 1":
            inside.set()
            assert go_on.wait(PATIENCE)
        calls.append(f"{item} ends")

    told = Prompted(policy, each)
    told.prompts.on_next("a")
    with aside(told.answers["a"].on_next, "a 1"):
        assert inside.wait(PATIENCE)
        told.prompts.on_next("b")
        told.answers["b"].on_next("b 1")
        assert calls == ["a 1 begins"]
        go_on.set()

    assert calls == ["a 1 begins", "a 1 ends", "b 1 begins", "b 1 ends"]
    assert told.is_live("a") == (policy == "parallel")


@pytest.mark.parametrize("end", ENDS)
def test_the_end_does_not_overlap(end: Callable[[Subject[str]], None]) -> None:
    """The end waits for the subscriber to return and for the items before it; requests are closed at once."""
    inside, go_on = threading.Event(), threading.Event()

    def each(item: str) -> None:
        if item == "a 1":
            inside.set()
            assert go_on.wait(PATIENCE)
            assert not told.heard.over.is_set()

    told = Prompted("parallel", each)
    told.prompts.on_next("a")
    with aside(told.answers["a"].on_next, "a 1"):
        assert inside.wait(PATIENCE)
        told.prompts.on_next("b")
        told.answers["b"].on_next("b 1")
        told.answers["b"].on_completed()
        end(told.prompts)
        told.answers["a"].on_completed()
        assert not told.is_live("a")
        go_on.set()

    assert told.heard.wait().items == ["a 1", "b 1"]
    assert told.heard.error in {None, LOST}


def test_switch_drops_what_waited() -> None:
    """Once a new prompt was sent, nothing of the old answer is emitted, not even what waits."""
    inside, go_on = threading.Event(), threading.Event()

    def each(item: str) -> None:
        if item == "a 1":
            inside.set()
            assert go_on.wait(PATIENCE)

    told = Prompted("switch", each)
    told.prompts.on_next("a")
    old = told.answers["a"].observers[0]
    with aside(old.on_next, "a 1"):
        assert inside.wait(PATIENCE)
        old.on_next("a 2")
        told.prompts.on_next("b")
        told.answers["b"].on_next("b 1")
        go_on.set()

    assert told.heard.items == ["a 1", "b 1"]


def test_an_old_answer_ends_late() -> None:
    """An old answer that ends, or fails, while it is being left changes nothing."""
    old: list[abc.ObserverBase[str]] = []

    def send(prompt: str) -> Observable[str]:
        def subscribe(observer: abc.ObserverBase[str], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            old.append(observer)
            return Disposable(lambda: late(observer))

        return reactivex.of(prompt) if prompt == "b" else Observable(subscribe)

    def late(observer: Any) -> None:
        # As from another thread that is just about to say so, past the check for the end.
        observer._on_next("late")
        observer._on_completed()
        observer._on_error(LOST)

    heard = Heard(reactivex.of("a", "b").pipe(ask(send)))

    assert heard.items == ["b"]
    assert heard.completed


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("policy", ["queue", "switch"])
def test_a_prompt_meets_the_end_of_an_answer(policy: Policy) -> None:
    """A prompt that comes from one thread just as an answer ends on another is neither lost nor cut off."""
    for _ in range(200):
        told = Prompted(policy)
        told.prompts.on_next("a")
        both = threading.Barrier(2)

        def end(told: Prompted = told, both: threading.Barrier = both) -> None:
            both.wait(PATIENCE)
            told.answers["a"].on_completed()

        with aside(end):
            both.wait(PATIENCE)
            told.prompts.on_next("b")
            told.prompts.on_completed()
        assert not told.heard.completed
        told.answers["b"].on_next("b 1")
        told.answers["b"].on_completed()
        assert told.heard.items == ["b 1"]
        assert told.heard.completed


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("policy", POLICIES)
def test_two_prompts_at_the_same_time(policy: Policy) -> None:
    """No prompt escapes the policy if several come from several threads at the same time."""
    for _ in range(100):
        told = Prompted(policy)
        both = threading.Barrier(2)

        def prompt(name: str, told: Prompted = told, both: threading.Barrier = both) -> None:
            both.wait(PATIENCE)
            told.prompts.on_next(name)

        with aside(prompt, "a"):
            prompt("b")
        live = {name for name in "ab" if told.is_live(name)}
        assert len(live) == (2 if policy == "parallel" else 1)
        told.heard.dispose()
        assert not any(told.is_live(name) for name in "ab")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_prompt_from_an_answer(policy: Policy) -> None:
    """A subscriber may prompt from within an item."""

    def each(item: str) -> None:
        if item == "a 1":
            told.prompts.on_next("b")

    told = Prompted(policy, each)
    told.prompts.on_next("a")
    told.answers["a"].on_next("a 1")
    running = {prompt for prompt in "ab" if told.is_live(prompt)}

    assert running == {"switch": {"b"}, "queue": {"a"}, "ignore": {"a"}, "parallel": {"a", "b"}}[policy]
    told.answers["a"].on_completed()
    assert told.is_live("b") == (policy != "ignore")


def test_items_from_within_do_not_nest() -> None:
    """Items of a prompt from within an item come after that item, and the stack stays flat."""
    calls: list[str] = []

    def each(item: int) -> None:
        calls.append(f"{item} begins")
        if item < 2000:
            prompts.on_next(item + 1)
        calls.append(f"{item} ends")

    prompts: Subject[int] = Subject()
    Heard(prompts.pipe(ask(reactivex.return_value, "parallel")), each)
    prompts.on_next(0)

    assert calls[:4] == ["0 begins", "0 ends", "1 begins", "1 ends"]
    assert len(calls) == 2 * 2001


def test_a_long_queue() -> None:
    """A long queue of answers that come at once needs no deep stack."""
    first: Subject[int] = Subject()
    prompts: Subject[int] = Subject()

    def send(prompt: int) -> Observable[int]:
        return reactivex.create(lambda observer, _: end(observer, prompt)) if prompt else first

    def end(observer: abc.ObserverBase[int], prompt: int) -> abc.DisposableBase:
        observer.on_next(prompt)
        observer.on_completed()
        return Disposable()

    heard = Heard(prompts.pipe(ask(send, "queue")))
    for prompt in range(3000):
        prompts.on_next(prompt)
    first.on_completed()

    assert heard.items == list(range(1, 3000))


def test_a_prompt_within_send() -> None:
    """A prompt that is replaced while it is being sent is not subscribed to."""
    asked: list[str] = []

    def send(prompt: str) -> Observable[str]:
        if prompt == "a":
            prompts.on_next("b")

        def subscribe(observer: abc.ObserverBase[str], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            asked.append(prompt)
            observer.on_next(prompt)
            return Disposable()

        return Observable(subscribe)

    prompts: Subject[str] = Subject()
    heard = Heard(prompts.pipe(ask(send)))
    prompts.on_next("a")

    assert asked == heard.items == ["b"]


# Failures.


@pytest.mark.parametrize("policy", POLICIES)
def test_send_raises(policy: Policy) -> None:
    """What `send` raises ends everything."""

    def send(_: str) -> Observable[str]:
        raise MINE

    heard = Heard(reactivex.of("a", "b").pipe(ask(send, policy)))

    assert heard.error is MINE


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("answer", [None, "an answer"])
def test_send_returns_nothing(policy: Policy, answer: Any) -> None:
    """A `send` that returns no observable is an error for the subscriber, not for the producer of prompts."""
    prompts: Subject[str] = Subject()
    heard = Heard(prompts.pipe(ask(lambda _: answer, policy)))
    prompts.on_next("a")

    assert isinstance(heard.error, InvalidValueError)
    assert not prompts.observers


@pytest.mark.usefixtures("quick_switches")
def test_an_end_just_after_an_item() -> None:
    """An end from another thread just as an item is emitted comes once, and last."""
    for _ in range(300):
        told = Prompted("switch")
        told.prompts.on_next("a")
        both = threading.Barrier(2)

        def end(told: Prompted = told, both: threading.Barrier = both) -> None:
            both.wait(PATIENCE)
            told.prompts.on_error(LOST)

        with aside(end):
            both.wait(PATIENCE)
            told.answers["a"].on_next("a 1")
        # `Heard` fails at a second end.
        assert told.heard.failure is LOST
        assert told.heard.items in (["a 1"], [])


@pytest.mark.parametrize("policy", POLICIES)
def test_failing_subscriber(policy: Policy) -> None:
    """A subscriber that raises receives its own error; answers and prompts are left, and the producer goes on."""

    def each(_: str) -> None:
        raise MINE

    told = Prompted(policy, each)
    told.prompts.on_next("a")
    told.answers["a"].on_next("a 1")

    assert told.heard.error is MINE
    assert not told.is_live("a")
    assert not told.prompts.observers


def test_prompts_after_the_end() -> None:
    """A prompt on its way while it ends is not sent."""
    sent: list[str] = []

    def subscribe(observer: Any, _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        observer.on_next("a")
        # As from another thread that is past the check for the end.
        observer._on_next("b")
        observer._on_completed()
        return Disposable()

    def send(prompt: str) -> Observable[str]:
        sent.append(prompt)
        return reactivex.throw(LOST)

    prompts: Observable[str] = Observable(subscribe)

    assert Heard(prompts.pipe(ask(send, "queue"))).error is LOST
    assert sent == ["a"]


def test_disposed_from_within() -> None:
    """A subscriber that leaves while it is being called receives nothing more, not even what waits."""
    heard: Heard[int] = Heard()

    def each(item: int) -> None:
        heard.items.append(item)
        if item == 1:
            prompts.on_next(2)
            subscription.dispose()

    prompts: Subject[int] = Subject()
    answers = prompts.pipe(ask(reactivex.return_value, "parallel"))
    subscription = answers.subscribe(each, heard.on_error, heard.on_completed)
    prompts.on_next(1)

    assert heard.items == [1]
    assert not heard.over.is_set()


def test_scheduler_is_passed_on() -> None:
    """Prompts and answers are subscribed with the subscriber's scheduler."""
    seen: list[abc.SchedulerBase | None] = []

    def noting(observer: abc.ObserverBase[str], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        seen.append(scheduler)
        observer.on_next("a")
        return Disposable()

    scheduler = VirtualTimeScheduler()
    source: Observable[str] = Observable(noting)
    source.pipe(ask(lambda _: source)).subscribe(scheduler=scheduler)

    assert seen == [scheduler, scheduler]


@pytest.mark.parametrize("policy", ["queue", "parallel"])
def test_several_answers_are_not_one_text(policy: Policy) -> None:
    """A slow consumer finds every item, since the texts of several answers do not add up."""
    answers = reactivex.of("a", "b").pipe(ask(lambda prompt: reactivex.of(f"{prompt} 1", f"{prompt} 2"), policy))
    every = list(iterate(answers))

    assert isinstance(answers, Stream)
    assert not answers.deltas
    assert every == ["a 1", "a 2", "b 1", "b 2"]
    assert run(answers) == "b 2"


@pytest.mark.parametrize(
    ("send", "policy", "message"),
    [(None, "switch", "send: "), (reactivex.of, "exhaust", "policy: expected 'switch' or .*, got 'exhaust'")],
)
def test_refused(send: Any, policy: Any, message: str) -> None:
    """An argument that is not a function, or not a policy, is refused at once."""
    with pytest.raises(InvalidValueError, match=message):
        ask(send, policy)
