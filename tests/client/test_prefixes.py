"""The hashes of the beginnings of a conversation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import json
from strategies import messages

from rxollama.client._prefixes import prefix_hashes
from rxollama.messages import Message


@given(st.lists(messages(), max_size=5), st.lists(messages(), max_size=3))
def test_a_longer_conversation_begins_alike(first: list[Message], more: list[Message]) -> None:
    """A conversation that goes on keeps the hashes of its beginning, also in equal messages that were read again."""
    read = json.decode(json.encode(first), type=list[Message])

    assert prefix_hashes(first) == prefix_hashes([*read, *more])[: len(first)]


def test_another_text_is_another_beginning() -> None:
    """A message that differs changes its hash, and every one after it."""
    one, other = (prefix_hashes([Message.user(text), Message.user("And?")]) for text in ("Hello", "Hallo"))

    assert set() == {*one} & {*other}
