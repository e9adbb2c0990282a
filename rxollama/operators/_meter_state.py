"""
The counts of a meter, chunk by chunk, without Rx and without a clock of its own.

The time to the first token is counted here, by the meter's clock, because a reading shows it while the answer runs. The
one that the client measured stands in `metrics` once an answer is done.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, final

from msgspec.structs import replace

from ..messages import ChatChunk, ChunkBatch, MessageBoundary, MeterPhase, MeterReading, Metrics, Restart, metrics_of

__all__ = ("MeterState",)

_WINDOW = 2.0
_SHORTEST = 0.25
_MARKS = 16
_PER_SECOND = 1e9


@final
class MeterState:
    """
    The counts and the phase of a chat.

    All moments are of one clock, in seconds. Only `goes_on` and `extend` may run while another thread
    calls another method.

    Args:
        now: The moment at which the chat begins.
        seconds: The interval between two readings.
    """

    __slots__ = (
        "_began",
        "_boundary",
        "_calls",
        "_content",
        "_expected",
        "_failures",
        "_first",
        "_last",
        "_longest",
        "_metrics",
        "_open",
        "_others",
        "_pace",
        "_pending",
        "_results",
        "_rounds",
        "_since",
        "_stands",
        "_thinking",
        "_written",
        "phase",
    )

    _content: int
    _thinking: int
    _calls: int
    _rounds: int

    def __init__(self, now: float, seconds: float) -> None:
        self.phase: MeterPhase = "waiting"
        self._began = self._since = now
        self._boundary = MessageBoundary()
        self._pace = _Pace(max(seconds, _WINDOW))
        self._written = self._others = self._content = self._thinking = 0
        self._calls = self._pending = self._results = self._failures = self._rounds = 0
        self._first: int | None = None
        self._last = now
        self._longest = 0.0
        # Whether a message of the model has something to see, and is not over.
        self._open = False
        self._metrics: Metrics | None = None
        # The counts without the message that is not over yet.
        self._stands = _Stands()
        # The moment at which the first token is expected.
        self._expected: float | None = None

    def goes_on(self, chunk: ChatChunk, now: float) -> bool:
        """
        Count a chunk that only continues the latest text, as nearly every chunk does.

        Returns:
            Whether it was counted. Any other chunk is for `take`.
        """
        message, phase = chunk.message, self.phase
        content = message.content
        if (
            not self._open
            or (phase != "answering" if content else phase != "thinking" or not message.thinking)
            or message.role != self._boundary.role
            or message.tool_calls
            or chunk.done
            or chunk.restart is not None
        ):
            return False
        self._written += 1
        self._content += len(content)
        self._thinking += len(message.thinking)
        gap = now - self._last
        if gap > self._longest:  # noqa: PLR1730 - This is done for every chunk, and a call costs more.
            self._longest = gap
        self._last = now
        return True

    def goes_on_all(self, batch: ChunkBatch) -> bool:
        """Return whether a batch only continues the latest text."""
        phase = "answering" if batch.content else "thinking"
        return self._open and batch.has_one_kind and phase == self.phase and self._boundary.role == "assistant"

    def extend(self, batch: ChunkBatch, now: float) -> None:
        """Count the chunks of a batch that only continues the latest text."""
        written = len(batch.content_batch) + len(batch.thinking_batch)
        self._written += written
        self._others += len(batch) - written
        self._content += len(batch.content)
        self._thinking += len(batch.thinking)
        self._longest = max(self._longest, now - self._last)
        self._last = now

    def take(self, chunk: ChatChunk, now: float) -> bool:
        """Count a chunk of any kind, and return whether it changed the phase, or ended one more answer."""
        if chunk.is_tool_progress:
            self._others += 1
            return not self._open and self._enter("calling_tools", now)
        if chunk.restart is not None:
            self._begin_over(chunk.restart)
        if self._boundary.changes(chunk):
            self._close(self._last)
            self._stand()
        if self._boundary.role == "tool":
            self._others += 1
            changed = self._returned(chunk, now)
        else:
            changed = self._spoken(chunk, now)
        if chunk.done:
            self._boundary.restart()
            self._stand()
        return changed

    def _begin_over(self, restart: Restart) -> None:
        """
        Drop the lengths, calls and metrics of what no longer counts.

        Chunks, times and paces stay: the model wrote those chunks. So do the calls of the rounds before, if only a
        message begins over.
        """
        self._close(self._last)
        self._boundary.restart()
        stands = self._stands if restart.scope == "message" else _Stands()
        self._content, self._thinking = stands.content, stands.thinking
        self._calls, self._rounds = stands.calls, stands.rounds
        self._pending = 0
        if restart.scope == "answer":
            self._results = self._failures = 0
            self._metrics = None
            self._stands = stands

    def _stand(self) -> None:
        """Let what was counted stand, whatever becomes of the next message."""
        self._stands = _Stands(self._content, self._thinking, self._calls, self._rounds)

    def _returned(self, chunk: ChatChunk, now: float) -> bool:
        if not chunk.done:
            return self._enter("calling_tools", now)
        self._results += 1
        self._failures += chunk.tool_failed
        self._pending = max(0, self._pending - 1)
        return self._enter("calling_tools" if self._pending else "waiting", now)

    def _spoken(self, chunk: ChatChunk, now: float) -> bool:
        phase, until = self.phase, self._last
        if self._open:
            self._longest = max(self._longest, now - until)
            self._last = now
        elif chunk.visible or chunk.done:
            self._rounds += 1
            self._pending = 0
        if chunk.visible:
            phase, until = self._said(chunk, now), now
        else:
            self._others += 1
            phase = phase if self._open else "waiting"
        if chunk.done:
            self._close(until)
            metrics = metrics_of(chunk)
            self._metrics = metrics if self._metrics is None else self._metrics + metrics
            phase = "calling_tools" if self._pending else "done"
            if phase == self.phase == "done":
                # A whole answer in one chunk, right after another: the phase begins again.
                self._since = now
                return True
        return self._enter(phase, now)

    def _said(self, chunk: ChatChunk, now: float) -> MeterPhase:
        message = chunk.message
        self._written += 1
        self._content += len(message.content)
        self._thinking += len(message.thinking)
        self._calls += len(message.tool_calls)
        self._pending += len(message.tool_calls)
        if not self._open:
            self._open, self._last = True, now
            self._pace.begin(self._mark(now))
            if self._first is None:
                self._first = _nanoseconds(now - self._began)
        return "calling_tools" if message.tool_calls else "answering" if message.content else "thinking"

    def expect(self, seconds: float | None, now: float) -> bool:
        """Set how long the first token is still expected to take, and return whether a reading shows it."""
        if self.phase != "waiting":
            # It comes too late, or is another request's, such as one that a tool sends.
            return False
        was, self._expected = self._expected, None if seconds is None else now + seconds
        return self._expected != was

    def end(self, now: float, *, failed: bool) -> bool:
        """End, and return whether that changed the phase."""
        if self._open:
            self._longest = max(self._longest, now - self._last)
            self._close(self._last)
        return self._enter("failed" if failed else "done", now)

    def read(self, now: float) -> MeterReading:
        """Return a reading."""
        # The clock may be put back, and no duration is negative.
        self._began, self._since = min(self._began, now), min(self._since, now)
        last = min(self._last, now)
        gap = now - last if self._open else None
        expected = self._expected
        recent_chunks, recent_characters = self._pace.recently(self._mark(now))
        chunks, characters = self._pace.on_average(self._mark(last))
        metrics = self._metrics
        if metrics is not None and self._results:
            metrics = replace(metrics, tool_result_count=self._results, tool_failure_count=self._failures)
        return MeterReading(
            phase=self.phase,
            wall_duration=_nanoseconds(now - self._began),
            phase_duration=_nanoseconds(now - self._since),
            expected=None if expected is None else max(0.0, expected - now),
            time_to_first_token=self._first,
            gap_duration=None if gap is None else _nanoseconds(gap),
            longest_gap_duration=None if self._first is None else _nanoseconds(max(self._longest, gap or 0.0)),
            chunk_count=self._written + self._others,
            content_length=self._content,
            thinking_length=self._thinking,
            tool_call_count=self._calls,
            round_count=self._rounds,
            chunks_per_second=recent_chunks,
            characters_per_second=recent_characters,
            mean_chunks_per_second=chunks,
            mean_characters_per_second=characters,
            metrics=metrics,
        )

    def _mark(self, moment: float) -> _Mark:
        return _Mark(moment, self._written, self._content + self._thinking)

    def _close(self, until: float) -> None:
        """End the message of the model, which wrote until a moment."""
        if self._open:
            self._open = False
            self._pace.end(self._mark(until))

    def _enter(self, phase: MeterPhase, now: float) -> bool:
        if phase == self.phase:
            return False
        self.phase, self._since, self._expected = phase, now, None
        return True


class _Stands(NamedTuple):
    """The lengths and counts of the messages that are over."""

    content: int = 0
    thinking: int = 0
    calls: int = 0
    rounds: int = 0


class _Mark(NamedTuple):
    moment: float
    chunks: int
    characters: int


class _Pace:
    """
    The speed at which the model writes, recently and on average.

    It counts from the first token of each round, since the time before that says nothing about the speed.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._marks: deque[_Mark] = deque()
        self._first = self._spent = _Mark(0.0, 0, 0)

    def begin(self, mark: _Mark) -> None:
        """Begin a round, with its first token, which itself is not counted."""
        self._first = mark
        self._marks.append(mark)

    def end(self, mark: _Mark) -> None:
        """End the round."""
        self._spent = self._until(mark)
        self._marks.clear()

    def recently(self, mark: _Mark) -> tuple[float | None, float | None]:
        """Return recent chunks and characters per second."""
        marks = self._marks
        if not marks:
            return None, None
        while len(marks) > 1 and mark.moment - marks[1].moment >= self._window:
            marks.popleft()
        known = _rates(_since(marks[0], mark), _SHORTEST)
        # A few marks are enough to look back to, however often it is read.
        if mark.moment - marks[-1].moment >= self._window / _MARKS:
            marks.append(mark)
        return known

    def on_average(self, mark: _Mark) -> tuple[float | None, float | None]:
        """Return chunks and characters per second on average."""
        return _rates(self._until(mark), 0.0)

    def _until(self, mark: _Mark) -> _Mark:
        if not self._marks:
            return self._spent
        spent, more = self._spent, _since(self._first, mark)
        return _Mark(spent.moment + more.moment, spent.chunks + more.chunks, spent.characters + more.characters)


def _since(earlier: _Mark, mark: _Mark) -> _Mark:
    return _Mark(mark.moment - earlier.moment, mark.chunks - earlier.chunks, mark.characters - earlier.characters)


def _rates(spent: _Mark, least: float) -> tuple[float | None, float | None]:
    seconds = spent.moment
    return (spent.chunks / seconds, spent.characters / seconds) if seconds > 0 and seconds >= least else (None, None)


def _nanoseconds(seconds: float) -> int:
    return round(max(0.0, seconds) * _PER_SECOND)
