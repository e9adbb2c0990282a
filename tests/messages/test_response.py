"""The response that chunks reduce to."""

from __future__ import annotations

import copy
import functools
import operator
import pickle
import sys
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import answers, chunks, conversations, standing, timings

from rxollama.messages import (
    ChatChunk,
    ChatResponse,
    ClientTiming,
    Function,
    Logprob,
    Message,
    Metrics,
    Restart,
    ToolCall,
)
from rxollama.messages._response import ResponseBuilder

_CALL = ToolCall(Function("get_time"), "call_1")
_ASKED = ChatChunk(
    model="qwen3",
    message=Message.assistant(thinking="Hm", tool_calls=[_CALL]),
    done=True,
    done_reason="stop",
    eval_count=3,
    eval_duration=10,
    logprobs=(Logprob("Hm"),),
)
_RESULT = ChatChunk(message=Message.tool("12:00", call=_CALL), done=True)
_TOLD = ChatChunk(
    model="qwen3:8b",
    message=Message.assistant("Noon"),
    done=True,
    done_reason="length",
    eval_count=4,
    eval_duration=20,
    logprobs=(Logprob("Noon"),),
)


def _built(chunks: list[ChatChunk]) -> ResponseBuilder:
    builder = ResponseBuilder()
    for chunk in chunks:
        builder.add(chunk)
    return builder


def _reduced(chunks: list[ChatChunk]) -> ChatResponse:
    return _built(chunks).snapshot()


def _of_the_model(metrics: Metrics) -> Metrics:
    """Return the metrics without the counts of tools."""
    return replace(metrics, tool_result_count=0, tool_failure_count=0)


def _length(response: ChatResponse) -> int:
    return len(response.message.content)


def _regrouped(chunks: list[ChatChunk], sizes: list[int]) -> list[ChatChunk]:
    """Add up groups of neighbours. An empty group becomes the empty chunk."""
    grouped: list[ChatChunk] = []
    start = 0
    for size in [*sizes, len(chunks)]:
        grouped.append(functools.reduce(operator.add, chunks[start : start + size], ChatChunk()))
        start += size
    return grouped


class TestLaws:
    """The response does not depend on how the answer is cut into chunks."""

    @given(answers(), st.lists(st.integers(0, 3), max_size=6))
    def test_does_not_depend_on_the_grouping(self, chunks: list[ChatChunk], sizes: list[int]) -> None:
        """Every grouping of a message's chunks reduces to the same response."""
        assert _reduced(chunks) == _reduced(_regrouped(chunks, sizes))

    @given(conversations(), st.lists(st.integers(0, 3), max_size=6))
    def test_does_not_depend_on_the_grouping_of_rounds(self, spoken: list[list[ChatChunk]], sizes: list[int]) -> None:
        """The same holds for a conversation, if each group stays within a message."""
        whole = [chunk for message in spoken for chunk in message]
        grouped = [chunk for message in spoken if message for chunk in _regrouped(message, sizes)]

        assert _reduced(whole) == _reduced(grouped)

    @given(answers(ended=True))
    def test_equals_the_sum(self, chunks: list[ChatChunk]) -> None:
        """The response holds what the sum of all chunks holds."""
        total = functools.reduce(operator.add, chunks)
        response = _reduced(chunks)

        assert total.message == response.message
        assert (total.message,) == response.messages
        assert (total.metrics, True) == (response.metrics, response.done)
        assert (total.model, total.done_reason, total.logprobs) == (
            response.model,
            response.done_reason,
            response.logprobs,
        )

    @given(conversations())
    def test_keeps_every_snapshot(self, spoken: list[list[ChatChunk]]) -> None:
        """A snapshot does not depend on when it is read, and the last one is the whole."""
        chunks = [chunk for message in spoken for chunk in message]
        builder, snapshots = ResponseBuilder(), list[ChatResponse]()
        for chunk in chunks:
            builder.add(chunk)
            snapshots.append(builder.snapshot())

        assert [_reduced(chunks[: place + 1]) for place in range(len(chunks))] == snapshots
        assert snapshots[-1:] == [_reduced(chunks)][: len(chunks)]

    @given(conversations())
    def test_is_that_of_what_stands(self, spoken: list[list[ChatChunk]]) -> None:
        """The response is as if what a restart absorbs had never come: texts, tools, metrics, model and reason."""
        chunks = [chunk for message in spoken for chunk in message]

        assert _reduced(chunks) == _reduced(standing(chunks))

    @given(st.lists(chunks(), max_size=6), chunks(), st.lists(chunks(restarts=False), max_size=4))
    def test_is_that_of_the_last_answer(
        self, before: list[ChatChunk], begun: ChatChunk, after: list[ChatChunk]
    ) -> None:
        """Chunks of any roles in any order leave nothing behind once the answer begins over."""
        begun = replace(begun, restart=Restart("lost"))

        assert _reduced([*before, begun, *after]) == _reduced([begun, *after])

    @given(conversations(), st.data())
    def test_asides(self, spoken: list[list[ChatChunk]], data: st.DataObject) -> None:
        """The progress of a tool does not change the response."""
        chunks = [chunk for message in spoken for chunk in message]
        whole = _reduced(chunks)
        for name in ("get_time", "get_weather"):
            place = data.draw(st.integers(0, len(chunks)))
            chunks.insert(place, ChatChunk(message=Message("tool", tool_name=name), tool_progress="half"))

        assert whole == _reduced(chunks)

    @given(conversations(restarts=False))
    def test_counts_the_tools(self, spoken: list[list[ChatChunk]]) -> None:
        """Every complete result is counted, and so is every failure."""
        chunks = [chunk for message in spoken for chunk in message]
        results = [chunk for chunk in chunks if chunk.message.role == "tool" and chunk.done]
        failures = [chunk for chunk in results if chunk.tool_failed]
        metrics = _reduced(chunks).metrics

        assert (len(results), len(failures)) == (metrics.tool_result_count, metrics.tool_failure_count)

    @given(conversations(restarts=False))
    def test_keeps_every_message(self, spoken: list[list[ChatChunk]]) -> None:
        """All messages of a conversation are kept in order, and so are the rounds of its metrics."""
        ended = [message for message in spoken if message]
        response = _reduced([chunk for message in ended for chunk in message])
        totals = [functools.reduce(operator.add, message) for message in ended]
        rounds = [total.metrics for total in totals if total.metrics and total.message.role != "tool"]

        assert tuple(total.message for total in totals) == (response.messages if totals else ())
        assert tuple(rounds) == (response.metrics.rounds or (_of_the_model(response.metrics),))[: len(rounds)]


