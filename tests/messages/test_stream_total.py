"""The sum of a whole stream: what `run` and `await` give."""

from __future__ import annotations

import functools
import operator

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import answers, conversations, texts

from rxollama.messages import ChatChunk, Message, Progress, StreamTotal, ToolCall

_EMPTY = ChatChunk()


def _total(items: list[ChatChunk]) -> ChatChunk:
    total: StreamTotal[ChatChunk] = StreamTotal()
    for item in items:
        total.add(item)
    return total.value


def _unmarked(chunk: ChatChunk) -> ChatChunk:
    """Return a chunk without its mark: of an unfinished message the sum names the last restart only."""
    return replace(chunk, restart=None)


class TestStreamTotal:
    """`StreamTotal` adds up deltas, and keeps the last of anything else."""

    def test_knows_whether_there_was_an_item(self) -> None:
        """The empty str and the empty chunk are items."""
        texts_, chunks_ = StreamTotal[str](), StreamTotal[ChatChunk]()
        assert not texts_
        assert not chunks_

        texts_.add("")
        chunks_.add(_EMPTY)

        assert texts_
        assert texts_.value == ""
        assert chunks_
        assert chunks_.value == _EMPTY

    @given(st.lists(texts(), min_size=1))
    def test_joins_texts(self, items: list[str]) -> None:
        """Text deltas give the whole text."""
        total: StreamTotal[str] = StreamTotal()
        for item in items:
            total.add(item)

        assert total.value == "".join(items)

    @given(answers().filter(bool))
    def test_adds_up_an_answer(self, items: list[ChatChunk]) -> None:
        """A chat gives its whole message, with thinking that reopened, calls and metrics."""
        assert _unmarked(_total(items)) == _unmarked(functools.reduce(operator.add, items))

    @given(conversations().filter(any))
    def test_gives_the_last_message_of_a_conversation(self, spoken: list[list[ChatChunk]]) -> None:
        """Where another message begins, the sum starts over."""
        *_, last = filter(None, spoken)

        total = _total([chunk for message in spoken for chunk in message])

        assert _unmarked(total) == _unmarked(functools.reduce(operator.add, last))

    def test_skips_tool_progress(self) -> None:
        """The progress of a tool is not part of any message."""
        answer = ChatChunk(message=Message("assistant", tool_calls=(ToolCall(),)))
        progress = ChatChunk(message=Message.tool("", name="a"), tool_progress="half")

        assert _total([answer, progress]) == answer
        assert _total([progress]) == progress

    def test_skips_empty_chunks_after_the_end(self) -> None:
        """An empty chunk does not begin a message."""
        done = ChatChunk(message=Message("assistant", "Hi"), done=True)

        assert _total([done, _EMPTY]) == done

    def test_keeps_the_last_of_other_items(self) -> None:
        """Values of their own are not added up."""
        total: StreamTotal[Progress | None] = StreamTotal()
        total.add(Progress(status="a"))
        total.add(Progress(status="b"))
        assert total.value == Progress(status="b")

        total.add(None)

        assert total
        assert total.value is None
