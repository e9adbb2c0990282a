"""The items that wait for a slow consumer."""

from __future__ import annotations

import functools
import operator
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import answers, chunks, conversations, standing, texts

from rxollama.messages import ChatChunk, Latest, Message, Queue, Restart, ToolCall
from rxollama.messages._backlog import Backlog, is_summable
from rxollama.messages._response import ResponseBuilder

_THINKING = ChatChunk(message=Message("assistant", thinking="Hm. "))
_CONTENT = ChatChunk(message=Message("assistant", "Yes. "))
_CALL = ChatChunk(message=Message("assistant", tool_calls=(ToolCall(),)))
_ONE, _OTHER = (ChatChunk(message=Message.tool(name, call_id=name)) for name in "ab")
_DONE = ChatChunk(message=Message("assistant"), done=True)

# What a consumer does after each item: nothing, take the whole ones, take everything, or just look.
_MOVES = st.lists(st.sampled_from(["wait", "whole", "all", "look"]), max_size=30)


def _played(items: list[Any], moves: list[str]) -> list[Any]:
    backlog: Backlog[Any] = Backlog()
    taken: list[Any] = []
    for place, item in enumerate(items):
        backlog.add(item)
        move = moves[place] if place < len(moves) else "wait"
        if move == "whole":
            taken += backlog.take_finished()
        elif move == "all":
            taken += backlog.take()
        elif move == "look":
            backlog.look()
    return taken + backlog.take()


def _reduced(items: list[ChatChunk]) -> Any:
    builder = ResponseBuilder()
    for item in items:
        builder.add(item)
    return builder.snapshot()


def _pieces(items: list[ChatChunk]) -> list[tuple[str, object]]:
    """Return the thinking, content, calls and ends of chunks in reading order."""
    read: list[tuple[str, object]] = []
    for item in items:
        message = item.message
        read += [("thinking", letter) for letter in message.thinking]
        read += [("content", letter) for letter in message.content]
        read += [("call", call) for call in message.tool_calls]
        read += [("done", item.done_reason)] if item.done else []
    return read


class TestLaws:
    """A backlog changes the number of items, not their sum."""

    @given(st.lists(chunks(), max_size=12), _MOVES)
    def test_keeps_the_sum_of_chunks(self, items: list[ChatChunk], moves: list[str]) -> None:
        """The sum of the removed chunks is the sum of the added ones, however both interleave."""
        taken = _played(items, moves)

        assert functools.reduce(operator.add, items, ChatChunk()) == functools.reduce(operator.add, taken, ChatChunk())
        assert len(taken) <= len(items)

    @given(st.lists(texts(), max_size=12), _MOVES)
    def test_keeps_the_sum_of_texts(self, items: list[str], moves: list[str]) -> None:
        """The same holds for strings."""
        assert "".join(items) == "".join(_played(items, moves))

    @given(st.lists(chunks(), max_size=12), _MOVES)
    def test_keeps_the_order_of_reading(self, items: list[ChatChunk], moves: list[str]) -> None:
        """Thinking, content and calls of what stands keep their reading order, letter by letter."""
        assert _pieces(standing(items)) == _pieces(standing(_played(items, moves)))

    @given(st.lists(chunks(), max_size=12), chunks(restarts=False))
    def test_keeps_no_chunk_that_is_absorbed(self, items: list[ChatChunk], last: ChatChunk) -> None:
        """Once an answer begins over, nothing of the one before waits."""
        begun = replace(last, restart=Restart("lost"))

        assert _played([*items, begun], []) == [begun]

    @given(conversations(restarts=False), answers(ended=False, restarts=False))
    def test_keeps_no_unfinished_message_that_is_absorbed(
        self, spoken: list[list[ChatChunk]], broken: list[ChatChunk]
    ) -> None:
        """Once a message begins over, nothing of it waits, and what was complete still does."""
        whole = [chunk for message in spoken[:-1] for chunk in message]
        begun = ChatChunk(message=Message("assistant", "So"), restart=Restart("lost", 2, "message"))

        assert _played([*whole, *broken, begun], []) == [*_played(whole, []), begun]

    @given(conversations(), _MOVES)
    def test_keeps_the_response(self, spoken: list[list[ChatChunk]], moves: list[str]) -> None:
        """The removed chunks reduce to the same response, over all messages of a conversation."""
        items = [chunk for message in spoken for chunk in message]

        assert _reduced(items) == _reduced(_played(items, moves))

    @given(answers(), st.integers(0, 7))
    def test_leaves_what_it_shows(self, items: list[ChatChunk], looked_after: int) -> None:
        """`look` removes nothing, and its result does not change later."""
        backlog: Backlog[ChatChunk] = Backlog()
        for item in items[:looked_after]:
            backlog.add(item)

        shown = backlog.look()

        assert functools.reduce(operator.add, items[:looked_after], ChatChunk()) == sum(shown, ChatChunk())
        assert shown == backlog.look()
        for item in items[looked_after:]:
            backlog.add(item)
        assert functools.reduce(operator.add, items, ChatChunk()) == sum(backlog.take(), ChatChunk())

    @given(st.lists(st.integers() | texts() | chunks(), max_size=12), _MOVES)
    def test_keeps_strangers_as_they_came(self, items: list[Any], moves: list[str]) -> None:
        """Items that do not add up stay as they are, in their place among strings and chunks."""
        taken = _played(items, moves)

        assert [item for item in items if not is_summable(item)] == [item for item in taken if not is_summable(item)]


