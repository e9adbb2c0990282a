"""The numbers of an answer."""

from __future__ import annotations

import operator
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import chunks

from rxollama.messages import ClientTiming, Metrics
from rxollama.messages._chunk import metrics_of

_METRICS = chunks(done=True).map(metrics_of)


class TestRates:
    """Rates are in tokens per second."""

    def test_divides_tokens_by_seconds(self) -> None:
        """Durations are nanoseconds, rates are per second."""
        metrics = Metrics(eval_count=30, eval_duration=1_500_000_000, prompt_eval_count=8, prompt_eval_duration=10**9)

        assert (metrics.tokens_per_second, metrics.prompt_tokens_per_second) == (20.0, 8.0)

    def test_has_no_rate_without_time(self) -> None:
        """Without a duration there is no rate, and no division by zero."""
        metrics = Metrics(eval_count=30, prompt_eval_count=8)

        assert metrics.tokens_per_second is None
        assert metrics.prompt_tokens_per_second is None

    def test_has_a_rate_of_nothing(self) -> None:
        """A duration without tokens is a rate of zero."""
        assert Metrics(eval_duration=1).tokens_per_second == 0.0

    @pytest.mark.parametrize(("count", "duration"), [(10**400, 1), (1, 10**400), (10**400, 10**400)])
    def test_numbers_that_no_float_holds(self, count: int, duration: int) -> None:
        """A rate that cannot be computed is not known."""
        assert Metrics(eval_count=count, eval_duration=duration).tokens_per_second is None


class TestQueue:
    """The wait is the rest of the total."""

    def test_is_what_is_left(self) -> None:
        """Loading, reading and generating are subtracted from the total."""
        metrics = Metrics(total_duration=100, load_duration=10, prompt_eval_duration=20, eval_duration=30)

        assert metrics.queue_duration == 40

    def test_is_never_negative(self) -> None:
        """The wait is not negative if clocks disagree."""
        assert Metrics(total_duration=1, eval_duration=2).queue_duration == 0


class TestSum:
    """The metrics of rounds add up."""

    def test_sums_numbers_and_keeps_rounds(self) -> None:
        """Numbers are summed, first moments are the first round's, and all rounds are kept."""
        first = Metrics(eval_count=1, eval_duration=10, wall_duration=5, chunk_count=2, time_to_first_chunk=3)
        second = Metrics(eval_count=2, eval_duration=20, wall_duration=6, chunk_count=4, time_to_first_chunk=1)

        total = first + second

        assert Metrics(
            eval_count=3,
            eval_duration=30,
            wall_duration=11,
            chunk_count=6,
            time_to_first_chunk=3,
            rounds=(first, second),
        ) == total  # fmt: skip

    @pytest.mark.parametrize(
        ("one", "other", "both"),
        [(None, None, None), (0, None, 0), (None, 3, 3), (2, 3, 5)],
    )
    def test_sums_what_is_known(self, one: int | None, other: int | None, both: int | None) -> None:
        """A number that only one round has counts alone, and one that no round has stays unknown."""
        total = Metrics(prompt_eval_cached_count=one, wall_duration=one)
        total += Metrics(prompt_eval_cached_count=other, wall_duration=other)

        assert (both, both) == (total.prompt_eval_cached_count, total.wall_duration)

    @pytest.mark.parametrize(("one", "other", "last"), [("", "", ""), ("a", "", "a"), ("", "b", "b"), ("a", "b", "b")])
    def test_host(self, one: str, other: str, last: str) -> None:
        """The host of a sum is the last one that is known."""
        assert last == (Metrics(host=one) + Metrics(host=other)).host

    @given(_METRICS, _METRICS, _METRICS)
    def test_is_associative(self, a: Metrics, b: Metrics, c: Metrics) -> None:
        """The grouping of a sum does not matter."""
        assert (a + b) + c == a + (b + c)

    @given(st.lists(_METRICS, min_size=2, max_size=4))
    def test_keeps_every_round(self, rounds: list[Metrics]) -> None:
        """The rounds of a sum are its summands, in order."""
        total = rounds[0]
        for metrics in rounds[1:]:
            total += metrics

        assert tuple(rounds) == total.rounds
        assert sum(metrics.eval_count for metrics in rounds) == total.eval_count

    def test_adds_only_metrics(self) -> None:
        """Only a value of the same type can be added."""
        wrong: Any = 1

        with pytest.raises(TypeError):
            operator.add(Metrics(), wrong)


class TestMetrics:
    """Metrics are values."""

    def test_holds_what_the_client_saw(self) -> None:
        """Metrics have all fields of the client's timing."""
        assert set(ClientTiming.__struct_fields__) < set(Metrics.__struct_fields__)

    @given(_METRICS)
    def test_is_pickled_and_copied(self, metrics: Metrics) -> None:
        """A copy is equal."""
        assert metrics == pickle.loads(pickle.dumps(metrics))  # noqa: S301 - Our own bytes.
        assert metrics == msgspec.structs.replace(metrics)
