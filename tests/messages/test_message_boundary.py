"""The one rule of where a message of a stream begins."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import chunks

from rxollama.messages import ChatChunk, Message, MessageBoundary, ResponseBuilder, Restart, ToolCall

_EMPTY = ChatChunk()
_PROGRESS = ChatChunk(message=Message.tool("", name="a", call_id="1"), tool_progress="half")


def _chunk(role: str, content: str = "", *, name: str = "", call_id: str = "") -> ChatChunk:
    return ChatChunk(message=Message(role, content, tool_name=name, tool_call_id=call_id))


class TestMessageBoundary:
    """`MessageBoundary` follows the current message, and finds the chunks that begin another."""

    @pytest.mark.parametrize(
        ("first", "second", "changes"),
        [
            (_chunk("assistant", "a"), _chunk("assistant", "b"), False),
            (_chunk("assistant", "a"), _chunk("", "b"), False),
            (_chunk("assistant"), _chunk("tool"), True),
            (_chunk("tool", "a"), _chunk("assistant"), True),
            (_chunk("", "a"), _chunk("assistant", "b"), False),
            (_chunk("", "a"), _chunk("tool", "b"), True),
            (ChatChunk(message=Message(tool_calls=(ToolCall(),))), _chunk("tool", "b"), True),
            (_chunk(""), _chunk("tool", "b"), False),
            (_chunk("tool", "a", call_id="1"), _chunk("tool", "b", call_id="1"), False),
            (_chunk("tool", "a", call_id="1"), _chunk("tool", "b", call_id="2"), True),
            (_chunk("tool", "a", name="x"), _chunk("tool", "b", name="y"), True),
            (_chunk("tool", "a", name="x"), _chunk("", "b"), False),
            (_chunk("tool", "a", name="x"), _chunk("tool", "b", call_id="1"), False),
            (_chunk("assistant", "a"), _PROGRESS, False),
        ],
    )
    def test_finds_the_next_message(self, first: ChatChunk, second: ChatChunk, changes: bool) -> None:
        """Another role begins a message, and so does the result of another call."""
        boundary = MessageBoundary()

        assert not boundary.changes(first)
        assert changes is boundary.changes(second)

    def test_names_the_role_of_the_message(self) -> None:
        """The role stays until another message begins, or the message is done."""
        boundary = MessageBoundary()
        roles: list[str] = []
        for chunk in (_EMPTY, _chunk("assistant", "a"), _chunk("", "b"), _PROGRESS, _chunk("tool", "c")):
            boundary.changes(chunk)
            roles.append(boundary.role)
        boundary.restart()

        assert roles == ["", "assistant", "assistant", "assistant", "tool"]
        assert boundary.role == ""

    def test_restarts_without_the_message_before(self) -> None:
        """After a restart any role belongs to the new message."""
        boundary = MessageBoundary()
        boundary.changes(_chunk("tool", "a", name="x", call_id="1"))
        boundary.restart()

        assert not boundary.changes(_chunk("", "b"))
        assert not boundary.changes(_chunk("assistant", "c"))

    @pytest.mark.parametrize("first", [_EMPTY, _chunk("assistant", "a"), _chunk("tool", "a"), _chunk("", "a")])
    @pytest.mark.parametrize("second", [_chunk("assistant", "b"), _chunk("", "b"), _PROGRESS])
    @pytest.mark.parametrize("scope", ["answer", "message"])
    def test_begins_a_message_with_a_restart(
        self, first: ChatChunk, second: ChatChunk, scope: Literal["answer", "message"]
    ) -> None:
        """A restart begins a message with the role of its own chunk, and so of the answer alone that comes then."""
        boundary, fresh = MessageBoundary(), MessageBoundary()
        boundary.changes(first)
        fresh.changes(second)

        assert boundary.changes(replace(second, restart=Restart(scope=scope)))
        assert boundary.role == fresh.role
        assert boundary.changes(_chunk("tool", "c")) is fresh.changes(_chunk("tool", "c"))

    @given(st.lists(chunks(restarts=False), max_size=8))
    def test_is_the_rule_of_the_response(self, items: list[ChatChunk]) -> None:
        """A response has as many messages as the boundary finds."""
        items = [item for item in items if item != _EMPTY]
        boundary, builder = MessageBoundary(), ResponseBuilder()
        found, is_done = 1, False
        for item in items:
            builder.add(item)
            if is_done:
                boundary.restart()
            found += boundary.changes(item) or is_done
            is_done = item.done

        assert found == len(builder.snapshot().messages)
