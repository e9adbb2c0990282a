"""What a meter counts, moment by moment."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Literal, NamedTuple

import pytest
from guards import CALL, DONE, EMPTY, HEL, HM, LO, RESULT
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import conversations, standing

from rxollama.messages import (
    ChatChunk,
    ChatResponse,
    ClientTiming,
    Function,
    Message,
    MeterReading,
    Metrics,
    ResponseBuilder,
    Restart,
    ToolCall,
)
from rxollama.operators._meter_state import MeterState

SECOND = 1_000_000_000
RETURNED = ChatChunk(message=Message.tool("42", name="f"), done=True)
FAILED = replace(RETURNED, tool_failed=True)
ASIDE = ChatChunk(message=Message("tool", tool_name="f"), tool_progress="half of it")
TWO = ChatChunk(message=Message("assistant", tool_calls=(ToolCall(Function("f")), ToolCall(Function("g")))))
LOADED = ChatChunk(message=Message("assistant"), done=True, done_reason="load")
NOTHING = ChatChunk()
WORD = ChatChunk(message=Message("", "word"))
BOTH = ChatChunk(message=Message("assistant", "So", thinking="Hm"))

WITHIN = {"thinking", "answering", "calling_tools"}


class Step(NamedTuple):
    """A chunk, how long after the one before it comes, and what the phase is then."""

    chunk: ChatChunk
    phase: str
    after: float = 1.0


def fed(*chunks: ChatChunk, apart: float = 1.0, seconds: float = 1.0) -> tuple[MeterState, float]:
    """Return a state that has counted chunks at a steady pace, with the time."""
    state, now = MeterState(0.0, seconds), 0.0
    for chunk in chunks:
        now += apart
        count(state, chunk, now)
    return state, now


def count(state: MeterState, chunk: ChatChunk, now: float) -> bool:
    """Count a chunk as the operator does."""
    return not state.goes_on(chunk, now) and state.take(chunk, now)


# Phases.


@pytest.mark.parametrize(
    "steps",
    [
        [Step(EMPTY, "waiting"), Step(HM, "thinking"), Step(HEL, "answering"), Step(LO, "answering")],
        [Step(HEL, "answering"), Step(HM, "thinking"), Step(HM, "thinking"), Step(EMPTY, "thinking")],
        [Step(BOTH, "answering"), Step(BOTH, "answering"), Step(HM, "thinking"), Step(BOTH, "answering")],
        [Step(WORD, "answering"), Step(WORD, "answering"), Step(DONE, "done"), Step(WORD, "answering")],
        [Step(DONE, "done"), Step(EMPTY, "waiting"), Step(HEL, "answering"), Step(DONE, "done")],
        [Step(LOADED, "done"), Step(HEL, "answering")],
        [Step(CALL, "calling_tools"), Step(HM, "thinking"), Step(DONE, "calling_tools"), Step(RETURNED, "waiting")],
        [Step(TWO, "calling_tools"), Step(DONE, "calling_tools"), Step(RETURNED, "calling_tools")],
        [Step(TWO, "calling_tools"), Step(RETURNED, "calling_tools"), Step(FAILED, "waiting"), Step(EMPTY, "waiting")],
        [Step(replace(CALL, done=True), "calling_tools"), Step(RESULT, "calling_tools"), Step(EMPTY, "waiting")],
        [Step(replace(CALL, done=True), "calling_tools"), Step(HEL, "answering"), Step(DONE, "done")],
        [Step(CALL, "calling_tools"), Step(ASIDE, "calling_tools"), Step(HM, "thinking"), Step(ASIDE, "thinking")],
        [Step(DONE, "done"), Step(ASIDE, "calling_tools"), Step(HEL, "answering")],
        [Step(HEL, "answering"), Step(RETURNED, "waiting"), Step(HEL, "answering")],
        [Step(NOTHING, "waiting"), Step(HEL, "answering"), Step(NOTHING, "answering")],
    ],
)
def test_phases(steps: list[Step]) -> None:
    """Each chunk leads to its phase, and `take` returns whether that changed."""
    state, now = MeterState(0.0, 1.0), 0.0
    for step in steps:
        before, now = state.phase, now + step.after

        changed = count(state, step.chunk, now)

        assert step.phase == state.phase
        assert changed == (before != step.phase)


@pytest.mark.parametrize("failed", [False, True])
def test_end(failed: bool) -> None:
    """The end is a phase as well, and the silence before it counts as a gap."""
    state, now = fed(HEL, LO)

    assert state.end(now + 3, failed=failed)
    reading = state.read(now + 3)
    assert reading.phase == ("failed" if failed else "done")
    assert reading.gap_duration is None
    assert reading.longest_gap_duration == 3 * SECOND


def test_end_after_the_answer() -> None:
    """A stream that completes after its answer is done changes nothing, unless it fails."""
    state, now = fed(HEL, DONE)

    assert not state.end(now + 3, failed=False)
    assert state.end(now + 4, failed=True)


# Durations.


def test_nothing_yet() -> None:
    """Before the first chunk only the time is known."""
    assert MeterState(5.0, 1.0).read(7.5) == MeterReading(
        phase="waiting", wall_duration=5 * SECOND // 2, phase_duration=5 * SECOND // 2
    )


def test_time_to_first_token() -> None:
    """The time to the first token ends with the first chunk with something to see, in the first round."""
    state, now = fed(EMPTY, HM, DONE, RETURNED, HEL)

    assert state.read(now).time_to_first_token == 2 * SECOND


def test_gaps() -> None:
    """Gaps count within an answer, the current one included; empty chunks end a gap."""
    state, _ = fed(EMPTY, HEL, EMPTY, LO)

    assert state.read(4.5).gap_duration == SECOND // 2
    assert state.read(4.5).longest_gap_duration == SECOND
    assert state.read(9.0).gap_duration == state.read(9.0).longest_gap_duration == 5 * SECOND
    count(state, DONE, 11.0)
    assert state.read(20.0).gap_duration is None
    assert state.read(20.0).longest_gap_duration == 7 * SECOND


def test_no_gap_between_rounds() -> None:
    """The time between two answers is not a gap."""
    state, _ = fed(CALL, DONE)
    count(state, RETURNED, 50.0)
    count(state, HEL, 99.0)

    assert state.read(99.0).longest_gap_duration == SECOND


def test_no_gap_to_a_tool() -> None:
    """A tool's result ends the message without a gap."""
    state, _ = fed(HEL, LO)
    count(state, RESULT, 50.0)

    assert state.read(60.0).longest_gap_duration == SECOND
    assert state.read(60.0).gap_duration is None


