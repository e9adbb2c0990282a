"""Chunks, and their sum."""

from __future__ import annotations

import copy
import functools
import operator
import pickle
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import chunks, logprobs

from rxollama.messages import ChatChunk, ClientTiming, Function, Logprob, Message, Metrics, Restart, ToolCall
from rxollama.messages._chunk import ChunkSum, metrics_of

_EMPTY = ChatChunk()


def _summed(items: list[ChatChunk]) -> ChunkSum:
    total = ChunkSum()
    for item in items:
        total.add(item)
    return total


def _said(**fields: Any) -> ChatChunk:
    return ChatChunk(message=Message("assistant", **fields))


class TestSumLaws:
    """`+` is a monoid."""

    @given(chunks(), chunks(), chunks())
    def test_is_associative(self, a: ChatChunk, b: ChatChunk, c: ChatChunk) -> None:
        """The grouping of a sum does not matter."""
        assert (a + b) + c == a + (b + c)

    @given(chunks())
    def test_has_an_identity(self, chunk: ChatChunk) -> None:
        """The empty chunk adds nothing on either side."""
        assert chunk == chunk + _EMPTY == _EMPTY + chunk

    @given(chunks(), chunks(restarts=False))
    def test_drops_what_came_before_a_restart(self, a: ChatChunk, b: ChatChunk) -> None:
        """A chunk with `restart` absorbs what came before it, and keeps its mark."""
        begun = replace(b, restart=Restart("lost", 2))

        assert replace(a, restart=None) + begun == begun
        assert begun == _EMPTY + begun
        assert replace(a + b, restart=begun.restart) == replace(a, restart=begun.restart) + b

    @given(chunks(restarts=False), st.permutations(["answer", "message"]))
    def test_keeps_the_wider_scope(self, chunk: ChatChunk, scopes: list[Literal["answer", "message"]]) -> None:
        """The later one of two restarts stays, with the wider scope of the two."""
        first, second = (replace(chunk, restart=Restart(scope, place, scope)) for place, scope in enumerate(scopes))

        assert (first + second).restart == Restart(scopes[1], 1, "answer")

    @given(st.lists(chunks(), max_size=6))
    def test_is_what_the_running_sum_says(self, items: list[ChatChunk]) -> None:
        """The running sum, in linear time, equals the result of `+`."""
        assert functools.reduce(operator.add, items, _EMPTY) == _summed(items).total()

    @given(chunks(), chunks())
    def test_changes_no_summand(self, a: ChatChunk, b: ChatChunk) -> None:
        """A sum does not change its summands."""
        before = copy.deepcopy((a, b))

        _ = a + b

        assert before == (a, b)


