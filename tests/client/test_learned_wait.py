"""The arithmetic of waits, in made-up numbers."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxollama.client._learned_wait import LONGEST, LearnedWait, SentSize
from rxollama.messages import Metrics

SECOND = 1_000_000_000
NOTHING = LearnedWait()
SMALL = SentSize(100, 0)


def metrics(load: float = 0.02, read: float = 0.0, tokens: int = 0, **more: Any) -> Metrics:
    """Return the metrics of an answer; times in seconds."""
    return Metrics(
        load_duration=round(load * SECOND),
        prompt_eval_duration=round(read * SECOND),
        prompt_eval_count=tokens,
        **more,
    )


class TestEstimates:
    """The expected wait."""

    def test_nothing(self) -> None:
        """Nothing is expected before anything was learned."""
        assert NOTHING.seconds(SMALL, is_loaded=True) is None
        assert NOTHING.seconds(SMALL, is_loaded=False) is None

    def test_pace(self) -> None:
        """A prompt takes the time of its tokens; without a load that is known, only if the model is loaded."""
        learned = NOTHING.after(metrics(read=2.0, tokens=1000), SentSize(4000, 0))
        assert learned.seconds(SentSize(8000, 0), is_loaded=True) == pytest.approx(4.0)
        assert learned.seconds(SentSize(8000, 0), is_loaded=False) is None

    def test_cache(self) -> None:
        """The part of a prompt that is cached takes no time, unless the model must be loaded first."""
        learned = NOTHING.after(metrics(load=10.0, read=2.0, tokens=1000), SentSize(4000))
        assert learned.seconds(SentSize(8000, 6000), is_loaded=True) == pytest.approx(1.0)
        assert learned.seconds(SentSize(8000, 6000), is_loaded=False) == pytest.approx(14.0)
        assert learned.seconds(SentSize(8000), is_loaded=True) == pytest.approx(4.0)

    def test_only_a_load(self) -> None:
        """After a load alone a load is expected, and nothing of a model that is loaded."""
        learned = NOTHING.after_load(8 * SECOND)
        assert learned.seconds(SMALL, is_loaded=False) == 8.0
        assert learned.seconds(SMALL, is_loaded=True) is None


class TestLearning:
    """The lesson of each kind of numbers."""

    def test_loads(self) -> None:
        """The latest load counts 30 percent, and half a second is the shortest."""
        learned = NOTHING.after(metrics(load=10.0), SMALL)
        assert learned.load == 10.0
        assert learned.after(metrics(load=20.0), SMALL).load == pytest.approx(13.0)
        assert learned.after(metrics(load=0.4), SMALL).load == 10.0
        assert learned.after_load(20 * SECOND).load == pytest.approx(13.0)

    @pytest.mark.parametrize("nanoseconds", [None, 0, SECOND // 3, -SECOND, 10**30])
    def test_no_load(self, nanoseconds: int | None) -> None:
        """A request that only loads, and finds the model loaded, teaches nothing."""
        assert NOTHING.after_load(nanoseconds) == NOTHING

    def test_size_counts(self) -> None:
        """A long prompt is not pushed out by short ones."""
        learned = NOTHING.after(metrics(read=4.0, tokens=4000), SentSize(16000, 0))
        for _ in range(20):
            learned = learned.after(metrics(read=0.1, tokens=20), SentSize(80, 0))
        assert learned.seconds(SentSize(16000, 0), is_loaded=True) == pytest.approx(5.4, rel=0.1)

    def test_changes(self) -> None:
        """A pace that changes is followed."""
        learned = NOTHING.after(metrics(read=4.0, tokens=4000), SentSize(16000, 0))
        for _ in range(10):
            learned = learned.after(metrics(read=40.0, tokens=4000), SentSize(16000, 0))
        assert learned.seconds(SentSize(16000, 0), is_loaded=True) == pytest.approx(40.0, rel=0.01)

    def test_cached_as_told(self) -> None:
        """Tokens that the server took from its cache are not read."""
        learned = NOTHING.after(metrics(read=1.0, tokens=1000, prompt_eval_cached_count=900), SentSize(4000))
        assert learned.seconds(SentSize(400, 0), is_loaded=True) == pytest.approx(1.0)

    def test_cached_as_guessed(self) -> None:
        """A server that does not say it is taken to have cached what the request before had, too."""
        learned = NOTHING.after(metrics(read=1.0, tokens=1000), SentSize(4000, 3600))
        assert learned.seconds(SentSize(400, 0), is_loaded=True) == pytest.approx(1.0)

    def test_cached_as_unknown(self) -> None:
        """Without a request before, nothing is known of the cache: the pace is not learned, and the size is."""
        learned = NOTHING.after(metrics(read=0.1, tokens=1000), SentSize(4000))
        assert learned.read_tokens == 0
        assert learned.seconds(SMALL, is_loaded=True) is None
        again = learned.after(metrics(read=1.0, tokens=1000), SentSize(8000, 0))
        assert again.seconds(SentSize(6000, 0), is_loaded=True) == pytest.approx(1.0)

    def test_all_cached(self) -> None:
        """An answer to a prompt that was cached as a whole teaches no pace."""
        for told in (1000, 2000, -1):
            learned = NOTHING.after(metrics(read=0.1, tokens=1000, prompt_eval_cached_count=told), SMALL)
            assert learned.read_tokens == 0

    def test_empty_request(self) -> None:
        """A request without text teaches nothing."""
        assert NOTHING.after(metrics(read=0.1, tokens=10), SentSize(0, 0)) == NOTHING

    def test_images(self) -> None:
        """Images teach a pace, and no tokens per byte."""
        learned = NOTHING.after(metrics(read=1.0, tokens=1000), SentSize(40, 0, has_images=True))
        assert (learned.read_tokens, learned.prompt_bytes) == (1000, 0)
        assert learned.seconds(SMALL, is_loaded=True) is None

    def test_not_believed(self) -> None:
        """An answer whose parts exceed the client's wait teaches nothing."""
        told = metrics(load=10.0, read=2.0, tokens=1000, time_to_first_token=11 * SECOND)
        assert NOTHING.after(told, SMALL) == NOTHING
        assert NOTHING.after(msgspec.structs.replace(told, time_to_first_token=12 * SECOND), SMALL).load == 10.0
        whole = msgspec.structs.replace(told, time_to_first_token=None, wall_duration=SECOND)
        assert NOTHING.after(whole, SMALL) == NOTHING

    @pytest.mark.parametrize("load", [-1, 10**30])
    def test_absurd(self, load: int) -> None:
        """Durations and counts that cannot be teach nothing."""
        assert NOTHING.after(Metrics(load_duration=load, prompt_eval_count=10), SMALL) == NOTHING
        assert NOTHING.after(Metrics(prompt_eval_duration=load, prompt_eval_count=10), SMALL) == NOTHING
        assert NOTHING.after(Metrics(prompt_eval_duration=SECOND, prompt_eval_count=load), SMALL) == NOTHING


