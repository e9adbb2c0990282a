"""Messages, and how they are read from whatever a caller has."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from strategies import messages, tool_calls

from rxollama._invalid_value import InvalidValueError
from rxollama.messages import Function, Message, ToolCall
from rxollama.messages._message import read_messages

_SECRET = "what nobody else shall read"  # noqa: S105 - It stands for a prompt.
_CALL = ToolCall(Function("get_time", {"city": "Oslo"}, 0), "call_1")


class _Text(str):
    """A text of a caller's own class."""

    __slots__ = ()


class TestMessage:
    """`Message` holds one message, checked."""

    def test_builds_what_each_speaker_says(self) -> None:
        """Each builder sets its role."""
        assert Message("system", "Be brief.") == Message.system("Be brief.")
        assert Message("user", "Hi") == Message.user("Hi")
        assert Message("user", "Hi", images=("aGk=",)) == Message.user("Hi", images=[b"hi"])
        assert Message("assistant", "Yes", "Hm", tool_calls=(_CALL,)) == Message.assistant(
            "Yes", thinking="Hm", tool_calls=[_CALL]
        )
        assert Message("tool", "12:00", tool_name="a", tool_call_id="b") == Message.tool("12:00", name="a", call_id="b")

    def test_answers_a_call(self) -> None:
        """A tool's result takes name and id from the call; what is given by hand comes first."""
        expected = Message("tool", "12:00", tool_name="get_time", tool_call_id="call_1")

        assert expected == Message.tool("12:00", call=_CALL)
        assert msgspec.structs.replace(expected, tool_name="clock") == Message.tool("12:00", call=_CALL, name="clock")

    def test_keeps_lists_as_tuples(self, tmp_path: Path) -> None:
        """Images and calls may come in any iterable, and images as anything."""
        (tmp_path / "picture").write_bytes(b"hi")
        several: Any = [tmp_path / "picture", b"hi", "data:;base64,aGk="]
        calls: Any = [_CALL]
        empty: Any = []

        message = Message("user", images=several, tool_calls=calls)

        assert message.images == ("aGk=", "aGk=", "aGk=")
        assert message.tool_calls == (_CALL,)
        assert Message("user") == Message("user", images=empty, tool_calls=empty)

    def test_takes_texts_of_any_class(self) -> None:
        """A text of a caller's own class is a text."""
        assert Message("user", "Hi") == Message(_Text("user"), _Text("Hi"))

    @pytest.mark.parametrize("wrong", [None, 1, b"bytes", ["Hi"]])
    @pytest.mark.parametrize("field", ["role", "content", "thinking", "tool_name", "tool_call_id"])
    def test_refuses_what_is_no_text(self, field: str, wrong: object) -> None:
        """Every text has to be one."""
        values: dict[str, Any] = {field: wrong}

        with pytest.raises(InvalidValueError) as caught:
            Message(**values)

        error = caught.value
        given = "None" if wrong is None else type(wrong).__name__
        assert (field, given, "a str") == (error.field, error.given, error.allowed)

    @pytest.mark.parametrize("wrong", [None, 1, "text", b"bytes", {}, [{}], ["call"]])
    def test_refuses_what_are_no_calls(self, wrong: Any) -> None:
        """Tool calls are ToolCall values, several of them."""
        with pytest.raises(InvalidValueError) as caught:
            Message.assistant(tool_calls=wrong)

        assert caught.value.field == "tool_calls"

        with pytest.raises(InvalidValueError):
            Message("assistant", tool_calls=wrong)

    @given(messages())
    def test_is_a_value(self, message: Message) -> None:
        """A message is equal to its copies and to what JSON makes of it."""
        assert message == copy.deepcopy(message)
        assert message == copy.copy(message)
        assert message == pickle.loads(pickle.dumps(message))  # noqa: S301 - Our own bytes.
        assert message == msgspec.json.decode(msgspec.json.encode(message), type=Message)

    def test_cannot_be_changed(self) -> None:
        """A message stays what it said."""
        message = Message.user("Hi")

        with pytest.raises(AttributeError):
            message.content = "Bye"  # type: ignore[misc] # That is the point.

        assert message.content == "Hi"

    def test_is_checked_when_a_server_sends_it(self) -> None:
        """An image in a server's reply is never read as a path."""
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(b'{"images": ["/etc/hostname"]}', type=Message)


class TestToolCall:
    """`ToolCall` names what a model wants called."""

    def test_has_shortcuts(self) -> None:
        """Name and arguments are read from the call itself."""
        assert (_CALL.name, _CALL.arguments) == ("get_time", {"city": "Oslo"})

    @given(tool_calls())
    def test_is_a_value(self, call: ToolCall) -> None:
        """A call is equal to its copies and to what JSON makes of it, whatever its arguments are."""
        assert call == copy.deepcopy(call)
        assert call == pickle.loads(pickle.dumps(call))  # noqa: S301 - Our own bytes.
        assert call == msgspec.json.decode(msgspec.json.encode(call), type=ToolCall)
        assert list(call.arguments) == list(msgspec.json.decode(msgspec.json.encode(call.arguments)))

    def test_shares_no_arguments(self) -> None:
        """Two calls never share the dict that neither was given."""
        assert Function("a").arguments is not Function("a").arguments