class TestSum:
    """The fields of a sum."""

    def test_joins_what_is_said(self) -> None:
        """Texts, images, calls and logprobs are joined in order."""
        one, other = ToolCall(Function("a")), ToolCall(Function("b"))
        a = ChatChunk(message=Message("assistant", "Hel", "H", ("aGk=",), (one,)), logprobs=(Logprob("Hel"),))
        b = ChatChunk(message=Message("", "lo", "m", ("aG8=",), (other,)), logprobs=(Logprob("lo"),))

        total = a + b

        assert Message("assistant", "Hello", "Hm", ("aGk=", "aG8="), (one, other)) == total.message
        assert (Logprob("Hel"), Logprob("lo")) == total.logprobs

    def test_lets_the_later_word_count(self) -> None:
        """Model, time and host are the later chunk's, unless it has none."""
        a = ChatChunk(model="a", created_at="1", remote_model="ra", remote_host="ha", debug_info={"a": 1})
        b = ChatChunk(model="b", created_at="2", remote_model="rb", remote_host="hb", debug_info={})

        assert b == a + b
        assert a == a + _EMPTY

    def test_lets_the_first_say_who_speaks(self) -> None:
        """Role, tool and call are named by the first chunk that names them."""
        a = ChatChunk(message=Message("tool", "1", tool_name="a"), tool_failed=True)
        b = ChatChunk(message=Message("assistant", "2", tool_name="b", tool_call_id="c"))

        assert ChatChunk(message=Message("tool", "12", tool_name="a", tool_call_id="c"), tool_failed=True) == a + b

    def test_counts_numbers_on_done_chunks_only(self) -> None:
        """The reason and the numbers of a chunk that is not done do not count."""
        loose = ChatChunk(done_reason="stop", eval_count=3, client=ClientTiming(chunk_count=1))
        done = ChatChunk(done=True, done_reason="length", eval_count=7)

        assert loose + loose == _EMPTY
        assert done == loose + done == done + loose

    def test_takes_the_last_end(self) -> None:
        """The end of a sum is the last done chunk's."""
        a = ChatChunk(done=True, done_reason="stop", eval_count=3, total_duration=9)
        b = ChatChunk(done=True, eval_count=7)

        assert b == a + b

    def test_keeps_line_ends_and_marks(self) -> None:
        """Joining does not change a character, whatever it combines with."""
        texts = ["\r", "\n", "\r\n", "e", "\u0301", "\u0085", "\u2028", "👩", "\u200d", "🚀", "\ud83d"]

        assert "".join(texts) == _summed([_said(content=text) for text in texts]).total().message.content

    @given(st.lists(st.lists(logprobs(), max_size=2).map(tuple), max_size=4))
    def test_joins_logprobs(self, told: list[tuple[Logprob, ...]]) -> None:
        """The log probabilities of all tokens are kept in order."""
        total = _summed([ChatChunk(logprobs=some) for some in told]).total()

        assert tuple(token for some in told for token in some) == total.logprobs

    def test_adds_only_chunks(self) -> None:
        """Only a value of the same type can be added."""
        wrong: Any = "text"

        with pytest.raises(TypeError):
            operator.add(_EMPTY, wrong)


class TestChatChunk:
    """`ChatChunk` is a record of the stream."""

    @pytest.mark.parametrize(
        ("chunk", "visible"),
        [
            (_EMPTY, False),
            (ChatChunk(done=True, done_reason="stop"), False),
            (_said(), False),
            (_said(content="a"), True),
            (_said(thinking="a"), True),
            (_said(tool_calls=(ToolCall(),)), True),
        ],
    )
    def test_knows_whether_there_is_something_to_see(self, chunk: ChatChunk, visible: bool) -> None:
        """Thinking, content and calls are visible, and nothing else is."""
        assert visible is chunk.visible

    def test_has_metrics_once_done(self) -> None:
        """A done chunk has metrics, and other chunks have none."""
        chunk = ChatChunk(done=True, eval_count=3, prompt_eval_cached_count=0, client=ClientTiming(chunk_count=4))

        assert Metrics(eval_count=3, prompt_eval_cached_count=0, chunk_count=4) == chunk.metrics
        assert _EMPTY.metrics is None

    def test_says_itself_what_the_client_saw(self) -> None:
        """The given timing counts only if the chunk has none."""
        seen = ChatChunk(done=True, client=ClientTiming(chunk_count=4))

        assert metrics_of(seen, ClientTiming(chunk_count=9)).chunk_count == 4
        assert metrics_of(ChatChunk(done=True), ClientTiming(chunk_count=9)).chunk_count == 9

    @given(chunks())
    def test_is_a_value(self, chunk: ChatChunk) -> None:
        """A chunk equals its copies, and survives JSON."""
        assert chunk == copy.copy(chunk)
        assert chunk == copy.deepcopy(chunk)
        assert chunk == pickle.loads(pickle.dumps(chunk))  # noqa: S301 - Our own bytes.
        assert chunk == msgspec.json.decode(msgspec.json.encode(chunk), type=ChatChunk)

    def test_lets_no_server_speak_for_the_client(self) -> None:
        """A record of the server cannot set the client's own fields."""
        record = b'{"client": {"chunk_count": 9}, "tool_failed": true, "done": true}'

        assert ChatChunk(done=True) == msgspec.json.decode(record, type=ChatChunk)


