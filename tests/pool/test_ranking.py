"""The choice of a host: each criterion, their order, and the weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxollama.errors import (
    BadRequestError,
    BusyError,
    ConnectionFailedError,
    ConnectionLostError,
    NotFoundError,
    ServerFailureError,
    StreamError,
    StreamTimeoutError,
    UsageLimitError,
)
from rxollama.pool import Host
from rxollama.pool._host_table import Claim, HostTable
from rxollama.pool._ranking import Rank, Turns
from rxollama.transport import Request

URLS = [f"http://{name}:11434" for name in ("a", "b", "c")]


class Desk:
    """
    A table of hosts at a time that the test sets.

    Args:
        hosts: The hosts.
    """

    def __init__(self, *hosts: Host) -> None:
        self.now = 100.0
        self.table = HostTable(hosts, lambda: self.now)

    def claim(self, request: Request, *failed: int) -> Claim:
        """Choose a host."""
        claim = self.table.claim(request, failed)
        assert claim is not None
        return claim

    def serve(self, request: Request, seconds: float = 0.0) -> int:
        """Let a host answer a request as a whole, and return its place."""
        claim = self.claim(request)
        self.now += seconds
        self.table.answered(claim)
        self.table.release(claim, is_whole=True)
        return claim.place

    def fail(self, place: int, error: StreamError, model: str = "m") -> None:
        """Let a host fail a request."""
        others = set(range(len(self.places()))) - {place}
        claim = self.claim(ask(model), *others)
        assert claim.place == place
        self.table.failed(claim, error)
        self.table.release(claim, is_whole=False)

    def learn(self, place: int, models: list[str], loaded: list[str]) -> None:
        """Let a host say what it has."""
        self.table.learned(place, models, loaded, 0)

    def places(self) -> tuple[Any, ...]:
        """Return the states of the hosts."""
        return self.table.states()


def ask(model: str = "m", *prefixes: int) -> Request:
    """Return a request."""
    return Request(method="POST", path="/api/chat", model=model, prefixes=(lambda: prefixes) if prefixes else None)


def two(**second: Any) -> Desk:
    """Return a desk of two hosts, both of which have the model in their memory."""
    desk = Desk(Host("a"), Host("b", **second))
    for place in range(2):
        desk.learn(place, ["m"], ["m"])
    return desk


def down(desk: Desk) -> None:
    """Let the first host refuse connections."""
    desk.fail(0, ConnectionFailedError("refused"))


def lost(desk: Desk) -> None:
    """Break an answer of the first host."""
    desk.fail(0, ConnectionLostError("lost"))


def silent(desk: Desk) -> None:
    """Let connecting to the first host take too long."""
    desk.fail(0, StreamTimeoutError("late", phase="connect"))


def busy(desk: Desk) -> None:
    """Let the first host refuse a request because it has too many."""
    desk.fail(0, BusyError("busy", status=503))


def limited(desk: Desk) -> None:
    """Let the first host say that a usage limit is reached."""
    desk.fail(0, UsageLimitError("weekly", status=429))


def missing(desk: Desk) -> None:
    """Let the first host say that it does not have the model."""
    desk.fail(0, NotFoundError("no", status=404))


def without_model(desk: Desk) -> None:
    """Let the first host list no models."""
    desk.learn(0, [], [])


def cold(desk: Desk) -> None:
    """Remove the model from the memory of the first host."""
    desk.learn(0, ["M:latest"], [])


def full(desk: Desk) -> None:
    """Give the first host as much as it has slots."""
    desk.table.answered(desk.claim(KEPT, 1))


KEPT = ask("")


@pytest.mark.parametrize("happens", [down, lost, silent, busy, limited, missing, without_model, cold, full])
def test_each_criterion(happens: Callable[[Desk], None]) -> None:
    """The second host is chosen as soon as it is better in one criterion, though the first one has the priority."""
    desk = two(priority=2)
    assert desk.serve(ask()) == 0

    happens(desk)

    assert desk.serve(ask()) == 1


@pytest.mark.parametrize("error", [ServerFailureError("no", status=500), BadRequestError("no", status=400)])
def test_a_failure_counts_for_its_request(error: StreamError) -> None:
    """A host that failed one request is the last for that one and the first for others, until it was answered."""
    desk, request = two(priority=2), ask()
    claim = desk.claim(request)
    desk.table.failed(claim, error)
    desk.table.release(claim, is_whole=False)

    assert [desk.serve(ask()), desk.serve(request), desk.serve(request)] == [0, 1, 0]


def test_a_host_that_is_back() -> None:
    """A host that broke an answer is as good as any when it is back, also for the request that it broke."""
    desk, request = two(priority=2), ask()
    claim = desk.claim(request)
    desk.table.failed(claim, ConnectionLostError("lost"))
    desk.table.release(claim, is_whole=False)
    assert desk.claim(request).place == 1
    desk.now += 0.5
    [(place, epoch)] = desk.table.take_due()
    desk.table.learned(place, ["m"], ["m"], epoch)

    assert desk.claim(request).place == 0


def test_priority() -> None:
    """The lower priority is preferred."""
    desk = Desk(Host("a", priority=3), Host("b"), Host("c", priority=2))

    assert desk.serve(ask()) == 1
    assert desk.claim(ask(), 1).place == 2


def test_the_same_request_elsewhere() -> None:
    """A request that a host has is sent to another one, even if that must load the model."""
    desk, request = two(priority=2), ask()
    desk.learn(1, ["m"], [])

    first, second = desk.claim(request), desk.claim(request)
    assert [first.place, second.place] == [0, 1]
    assert desk.claim(ask()).place == 0

    for claim in (first, second):
        desk.table.release(claim, is_whole=True)
    assert desk.claim(request).place == 0


def test_given_up_in_silence() -> None:
    """A request that was given up before its answer began is sent elsewhere the next time."""
    desk, request = two(), ask()
    claim = desk.claim(request)
    desk.table.tried_in_vain(claim)
    desk.table.release(claim, is_whole=False)

    assert desk.claim(request).place == 1


def test_a_trail_ends_with_its_request() -> None:
    """A request whose object has the id of an earlier one is another request."""
    desk = two(priority=2)
    for _ in range(50):
        claim = desk.claim(ask())
        desk.table.tried_in_vain(claim)
        desk.table.release(claim, is_whole=False)
        assert claim.place == 0
        del claim


def test_requests_of_a_parent() -> None:
    """A forked child that finalizes a request of its parent counts on with its own."""
    desk, of_the_parent = two(priority=2), ask()
    claim = desk.claim(of_the_parent)
    desk.table.forget()
    assert desk.claim(ask()).place == 0

    desk.table.release(claim, is_whole=False)
    assert [each.in_flight for each in desk.places()] == [1, 0]


def test_conversation() -> None:
    """A conversation stays where its beginning is in the cache, for the same model."""
    desk = two()
    for place in range(2):
        desk.learn(place, ["m", "n"], ["m", "n"])
    assert desk.serve(ask("m", 1, 2)) == 0
    assert desk.serve(ask("m", 7, 8)) == 1

    assert [desk.serve(ask("m", 7, 8, 9, 10)) for _ in range(3)] == [1, 1, 1]
    assert [desk.serve(ask("m", 1, 2, 3, 4)) for _ in range(3)] == [0, 0, 0]
    assert {desk.serve(ask("n", 1, 2, 3, 4)), desk.serve(ask("n", 1, 2, 3))} == {0, 1}


def test_the_longest_beginning() -> None:
    """The host with the longest beginning is preferred."""
    desk = two()
    request = ask("m", 1)
    assert desk.serve(request) == 0
    claim = desk.claim(ask("m", 1, 2), 0)
    desk.table.answered(claim)
    desk.table.release(claim, is_whole=True)

    assert desk.serve(ask("m", 1, 2, 3)) == 1
    assert desk.serve(ask("m", 1, 4)) == 0


def test_conversations_are_forgotten() -> None:
    """Only the last few thousand conversations are remembered."""
    desk, late = two(priority=2), two(priority=2)
    for each in (desk, late):
        claim = each.claim(ask("m", -1), 0)
        each.table.answered(claim)
        each.table.release(claim, is_whole=True)
    for number in range(5000):
        late.serve(ask("n", number))

    assert [desk.claim(ask("m", -1)).place, late.claim(ask("m", -1)).place] == [1, 0]


def test_pace() -> None:
    """The faster host is preferred, if everything else is equal; an unknown one is tried first."""
    desk = two()
    assert [desk.serve(ask(), 3.0), desk.serve(ask(), 1.0)] == [0, 1]

    assert desk.serve(ask(), 1.0) == 1
    assert [state.time_to_first_chunk for state in desk.places()] == [3_000_000_000, 1_000_000_000]


def test_a_pace_is_learned_slowly() -> None:
    """One slow answer changes a third of what is known."""
    desk = Desk(Host("a"))
    for seconds in (1.0, 2.0):
        desk.serve(ask(), seconds)
    desk.table.answered(desk.claim(Request(method="GET", path="/api/tags")))

    assert desk.places()[0].time_to_first_chunk == 1_300_000_000


def test_fewest_per_slot() -> None:
    """If no slot is free, the host with the fewest requests per slot is chosen."""
    desk = Desk(Host("a", slots=1), Host("b", slots=4))
    requests = [ask() for _ in range(10)]

    places = [desk.claim(request).place for request in requests]

    assert Counter(places) == {0: 2, 1: 8}


def test_a_cold_host_warms_up() -> None:
    """A host that must load the model is used as soon as two requests per slot are where it is loaded."""
    desk = Desk(Host("a"), Host("b", priority=2))
    desk.learn(0, ["m"], ["m"])
    desk.learn(1, ["m"], [])

    assert [desk.claim(request).place for request in [ask() for _ in range(5)]] == [0, 0, 1, 1, 0]


def test_a_busy_host_comes_back() -> None:
    """A busy host is the last one for as long as it said, or some seconds."""
    desk = two(priority=2)
    desk.fail(0, BusyError("busy", status=429, retry_after=60.0))
    assert [state.situation for state in desk.places()] == ["busy", "ready"]
    desk.now += 59

    assert desk.serve(ask()) == 1
    desk.now += 2
    assert desk.serve(ask()) == 0
    assert desk.places()[0].situation == "ready"


def test_a_usage_limit_is_that_of_a_model() -> None:
    """A usage limit puts a host last for its model, for minutes or for as long as it says."""
    desk = two(priority=2)
    for place in range(2):
        desk.learn(place, ["m", "n"], ["m", "n"])
    limited(desk)
    assert [desk.serve(ask("m")), desk.serve(ask("n"))] == [1, 0]
    desk.now += 301
    assert desk.serve(ask("m")) == 0
    desk.fail(0, UsageLimitError("session", retry_after=10.0))
    desk.now += 11
    assert desk.serve(ask("m")) == 0
    assert desk.table.claim(ask("m"), {1}) is not None


def test_a_missing_model_comes_back() -> None:
    """A model that was missing is looked for again when it appears in the list, or after a minute."""
    desk = two(priority=2)
    missing(desk)
    desk.learn(0, ["m"], ["m"])
    assert desk.claim(ask()).place == 1
    desk.learn(0, [], [])
    desk.learn(0, ["m"], ["m"])
    assert desk.claim(ask()).place == 0

    desk = two(priority=2)
    missing(desk)
    desk.now += 61
    assert desk.claim(ask()).place == 0


def test_models_that_the_user_named() -> None:
    """A host with models= is asked for no other model, and its list is not asked for."""
    desk = Desk(Host("a", models=["qwen3", "llama3:8B"], slots=9), Host("b", priority=2))

    assert desk.claim(ask("qwen3:latest")).place == 0
    assert desk.claim(ask("LLAMA3:8b")).place == 0
    assert desk.claim(ask("llama3")).place == 1
    assert desk.table.claim(ask("llama3"), {1}) is None
    assert desk.claim(ask("")).place == 0
    assert [desk.table.wants_models(place) for place in range(2)] == [False, True]
    assert desk.places()[0].models == ("llama3:8b", "qwen3:latest")
    desk.table.learned(0, None, ["qwen3:latest"], 0)
    assert desk.places()[0].models == ("llama3:8b", "qwen3:latest")


def test_unknown_is_better_than_missing() -> None:
    """A host whose models are not known is before one that lacks the model, and after one that has it."""
    desk = Desk(Host("a"), Host("b"), Host("c"))
    desk.learn(0, ["n"], [])
    assert desk.claim(ask("m")).place == 1
    desk.learn(2, ["m"], [])

    assert desk.claim(ask("m")).place == 2


def test_missing_after_a_failure() -> None:
    """A host without the model is asked if no host has it, and not after one that has it failed."""
    desk = Desk(Host("a"), Host("b"))
    desk.learn(0, ["m"], [])
    desk.learn(1, ["n"], [])

    assert desk.claim(ask("o")).place == 0
    assert desk.table.claim(ask("m"), {0}) is None


def test_the_last_hope() -> None:
    """The last host that can take a request has all the time to connect."""
    desk = Desk(Host("a"), Host("b"))

    assert not desk.claim(ask()).is_last_hope
    assert desk.claim(ask(), 0).is_last_hope
    down(desk)
    assert desk.claim(ask()).is_last_hope
    desk.fail(1, ConnectionFailedError("refused"))
    assert desk.claim(ask()).is_last_hope
    assert Desk(Host("a")).claim(ask()).is_last_hope


def test_models_are_loaded_by_answers() -> None:
    """An answer shows that the model is loaded, and a host that was down has nothing loaded."""
    desk = Desk(Host("a"))
    desk.serve(ask("m"))
    desk.serve(Request(method="POST", path="/api/show", model="n"))
    assert desk.places()[0].loaded == ("m:latest",)
    down(desk)

    assert desk.places()[0].loaded == ()
    assert desk.places()[0].error.startswith("refused")
    desk.serve(ask("m"))
    assert (desk.places()[0].error, desk.places()[0].situation) == ("", "ready")


class TestAsking:
    """When a host is asked for its models."""

    def test_once_and_when_it_is_old(self) -> None:
        """It is asked by one at a time, and again after some seconds."""
        desk = Desk(Host("a"))
        assert desk.table.take_due() == [(0, 0)]
        assert desk.table.take_due() == []
        assert not desk.table.all_asked.done()
        desk.learn(0, ["m"], [])
        assert desk.table.all_asked.done()
        assert desk.table.take_due() == []
        desk.now += 5

        assert desk.table.take_due() == [(0, 0)]
        desk.table.kept_silent(0, TimeoutError())
        assert desk.table.take_due() == []
        assert desk.places()[0].models == ("m:latest",)

    def test_given_up(self) -> None:
        """A question that was given up is asked again at once, and one whose loop was closed after a while."""
        desk = Desk(Host("a"))
        assert desk.table.take_due() == [(0, 0)]
        desk.table.kept_silent(0, None)
        assert desk.table.take_due() == [(0, 0)]
        desk.now += 31

        assert desk.table.take_due() == [(0, 0)]

    def test_growing_waits(self) -> None:
        """A host that is down is asked after waits that grow to half a minute, and is back when it answers."""
        desk, waits = Desk(Host("a")), list[float]()
        down(desk)
        for _ in range(15):
            began = desk.now
            while not desk.table.take_due():
                desk.now += 0.25
            waits.append(desk.now - began)
            desk.table.kept_silent(0, ConnectionFailedError("refused"))
        assert waits == sorted(waits)
        assert (waits[0], waits[-1]) == (0.25, 30.0)
        assert all(later <= max(2 * wait, 1.0) for wait, later in pairwise(waits))
        assert desk.places()[0].situation == "down"
        desk.now += 30
        [(place, epoch)] = desk.table.take_due()
        desk.table.learned(place, ["m"], [], epoch)

        assert desk.places()[0].situation == "ready"
        down(desk)
        desk.now += 0.5
        assert desk.table.take_due() != []

    def test_many_streams_break_once(self) -> None:
        """Streams that break together are one failure."""
        desk = Desk(Host("a"))
        for _ in range(9):
            lost(desk)
        desk.now += 0.5

        assert desk.table.take_due() != []

    def test_an_answer_from_before(self) -> None:
        """An answer to a question from before the host went down does not bring it back."""
        desk = Desk(Host("a"))
        [(place, epoch)] = desk.table.take_due()
        down(desk)
        desk.table.learned(place, ["m"], ["m"], epoch)

        assert (desk.places()[0].situation, desk.places()[0].loaded) == ("down", ())


class TestWaiting:
    """How long to wait for hosts that are down."""

    def test_only_while_a_request_is_open(self) -> None:
        """The next try of a host that is down is waited for as long as a request is open, by one task at a time."""
        desk = two()
        assert desk.table.seconds_to_wait() is None
        down(desk)
        assert desk.table.seconds_to_wait() is None
        claim = desk.claim(ask())
        assert desk.table.seconds_to_wait() == 0.25
        desk.now += 1
        assert desk.table.seconds_to_wait() == 0.05
        assert [desk.table.begin_waiting(), desk.table.begin_waiting()] == [True, False]
        desk.table.end_waiting()
        assert desk.table.begin_waiting()
        desk.table.release(claim, is_whole=True)

        assert desk.table.seconds_to_wait() is None


class TestTurns:
    """The weights."""

    @given(st.lists(st.sampled_from([0.5, 1.0, 2.0, 4.0]), min_size=1, max_size=5))
    def test_shares(self, weights: list[float]) -> None:
        """The shares of requests are those of the weights, over every stretch, within one request."""
        turns, count = Turns(weights), Counter[int]()
        total = sum(weights)
        for number in range(1, 100):
            clocks = turns.clocks()
            place = clocks.index(min(clocks))
            turns.advance(place)
            count[place] += 1
            for each, weight in enumerate(weights):
                assert abs(count[each] - number * weight / total) <= len(weights)

    def test_no_catching_up(self) -> None:
        """A host that was not chosen for long gets no more than its share afterwards."""
        turns = Turns([1.0, 1.0])
        for _ in range(50):
            turns.advance(0)
        places: list[int] = []
        for _ in range(6):
            clocks = turns.clocks()
            places.append(clocks.index(min(clocks)))
            turns.advance(places[-1])

        assert Counter(places) == {0: 3, 1: 3}

    def test_of_hosts(self) -> None:
        """A host with twice the weight gets twice as many requests."""
        desk = two(weight=2)

        assert Counter(desk.serve(ask()) for _ in range(30)) == {0: 10, 1: 20}


@given(
    st.lists(st.tuples(st.integers(1, 2), st.integers(1, 2), st.sampled_from([1.0, 2.0])), min_size=1, max_size=4),
    st.data(),
)
def test_never_a_worse_host(hosts: list[tuple[int, int, float]], data: st.DataObject) -> None:
    """Whatever happened, no other host is better than the one that is chosen, by the first criterion that differs."""
    desk = Desk(*(Host(f"h{n}", priority=p, slots=s, weight=w) for n, (p, s, w) in enumerate(hosts)))
    places = st.integers(0, len(hosts) - 1)
    requests = [ask(model, *prefixes) for model in ("m", "n", "") for prefixes in ((), (1, 2), (1, 2, 3))]
    claims: list[Claim] = []
    errors = [ConnectionLostError("x"), BusyError("x"), NotFoundError("x"), ServerFailureError("x")]
    for _ in range(data.draw(st.integers(1, 12))):
        desk.now += data.draw(st.sampled_from([0.0, 0.25, 3.0]))
        step = data.draw(st.sampled_from(["claim", "claim", "fail", "answer", "learn"]))
        if step == "learn":
            models = data.draw(st.sampled_from([["m"], ["n"], ["m", "n"], []]))
            desk.learn(data.draw(places), models, models[:1])
        elif step == "claim" or not claims:
            claims.append(_claim_best(desk, data.draw(st.sampled_from(requests))))
        else:
            claim = claims.pop(data.draw(st.integers(0, len(claims) - 1)))
            if step == "fail":
                desk.table.failed(claim, data.draw(st.sampled_from(errors)))
            else:
                desk.table.answered(claim)
            desk.table.release(claim, is_whole=step == "answer")


def _claim_best(desk: Desk, request: Request) -> Claim:
    before = desk.table.ranks(request)
    claim = desk.claim(request)
    chosen = before[claim.place]
    assert chosen is not None
    for other in before:
        assert other is not None
        better = next((mine > its for mine, its in zip(chosen, other, strict=True) if mine != its), False)
        assert not better
    return claim


def test_the_order_of_the_criteria() -> None:
    """The criteria are those of the law, in its order."""
    assert Rank._fields == (
        "is_out",
        "has_model",
        "is_busy",
        "is_tried",
        "is_slow",
        "queue",
        "is_stranger",
        "priority",
        "turn",
        "pace",
    )