def test_a_clock_that_is_put_back() -> None:
    """No duration is negative."""
    state, _ = fed(HEL, LO)
    state.read(2.0)
    reading = state.read(-100.0)

    assert reading.wall_duration == reading.phase_duration == reading.gap_duration == 0
    assert reading.longest_gap_duration == SECOND
    assert reading.mean_chunks_per_second is None
    assert state.read(-90.0).wall_duration == 10 * SECOND


# Rates.


def test_rates() -> None:
    """The speed is counted from the first token, which itself is not counted."""
    state, _ = fed(EMPTY, HM, HEL, LO, apart=0.5)
    reading = state.read(2.0)

    assert (reading.chunks_per_second, reading.characters_per_second) == (2.0, 5.0)
    assert (reading.mean_chunks_per_second, reading.mean_characters_per_second) == (2.0, 5.0)


def test_no_rate_by_chance() -> None:
    """The first moment has no rate, which would be chance."""
    state, now = fed(HEL, LO, apart=0.125)

    assert state.read(now).chunks_per_second is None
    assert state.read(now).mean_chunks_per_second == 8.0
    assert state.read(now + 0.125).chunks_per_second == 4.0


def test_one_chunk_has_no_rate() -> None:
    """An answer of one chunk has no rate."""
    state, now = fed(replace(HEL, done=True))

    reading = state.read(now)
    assert (reading.chunks_per_second, reading.mean_chunks_per_second) == (None, None)
    assert (reading.chunk_count, reading.round_count, reading.phase) == (1, 1, "done")