class TestReadMessages:
    """`read_messages()` takes whatever a chat may be given."""

    @pytest.mark.parametrize(
        ("given_", "read"),
        [
            ("Hi", [Message.user("Hi")]),
            (Message.system("Hi"), [Message.system("Hi")]),
            ({"role": "user", "content": "Hi"}, [Message.user("Hi")]),
            (MappingProxyType({"role": "user", "content": "Hi"}), [Message.user("Hi")]),
            ([], []),
            ((), []),
            ([Message.system("Hi"), {"role": "user"}], [Message.system("Hi"), Message("user")]),
            ({"role": "user", "content": None, "images": None, "tool_calls": None}, [Message("user")]),
            ({"role": "user", "images": [b"hi"]}, [Message("user", images=("aGk=",))]),
            ({"role": "user", "of_tomorrow": 1}, [Message("user")]),
            ({"role": "assistant", "tool_calls": [_CALL]}, [Message.assistant(tool_calls=[_CALL])]),
            (
                {"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": {"b": 1}}}]},
                [Message.assistant(tool_calls=[ToolCall(Function("a", {"b": 1}))])],
            ),
        ],
    )
    def test_takes_every_shape(self, given_: Any, read: list[Message]) -> None:
        """A text, a message, a dict and any number of the latter two are read."""
        assert tuple(read) == read_messages(given_)

    def test_takes_a_generator(self) -> None:
        """Messages may be made on the way."""
        assert (Message.user("a"), Message.user("b")) == read_messages(Message.user(text) for text in "ab")

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            (None, "messages"),
            (1, "messages"),
            (b"", "messages"),
            (b"Hi", "messages"),
            (["Hi"], "messages[0]"),
            ([Message.user("Hi"), 1], "messages[1]"),
            ({}, "messages.role"),
            (Message("  "), "messages.role"),
            ([{"content": "Hi"}], "messages[0].role"),
            ([{"role": 1}], "messages[0]"),
            ([{"role": "user", "content": ["Hi"]}], "messages[0]"),
            ([{1: "user"}], "messages[0]"),
            ([{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}], "messages[0]"),
            ([{"role": "user", "images": "photo.jpeg"}], "messages[0].images"),
            ([{"role": "user", "images": ["photo.jpeg"]}], "messages[0].images"),
            ([{"role": "user", "images": 0}], "messages[0].images"),
            ([{"role": "user", "images": [Path("/nowhere/at/all.png")]}], "messages[0].images"),
        ],
    )
    def test_refuses_with_the_place(self, wrong: Any, field: str) -> None:
        """What is wrong is named by its place among the messages."""
        with pytest.raises(InvalidValueError) as caught:
            read_messages(wrong)

        assert field == caught.value.field
        assert str(caught.value).startswith(field)
        assert caught.value.allowed


class TestPrivacy:
    """What people write never appears in an error."""

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda: Message("user", [_SECRET]),  # type: ignore[arg-type] # That is the point.
            lambda: Message("user", images=[_SECRET]),  # type: ignore[arg-type] # As above.
            lambda: Message("user", images=_SECRET),  # type: ignore[arg-type] # As above.
            lambda: Message("user", images=[{"content": _SECRET}]),  # type: ignore[arg-type] # As above.
            lambda: Message("user", images=["data:" + _SECRET]),  # type: ignore[arg-type] # As above.
            lambda: Message("assistant", tool_calls=[_SECRET]),  # type: ignore[arg-type] # As above.
            lambda: read_messages([_SECRET]),  # type: ignore[list-item] # As above.
            lambda: read_messages(_SECRET.encode()),  # type: ignore[arg-type] # As above.
            lambda: read_messages([[_SECRET]]),  # type: ignore[list-item] # As above.
            lambda: read_messages({"content": _SECRET}),
            lambda: read_messages({"role": "user", "content": [_SECRET]}),
            lambda: read_messages({"role": "user", "content": {"text": _SECRET}}),
            lambda: read_messages({"role": "user", "content": _SECRET, "thinking": 1}),
            lambda: read_messages({"role": "user", "tool_calls": _SECRET}),
            lambda: read_messages({"role": "user", "tool_calls": [{"function": {"arguments": _SECRET}}]}),
            lambda: read_messages({"role": "user", "images": [_SECRET]}),
            lambda: read_messages({"role": "user", "images": _SECRET}),
        ],
    )
    def test_shows_no_words(self, wrong: Callable[[], object]) -> None:
        """Neither the message nor the traceback nor the fields of the error repeat them."""
        with pytest.raises(InvalidValueError) as caught:
            wrong()

        error = caught.value
        told = "".join(traceback.format_exception(error)) + repr(vars(error)) + repr(error)
        assert _SECRET not in told