class TestResponseBuilder:
    """`ResponseBuilder` by example."""

    def test_begins_with_nothing(self) -> None:
        """Without a chunk, the response has an empty message and no numbers."""
        assert ChatResponse(message=Message("assistant")) == ResponseBuilder().snapshot()

    def test_reduces_rounds(self) -> None:
        """All messages are kept, the message is the assistant's last one, and the numbers are summed."""
        response = _reduced([_ASKED, _RESULT, _TOLD])

        assert (_ASKED.message, _RESULT.message, _TOLD.message) == response.messages
        assert _TOLD.message == response.message
        assert (response.model, response.done, response.done_reason) == ("qwen3:8b", True, "length")
        assert (Logprob("Noon"),) == response.logprobs
        assert (7, 30, (_ASKED.metrics, _TOLD.metrics)) == (
            response.metrics.eval_count,
            response.metrics.eval_duration,
            response.metrics.rounds,
        )

    def test_speaks_for_the_assistant_after_a_tool(self) -> None:
        """While a tool's result is the last message, the other fields are the assistant's."""
        asked, after = _reduced([_ASKED]), _reduced([_ASKED, _RESULT])

        assert (_ASKED.message, _RESULT.message) == after.messages
        assert (asked.message, asked.model) == (after.message, after.model)
        assert asked.metrics == _of_the_model(after.metrics)
        assert (asked.done, asked.done_reason, asked.logprobs) == (after.done, after.done_reason, after.logprobs)

    def test_is_not_done_in_the_next_round(self) -> None:
        """In the next round the response is not done, and keeps the numbers so far."""
        response = _reduced([_ASKED, _RESULT, ChatChunk(message=Message.assistant("No"))])

        assert (False, "", _ASKED.metrics) == (response.done, response.done_reason, _of_the_model(response.metrics))

    def test_has_an_empty_message_while_only_tools_spoke(self) -> None:
        """Without a chunk of the assistant, its message is empty."""
        response = _reduced([_RESULT])

        assert ((_RESULT.message,), Message("assistant")) == (response.messages, response.message)

    def test_passes_over_nothing(self) -> None:
        """An empty chunk after the end does not begin a message."""
        assert _reduced([_TOLD]) == _reduced([ChatChunk(), _TOLD, ChatChunk()])

    def test_separates_tools_without_ids(self) -> None:
        """Results of different tools stay apart without ids, even before `done`."""
        results = [Message.tool("12:00", name="get_time"), Message.tool("rain", name="get_weather")]

        assert tuple(results) == _reduced([ChatChunk(message=result) for result in results]).messages

    def test_gives_words_without_a_role_to_the_assistant(self) -> None:
        """Text before any role is not part of a tool's result."""
        response = _reduced([ChatChunk(message=Message("", "Let me see.")), _RESULT])

        assert (Message.assistant("Let me see."), _RESULT.message) == response.messages

    def test_gives_no_reason_before_the_end(self) -> None:
        """The reason of a chunk that is not done does not count."""
        assert _reduced([ChatChunk(done_reason="stop")]).done_reason == ""

    @given(timings())
    def test_takes_the_clients_timing_for_an_answer_without_end(self, timing: ClientTiming) -> None:
        """An answer that was cut off has the client's timing, beside the rounds before it."""
        cut = [_ASKED, _RESULT, ChatChunk(message=Message.assistant("No"))]
        seen = Metrics(**{name: getattr(timing, name) for name in timing.__struct_fields__})

        assert seen == _built(cut[2:]).snapshot(timing).metrics
        assert (_ASKED.metrics, seen) == _built(cut).snapshot(timing).metrics.rounds
        assert _ASKED.metrics == _built(cut[:1]).snapshot(timing).metrics

    def test_reads_each_snapshot_once(self) -> None:
        """The texts are joined once, when they are first read."""
        snapshot = _reduced([_TOLD])

        assert snapshot.message is snapshot.message
        assert snapshot.messages is snapshot.messages

    def test_is_read_from_other_threads(self) -> None:
        """Threads read each snapshot as it was, while the answer continues."""
        builder, chunk = ResponseBuilder(), ChatChunk(message=Message("assistant", "word "))
        lengths: list[int] = []
        reading: list[Future[int]] = []
        with ThreadPoolExecutor(4) as threads:
            for count in range(1, 2001):
                builder.add(chunk)
                if count % 10 == 0:
                    snapshot = builder.snapshot()
                    reading += [threads.submit(_length, snapshot), threads.submit(_length, snapshot)]
                    lengths += [5 * count, 5 * count]

        assert lengths == [future.result() for future in reading]

    def test_costs_as_much_as_the_text(self) -> None:
        """A snapshot for each of 200,000 chunks keeps no chunk, and joins no text before it is read."""
        chunk = ChatChunk(model="qwen3", message=Message("assistant", "word "))
        before = sys.getrefcount(chunk)
        builder = ResponseBuilder()
        snapshot = builder.snapshot()

        for _ in range(200_000):
            builder.add(chunk)
            snapshot = builder.snapshot()

        assert sys.getrefcount(chunk) <= before + 1
        assert len(snapshot.message.content) == 1_000_000

    def test_keeps_many_messages(self) -> None:
        """Thousands of messages take linear time."""
        assert len(_reduced([_TOLD] * 5_000 + [ChatChunk()]).messages) == 5_000