@pytest.mark.parametrize(("seconds", "lately"), [(1.0, 0.0), (0.001, 0.0), (10.0, 0.5)])
def test_lately(seconds: float, lately: float) -> None:
    """Chunks before the window do not count, however often the meter is read."""
    state = MeterState(0.0, seconds)
    count(state, HEL, 0.0)
    for now in range(1, 6):
        count(state, LO, float(now))
        state.read(float(now))
    for now in range(50, 100):
        state.read(now / 10)
    reading = state.read(10.0)

    assert reading.chunks_per_second == lately
    assert reading.mean_chunks_per_second == 1.0


def test_few_marks() -> None:
    """A state that is read often remembers little."""
    state = MeterState(0.0, 0.001)
    count(state, HEL, 0.0)
    state.read(0.0)
    tracemalloc.start()
    try:
        for now in range(10_000):
            state.read(now / 1000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 20_000


def test_rates_over_rounds() -> None:
    """Over several rounds only the time counts in which the model wrote."""
    state = MeterState(0.0, 1.0)
    for chunk, now in [(CALL, 10.0), (HEL, 11.0), (DONE, 12.0), (RETURNED, 50.0), (HEL, 90.0), (LO, 91.0), (LO, 92.0)]:
        count(state, chunk, now)

    assert state.read(92.0).chunks_per_second == 1.0
    assert state.read(92.0).mean_chunks_per_second == 1.0
    count(state, DONE, 99.0)
    assert state.read(99.0).chunks_per_second is None
    assert state.read(99.0).mean_chunks_per_second == 1.0


# Laws.


class Timed(NamedTuple):
    """The chunks that a source sends, with the time before each."""

    chunks: list[ChatChunk]
    gaps: list[float]


@st.composite
def timed(draw: st.DrawFn) -> Timed:
    """Draw a conversation at any pace, with progress of tools here and there."""
    chunks = list(itertools.chain.from_iterable(draw(conversations())))
    for place in draw(st.lists(st.integers(0, len(chunks)), max_size=2)):
        chunks.insert(place, ASIDE)
    gaps = draw(st.lists(st.floats(0, 100), min_size=len(chunks), max_size=len(chunks)))
    return Timed(chunks, gaps)


def reduced(chunks: list[ChatChunk]) -> ChatResponse:
    """Reduce chunks to a response."""
    builder = ResponseBuilder()
    builder.extend(chunks)
    return builder.snapshot(ClientTiming())


@given(timed(), st.booleans())
def test_totals(sent: Timed, failed: bool) -> None:
    """The last reading counts all chunks, whatever their times."""
    state, now = MeterState(0.0, 1.0), 0.0
    for chunk, gap in zip(*sent, strict=True):
        now += gap
        count(state, chunk, now)
        state.read(now)
    state.end(now, failed=failed)
    last = state.read(now)
    spoken = [message for message in reduced(sent.chunks).messages if message.role != "tool"]

    assert last.chunk_count == len(sent.chunks)
    assert last.content_length == sum(len(message.content) for message in spoken)
    assert last.thinking_length == sum(len(message.thinking) for message in spoken)
    assert last.tool_call_count == sum(len(message.tool_calls) for message in spoken)
    assert last.phase == ("failed" if failed else "done")
    assert last.gap_duration is None


@given(timed())
def test_metrics(sent: Timed) -> None:
    """The metrics of an answer that is done are those of the response."""
    state, now = fed(*sent.chunks)
    metrics = state.read(now).metrics
    response = reduced(sent.chunks)
    known = any(chunk.done for chunk in standing(sent.chunks) if chunk.message.role != "tool")

    assert (metrics is not None) == known
    if metrics is not None and response.done:
        assert metrics == response.metrics


@given(timed())
def test_transitions(sent: Timed) -> None:
    """`take` returns a change of phase and the end of an answer, and no phase that only the end brings."""
    state, now = MeterState(0.0, 1.0), 0.0
    for chunk, gap in zip(*sent, strict=True):
        before, now = state.phase, now + gap
        changed = count(state, chunk, now)

        assert changed == (before != state.phase or state.phase == "done")
        assert state.phase in WITHIN | {"waiting", "done"}
        if changed and state.phase == "waiting":
            began_over = chunk.restart is not None
            assert began_over or before in {"calling_tools", "done"} or chunk.message.role == "tool"
        if changed and state.phase == "done":
            assert chunk.done
        if chunk.visible and chunk.message.role != "tool" and not chunk.done:
            assert state.phase in WITHIN


@given(timed(), st.integers(1, 50))
def test_reading_changes_nothing(sent: Timed, often: int) -> None:
    """The last reading is the same, however often the state is read before."""
    seldom, frequent, now = MeterState(0.0, 1.0), MeterState(0.0, 1.0), 0.0
    for chunk, gap in zip(*sent, strict=True):
        for part in range(often):
            frequent.read(now + gap * part / often)
        now += gap
        count(seldom, chunk, now)
        count(frequent, chunk, now)
    seldom.end(now, failed=False)
    frequent.end(now, failed=False)

    assert seldom.read(now) == frequent.read(now)


def test_tools_are_counted() -> None:
    """The metrics count tools as the response does."""
    chunks = [TWO, DONE, RETURNED, FAILED, HEL, DONE]
    state, now = fed(*chunks)
    metrics = state.read(now).metrics

    assert isinstance(metrics, Metrics)
    assert (metrics.tool_result_count, metrics.tool_failure_count) == (2, 1)
    assert metrics == reduced(chunks).metrics
    assert state.read(now).round_count == len(metrics.rounds) == 2


# An answer that begins over.

AGAIN = ChatChunk(message=Message("assistant", "Again"), restart=Restart("lost"))


def test_restart() -> None:
    """Lengths, calls and rounds are those that stand; chunks are all that came."""
    state, now = fed(HM, HEL, CALL, AGAIN, LO)
    reading = state.read(now)

    assert (reading.phase, reading.content_length, reading.thinking_length) == ("answering", len("Again") + 2, 0)
    assert (reading.tool_call_count, reading.round_count, reading.chunk_count) == (0, 1, 5)


def test_restart_is_a_change() -> None:
    """An answer that begins over is not taken for one that goes on."""
    state, now = fed(HEL, HEL)

    assert not state.goes_on(AGAIN, now)


@pytest.mark.parametrize(("scope", "rounds"), [("message", 2), ("answer", 1)])
def test_restart_of_a_round(scope: Literal["message", "answer"], rounds: int) -> None:
    """The counts of the rounds before a message stay if only the message begins over."""
    again = replace(AGAIN, restart=Restart("lost", scope=scope))
    state, now = fed(HEL, replace(CALL, done=True), RETURNED, HEL, again)
    reading = state.read(now)

    assert reading.round_count == rounds
    assert reading.tool_call_count == rounds - 1
    assert reading.content_length == len("Again") + 3 * (rounds - 1)
    assert (reading.metrics is not None) == (scope == "message")


def test_restart_after_another_role() -> None:
    """A message that has no end of its own stands when another begins."""
    again = replace(AGAIN, restart=Restart("lost", scope="message"))
    state, now = fed(HEL, RESULT, HEL, again)

    assert state.read(now).content_length == len("Hel") + len("Again")


def test_no_gap_over_a_restart() -> None:
    """The time between two attempts is no silence within an answer."""
    state = MeterState(0.0, 1.0)
    count(state, HEL, 1.0)
    count(state, AGAIN, 90.0)

    assert state.read(90.0).longest_gap_duration == 0