_NUMBERS = (
    st.integers(-5, 5)
    | st.integers(0, 100 * SECOND)
    | st.integers(-(10**40), 10**40)
    | st.sampled_from([SECOND, 2**63, 86400 * SECOND, 10**400])
)
_METRICS = st.builds(
    Metrics,
    load_duration=_NUMBERS,
    prompt_eval_count=_NUMBERS,
    prompt_eval_cached_count=st.none() | _NUMBERS,
    prompt_eval_duration=_NUMBERS,
    eval_duration=_NUMBERS,
    time_to_first_token=st.none() | st.integers(0, 10**16),
    wall_duration=st.none() | st.integers(0, 10**16),
)
_LENGTHS = st.integers(0, 10**9)


@st.composite
def _sizes(draw: st.DrawFn) -> SentSize:
    length = draw(_LENGTHS)
    return SentSize(length, draw(st.none() | st.integers(0, length)), draw(st.booleans()))


@given(st.lists(st.tuples(_METRICS, _sizes()), max_size=8), _LENGTHS, _LENGTHS, st.booleans())
def test_laws(answers: list[tuple[Metrics, SentSize]], short: int, more: int, is_loaded: bool) -> None:
    """Whatever a server says, an estimate is a time, and a longer request takes no less. A file holds what is known."""
    learned = NOTHING
    for told, size in answers:
        learned = learned.after(told, size)

    less = learned.seconds(SentSize(short, 0), is_loaded=is_loaded)
    most = learned.seconds(SentSize(short + more, 0), is_loaded=is_loaded)
    assert (less is None) == (most is None)
    if less is not None and most is not None:
        assert math.isfinite(less)
        assert 0 <= less <= most <= LONGEST
    assert msgspec.json.decode(msgspec.json.encode(learned), type=LearnedWait) == learned