class TestChatResponse:
    """`ChatResponse` is a value."""

    def test_fills_in_what_is_not_given(self) -> None:
        """Without messages there is the message alone, and the message is the assistant's last one."""
        assert (_TOLD.message,) == ChatResponse(message=_TOLD.message).messages
        assert _ASKED.message == ChatResponse(messages=(_ASKED.message, _RESULT.message)).message
        assert Message("assistant") == ChatResponse().message
        assert Metrics() == ChatResponse().metrics
        assert ChatResponse(message=_TOLD.message, messages=()).messages == ()

    @given(conversations())
    def test_is_pickled_and_copied(self, spoken: list[list[ChatChunk]]) -> None:
        """A copy equals the response, whether that was read before or not."""
        response = _reduced([chunk for message in spoken for chunk in message])

        assert response == pickle.loads(pickle.dumps(response))  # noqa: S301 - Our own bytes.
        assert response == copy.copy(response) == copy.deepcopy(response)

    def test_says_what_it_holds(self) -> None:
        """The repr shows every field."""
        told = repr(ChatResponse(message=Message.assistant("Noon"), model="qwen3"))

        assert told.startswith("ChatResponse(message=Message(role='assistant', content='Noon'), messages=")
        assert "model='qwen3'" in told

    def test_cannot_be_changed(self) -> None:
        """No field can be set."""
        response = ChatResponse(model="qwen3")

        with pytest.raises(AttributeError, match="model"):
            response.model = "other"

        assert response.model == "qwen3"

    def test_equals_only_responses(self) -> None:
        """A response equals a response with the same fields, and nothing else."""
        assert ChatResponse(model="a") == ChatResponse(model="a")
        assert ChatResponse(model="a") != ChatResponse(model="b")
        assert ChatResponse() != "text"

    def test_has_no_hash(self) -> None:
        """A response is not hashable, because it holds dicts."""
        with pytest.raises(TypeError, match="unhashable"):
            hash(ChatResponse())