class TestAccepts:
    """`accepts` finds the chunks that keep the reading order of a sum."""

    @pytest.mark.parametrize(
        ("waiting", "item", "accepted"),
        [
            (_said(thinking="a"), _said(thinking="b"), True),
            (_said(thinking="a"), _said(content="b"), True),
            (_said(thinking="a"), _said(thinking="b", content="c", tool_calls=(ToolCall(),)), True),
            (_said(thinking="a", content="b"), _said(content="c"), True),
            (_said(content="a"), _said(thinking="b"), False),
            (_said(content="a"), _said(thinking="b", content="c"), False),
            (_said(content="a"), _said(tool_calls=(ToolCall(),)), True),
            (_said(tool_calls=(ToolCall(),)), _said(tool_calls=(ToolCall(),)), True),
            (_said(tool_calls=(ToolCall(),)), _said(content="a"), False),
            (_said(tool_calls=(ToolCall(),)), _said(thinking="a"), False),
            (_said(tool_calls=(ToolCall(),)), ChatChunk(done=True), True),
            (_said(content="a"), ChatChunk(done=True), True),
            (_said(content="a"), _EMPTY, True),
            (ChatChunk(done=True), _said(content="a"), False),
            (ChatChunk(done=True), _EMPTY, False),
            (_EMPTY, _said(thinking="a"), True),
            (_EMPTY, ChatChunk(message=Message("tool", "a")), True),
            (_said(content="a"), ChatChunk(message=Message("tool", "b")), False),
            (_said(), ChatChunk(message=Message("tool", "b")), False),
            (ChatChunk(message=Message("tool", "a")), _said(content="b"), False),
            (ChatChunk(message=Message("tool", "a")), ChatChunk(message=Message("", "b")), True),
            (ChatChunk(message=Message("", "a")), _said(content="b"), True),
            (ChatChunk(message=Message("", "a")), ChatChunk(message=Message("tool", "b")), False),
            (
                ChatChunk(message=Message.tool("a", name="x", call_id="1")),
                ChatChunk(message=Message.tool("b", name="x", call_id="1")),
                True,
            ),
            (
                ChatChunk(message=Message.tool("a", name="x", call_id="1")),
                ChatChunk(message=Message.tool("b", name="x", call_id="2")),
                False,
            ),
            (ChatChunk(message=Message.tool("a", name="x")), ChatChunk(message=Message.tool("b", name="y")), False),
            (ChatChunk(message=Message.tool("a", name="x")), ChatChunk(message=Message.tool("b", name="x")), True),
            (ChatChunk(message=Message.tool("a", call_id="1")), ChatChunk(message=Message.tool("b", name="x")), True),
        ],
    )
    def test_keeps_order_ends_and_speakers(self, waiting: ChatChunk, item: ChatChunk, accepted: bool) -> None:
        """A sum goes from thinking to content to calls, within one message."""
        assert accepted is _summed([waiting]).accepts(item)

    def test_takes_nothing_but_chunks(self) -> None:
        """A str is not a chunk."""
        assert not ChunkSum().accepts("text")


class TestMark:
    """A mark fixes the state of a sum at a moment."""

    @given(st.lists(chunks(), max_size=4), st.lists(chunks(restarts=False), max_size=4))
    def test_is_not_moved_by_what_comes_later(self, early: list[ChatChunk], late: list[ChatChunk]) -> None:
        """The state at a mark can be read after any number of further chunks."""
        total = _summed(early)
        mark = total.mark()
        before = total.message(mark), total.logprobs(mark)

        for chunk in late:
            total.add(chunk)

        assert before == (total.message(mark), total.logprobs(mark))