class TestBacklog:
    """`Backlog` by example."""

    def test_is_empty_at_first(self) -> None:
        """A new backlog has no items."""
        backlog: Backlog[str] = Backlog()

        assert not backlog
        assert not backlog.has_finished
        assert [] == backlog.look() == backlog.take_finished() == backlog.take()

    def test_hands_on_a_lone_item_as_it_came(self) -> None:
        """An item that waits alone is returned unchanged."""
        backlog: Backlog[ChatChunk] = Backlog()
        backlog.add(_CONTENT)

        assert backlog
        assert backlog.look()[0] is _CONTENT
        assert backlog.take()[0] is _CONTENT
        assert not backlog

    @pytest.mark.parametrize(
        ("items", "counts"),
        [
            ([_THINKING, _THINKING, _CONTENT, _CALL, _DONE], [5]),
            ([_CONTENT, _THINKING, _CONTENT], [1, 2]),
            ([_CALL, _CONTENT, _DONE, _CONTENT], [1, 2, 1]),
            ([_DONE, _DONE], [1, 1]),
            ([_CONTENT, _ONE, _ONE, _OTHER], [1, 2, 1]),
            (["a", "b", _CONTENT, _CONTENT, "c"], [2, 2, 1]),
            ([1, 2, "a", "b"], [1, 1, 2]),
        ],
    )
    def test_merges_neighbours_only(self, items: list[Any], counts: list[int]) -> None:
        """Each removed item is the sum of neighbours."""
        waiting = iter(items)
        expected = [functools.reduce(operator.add, [next(waiting) for _ in range(count)]) for count in counts]

        assert expected == _played(items, [])

    def test_keeps_the_last_open(self) -> None:
        """The last item can still grow, so `take_finished` leaves it."""
        backlog: Backlog[ChatChunk] = Backlog()
        for item in (_CONTENT, _THINKING, _CONTENT):
            backlog.add(item)

        had_whole, seen, taken = backlog.has_finished, backlog.look(), backlog.take_finished()
        has_finished = backlog.has_finished
        backlog.add(_CONTENT)

        assert (had_whole, has_finished) == (True, False)
        assert (seen, taken) == ([_CONTENT, _THINKING + _CONTENT], [_CONTENT])
        assert backlog.take() == [_THINKING + _CONTENT + _CONTENT]

    def test_holds_no_item_that_was_added_up(self) -> None:
        """A backlog of 200,000 chunks keeps their text and none of the chunks."""
        chunk = ChatChunk(message=Message("assistant", "word "))
        before = sys.getrefcount(chunk)
        backlog: Backlog[ChatChunk] = Backlog()

        for _ in range(200_000):
            backlog.add(chunk)

        assert sys.getrefcount(chunk) <= before + 1
        assert [len(item.message.content) for item in backlog.take()] == [1_000_000]

    @pytest.mark.parametrize(("item", "added"), [("a", True), (_DONE, True), (1, False), (None, False), (b"a", False)])
    def test_tells_what_adds_up(self, item: object, added: bool) -> None:
        """Strings and chunks add up, and nothing else does."""
        assert added is is_summable(item)


class TestQueue:
    """`Queue` keeps every item."""

    def test_keeps_every_item(self) -> None:
        """`take` returns all items once, in order."""
        queue: Queue[str] = Queue()
        queue.add("a")
        queue.add("b")

        assert queue.take() == ["a", "b"]
        assert queue.take() == []


class TestLatest:
    """`Latest` keeps the latest item."""

    def test_keeps_the_latest_item(self) -> None:
        """A later item replaces the one that waits, which is never finished."""
        latest: Latest[str | None] = Latest()
        assert not latest
        latest.add("a")
        latest.add(None)

        assert latest
        assert not latest.has_finished
        assert latest.take_finished() == []
        assert latest.take() == [None]
        assert latest.take() == []
