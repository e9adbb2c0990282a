"""Thoughts that exceed their limit, and are cut off."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex
from heard import Heard, text_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_answers import Answer, Scripted, record
from structlog.testing import capture_logs

from rxollama import ChatChunk, Conversation, Message, Ollama, run
from rxollama import operators as op
from rxollama.client._thinking_limit import ThoughtTooLongError, limit_thinking
from rxollama.errors import BadRequestError, InvalidValueError, TruncatedError
from rxollama.messages import ChatRequest
from rxollama.testing import Reply, ScriptedOllama, SeenRequest

ENDLESS = Reply.answer(thinking=[f"t{n} " for n in range(50)])


def closing_of(seen: SeenRequest) -> tuple[str, str] | None:
    """Return the thinking and content of a last message of the assistant; None if there is none."""
    last = seen.json["messages"][-1]
    return (last.get("thinking", ""), last["content"]) if last["role"] == "assistant" else None


def thinks_of(server: ScriptedOllama) -> list[Any]:
    """Return the `think` of each request."""
    return [seen.json.get("think") for seen in server.requests]


class TestCut:
    """Thoughts that are cut off."""

    def test_closed(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The thought stays as it was delivered, and the answer follows in the same stream."""
        server.enqueue(ENDLESS.stalled(20), Reply.answer("Yes it is.", eval_count=4))
        heard = Heard(ollama.chat("m", "Is it?", think="high", max_thinking=5)).wait()

        thought = "t0 t1 t2 t3 t4 t5 "
        server.requests[0].wait_left()
        assert heard.error is None
        assert "".join(chunk.message.thinking for chunk in heard.items) == thought
        assert text_of(heard.items) == "Yes it is."
        assert all(chunk.restart is None for chunk in heard.items)
        assert [closing_of(seen) for seen in server.requests] == [None, (thought, "\n")]
        assert thinks_of(server) == ["high", "high"]
        last = heard.items[-1]
        assert last.client is not None
        assert (last.client.thinking_cut_count, last.client.repeat_count) == (1, 1)
        assert (last.client.chunk_count, last.eval_count) == (len(heard.items), 4)

    def test_logged(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The log says what was done."""
        server.enqueue(ENDLESS, Reply.answer("Yes."))
        with capture_logs() as logs:
            run(ollama.chat("m", "Is it?", max_thinking=5).pipe(op.log()))
        assert (logs[-1]["event"], logs[-1]["thinking_cut_count"], logs[-1]["repeat_count"]) == ("chat_finished", 1, 1)

    @pytest.mark.parametrize(("size", "count"), [(1, 6), (4, 6), (8, 3), (100, 1)])
    def test_count(self, ollama: Ollama, server: ScriptedOllama, size: int, count: int) -> None:
        """A chunk is one token, and more if it has more than 4 characters."""
        server.enqueue(Reply.answer(thinking=["x" * size] * 20), Reply.answer("Yes."))
        heard = Heard(ollama.chat("m", "Is it?", max_thinking=5)).wait()
        assert "".join(chunk.message.thinking for chunk in heard.items) == "x" * size * count

    def test_in_one_read(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A thought that arrives in a few reads is cut at the same place."""
        server.enqueue(ENDLESS.cut(4000), Reply.answer("Yes."))
        response = run(ollama.chat("m", "Is it?", max_thinking=30).pipe(op.collect()))
        assert response.message.thinking == "".join(f"t{n} " for n in range(31))
        assert response.metrics.chunk_count == 31 + 2

    def test_thinks_on(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A model that thinks on is asked not to think, and then left alone."""
        server.enqueue(ENDLESS, ENDLESS, Reply.answer("Yes.", thinking=["a", "b", "c"]))
        heard = Heard(ollama.chat("m", "Is it?", max_thinking=1)).wait()

        assert "".join(chunk.message.thinking for chunk in heard.items) == "t0 t1 t0 abc"
        assert text_of(heard.items) == "Yes."
        assert [closing_of(seen) for seen in server.requests] == [None, ("t0 t1 ", "\n"), ("t0 t1 t0 ", "\n")]
        assert thinks_of(server) == [None, None, False]
        assert heard.items[-1].client is not None
        assert heard.items[-1].client.thinking_cut_count == 2

    def test_refused(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A server that refuses the closing request ends the stream; the error says why, and has the thought."""
        server.enqueue(ENDLESS, Reply.error(400, {"error": "prefill is incompatible with enable_thinking"}))
        heard = Heard(ollama.chat("m", "Is it?", max_thinking=1, after_break="restart"))
        assert type(heard.failure) is BadRequestError
        assert heard.failure.partial is not None
        assert heard.failure.partial.message.thinking == "t0 t1 "
        assert any("exceeded max_thinking" in note for note in heard.failure.__notes__)

    def test_disposed(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Disposing closes the closing request."""
        server.enqueue(ENDLESS, Reply.answer("Yes it is.").stalled(1))
        heard = Heard(ollama.chat("m", "Is it?", max_thinking=1)).wait_items(3)
        heard.dispose()
        server.requests[1].wait_left()
        assert (len(server.requests), heard.error, heard.completed) == (2, None, False)

    def test_conversation(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A conversation cuts each round, and its history has the thoughts as they were delivered."""
        call = Reply.answer(tool_calls=[{"name": "look", "arguments": {}}])
        server.enqueue(ENDLESS, call, ENDLESS, Reply.answer("Blue."))

        def look() -> str:
            return "It is blue."

        conversation = Conversation(ollama, "m", tools=[look], max_thinking=1)
        response = run(conversation.send("Which colour?").pipe(op.collect()))
        assert response.metrics.thinking_cut_count == 2
        assert [message.thinking for message in conversation.messages] == ["", "t0 t1 ", "", "t0 t1 "]
        assert conversation.messages[-1].content == "Blue."
        assert [closing_of(seen) is not None for seen in server.requests] == [False, True, False, True]


class TestNotCut:
    """Thoughts that are left alone."""

    def test_short(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A thought of just as many tokens ends by itself."""
        server.enqueue(Reply.answer("Yes.", thinking=["a", "b", "c"]))
        response = run(ollama.chat("m", "Is it?", max_thinking=3).pipe(op.collect()))
        assert (response.message.thinking, response.message.content) == ("abc", "Yes.")
        assert (response.metrics.thinking_cut_count, response.metrics.repeat_count) == (0, 0)

    @pytest.mark.parametrize("texts", [("t", "c"), ("t", "tc", "c"), ("t", "ct"), ("c",), ("tt", "cc", "tt")])
    def test_in_whole_reads(self, texts: tuple[str, ...]) -> None:
        """A thought below the limit passes in whole reads, and so does the content behind it."""
        lines = {"c": record(content=9 * "c"), "t": record(thinking=9 * "t")}
        reads = [b"".join(lines[each] for each in 8 * text) for text in texts]
        pieces = tuple((0.0, each) for each in (*reads, record(done=True)))
        with Ollama(transport=Scripted((Answer(pieces),))) as ollama:
            response = run(ollama.chat("m", "Is it?", max_thinking=40).pipe(op.collect()))
        assert response.message.thinking.count("t") == 72 * "".join(texts).count("t")
        assert response.message.content.count("c") == 72 * "".join(texts).count("c")
        assert response.metrics.repeat_count == 0

    @pytest.mark.parametrize(
        "begun", [Reply.answer(["Well,"]), Reply.answer(tool_calls=[{"name": "f", "arguments": {}}])]
    )
    def test_after_the_answer_began(self, ollama: Ollama, server: ScriptedOllama, begun: Reply) -> None:
        """Thinking that follows content or a call is not counted."""
        server.enqueue(Reply.records([piece.data for piece in (begun.pieces[0], *ENDLESS.pieces)]))
        run(ollama.chat("m", "Is it?", max_thinking=1))
        assert len(server.requests) == 1

    def test_without_thinking(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Empty chunks alone are not a thought."""
        server.enqueue(Reply.answer(["", "", "", "", "Yes."]))
        assert run(ollama.chat("m", "Is it?", max_thinking=1)).message.content == "Yes."
        assert len(server.requests) == 1

    def test_behind_a_message_of_the_assistant(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An answer that continues a message of the caller's cannot be closed by another one."""
        server.enqueue(ENDLESS)
        run(ollama.chat("m", [Message.user("Is it?"), Message.assistant("Well,")], max_thinking=1))
        assert len(server.requests) == 1


class TestAfterBreak:
    """Answers whose thought was cut, and which break."""

    def test_before_the_answer(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A break before the first content closes the thought once more."""
        server.enqueue(ENDLESS, Reply.answer("Yes.").truncated(0), Reply.answer("Yes."))
        heard = Heard(ollama.chat("m", "Is it?", max_thinking=1, after_break="restart")).wait()
        assert text_of(heard.items) == "Yes."
        assert all(chunk.restart is None for chunk in heard.items)
        assert server.requests[1].body == server.requests[2].body

    def test_continued(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A break within the content is continued behind the cut thought."""
        server.enqueue(ENDLESS, Reply.answer(["Yes it"]).truncated(1), Reply.answer([" is."]))
        heard = Heard(ollama.chat("m", "Is it?", max_thinking=1, after_break="continue")).wait()
        assert text_of(heard.items) == "Yes it is."
        assert closing_of(server.requests[2]) == ("t0 t1 ", "Yes it")
        assert heard.items[-1].client is not None
        assert (heard.items[-1].client.thinking_cut_count, heard.items[-1].client.repeat_count) == (1, 2)

    def test_restarted(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An answer that begins over thinks again, within the same limit."""
        server.enqueue(ENDLESS, Reply.answer(["Yes it"]).truncated(1), ENDLESS, Reply.answer("It is."))
        heard = Heard(ollama.chat("m", "Is it?", max_thinking=1, after_break="restart")).wait()
        [place] = [place for place, chunk in enumerate(heard.items) if chunk.restart is not None]
        assert text_of(heard.items[place:]) == "It is."
        assert heard.items[-1].client is not None
        assert (heard.items[-1].client.thinking_cut_count, heard.items[-1].client.repeat_count) == (1, 3)

    def test_began_over(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A server that begins over instead of going on thinks within the whole limit."""
        server.enqueue(ENDLESS, Reply.answer(["Yes it"]).truncated(1), ENDLESS, Reply.answer("It is."))
        heard = Heard(ollama.chat("m", "Is it?", max_thinking=5, after_break="continue")).wait()
        [place] = [place for place, chunk in enumerate(heard.items) if chunk.restart is not None]
        thought = "".join(f"t{n} " for n in range(6))
        assert "".join(chunk.message.thinking for chunk in heard.items[place:]) == thought
        assert text_of(heard.items[place:]) == "It is."
        assert closing_of(server.requests[3]) == (thought, "\n")
        assert heard.items[-1].client is not None
        assert (heard.items[-1].client.thinking_cut_count, heard.items[-1].client.repeat_count) == (1, 3)

    def test_raised(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Without an option for breaks, the error has the thought and the content."""
        server.enqueue(ENDLESS, Reply.answer(["Yes it"]).truncated(1))
        heard = Heard(ollama.chat("m", "Is it?", max_thinking=1))
        assert type(heard.failure) is TruncatedError
        assert heard.failure.partial is not None
        assert heard.failure.partial.message == Message("assistant", "Yes it", "t0 t1 ")


@pytest.mark.parametrize("given", [0, -1, 1.5, True, "5"])
def test_refused_values(ollama: Ollama, given: Any) -> None:
    """Another value than an int of 1 or more is refused at the call."""
    with pytest.raises(InvalidValueError, match=r"^max_thinking: expected an int, 1 or more, got "):
        ollama.chat("m", "Is it?", max_thinking=given)


def test_refused_without_a_stream() -> None:
    """An answer in one piece cannot be cut off."""
    with pytest.raises(InvalidValueError, match=r"^max_thinking: expected None beside stream=False, got 5"):
        ChatRequest(model="m", messages="Is it?", max_thinking=5, stream=False)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "bcdefghij"]), st.sampled_from(["", "", "", "x"])), max_size=20),
    st.integers(0, 12),
)
def test_any_thought(texts: list[tuple[str, str]], limit: int) -> None:
    """Everything up to the cut is delivered, and the thought of the cut is what was delivered."""
    chunks = [ChatChunk(message=Message("assistant", content, thinking)) for thinking, content in texts]
    heard: Heard[ChatChunk] = Heard()
    limit_thinking(reactivex.from_iterable(chunks), limit).subscribe(heard.on_next, heard.on_error, heard.on_completed)

    assert heard.items == chunks[: len(heard.items)]
    thinking = "".join(chunk.message.thinking for chunk in heard.items)
    if heard.completed:
        assert len(heard.items) == len(chunks)
    else:
        assert type(heard.failure) is ThoughtTooLongError
        assert heard.failure.partial is not None
        assert heard.failure.partial.message.thinking == thinking
        assert thinking
        assert text_of(heard.items) == ""
        assert max(len(heard.items), len(thinking) // 4) > limit
        without_last = thinking.removesuffix(heard.items[-1].message.thinking)
        assert not without_last or max(len(heard.items) - 1, len(without_last) // 4) <= limit
