"""Messages, and their reading from everything that a caller may give."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import ollama
import pytest
from hypothesis import given
from strategies import messages, tool_calls

from rxollama._invalid_value import InvalidValueError
from rxollama.messages import Function, Message, ToolCall
from rxollama.messages._message import read_messages

_SECRET = "what nobody else shall read"  # noqa: S105 - It stands for a prompt.
_CALL = ToolCall(Function("get_time", {"city": "Oslo"}, 0), "call_1")


class _Text(str):
    """A subclass of str."""

    __slots__ = ()


class TestMessage:
    """`Message` checks its fields."""

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
        """The result of a tool has the name and id of the call, unless others are given."""
        expected = Message("tool", "12:00", tool_name="get_time", tool_call_id="call_1")

        assert expected == Message.tool("12:00", call=_CALL)
        assert msgspec.structs.replace(expected, tool_name="clock") == Message.tool("12:00", call=_CALL, name="clock")

    def test_keeps_lists_as_tuples(self, tmp_path: Path) -> None:
        """Images and calls may be in any iterable, and images of any kind."""
        (tmp_path / "picture").write_bytes(b"hi")
        several: Any = [tmp_path / "picture", b"hi", "data:;base64,aGk="]
        calls: Any = [_CALL]
        empty: Any = []

        message = Message("user", images=several, tool_calls=calls)

        assert message.images == ("aGk=", "aGk=", "aGk=")
        assert message.tool_calls == (_CALL,)
        assert Message("user") == Message("user", images=empty, tool_calls=empty)

    def test_takes_texts_of_any_class(self) -> None:
        """A subclass of str is a str."""
        assert Message("user", "Hi") == Message(_Text("user"), _Text("Hi"))

    @pytest.mark.parametrize("wrong", [None, 1, b"bytes", ["Hi"]])
    @pytest.mark.parametrize("field", ["role", "content", "thinking", "tool_name", "tool_call_id"])
    def test_refuses_what_is_no_text(self, field: str, wrong: object) -> None:
        """Every text field must be a str."""
        values: dict[str, Any] = {field: wrong}

        with pytest.raises(InvalidValueError) as caught:
            Message(**values)

        error = caught.value
        given = "None" if wrong is None else type(wrong).__name__
        assert (field, given, "a str") == (error.field, error.given, error.allowed)

    @pytest.mark.parametrize("wrong", [None, 1, "text", b"bytes", {}, [{}], ["call"]])
    def test_refuses_what_are_no_calls(self, wrong: Any) -> None:
        """Tool calls must be several ToolCall values."""
        with pytest.raises(InvalidValueError) as caught:
            Message.assistant(tool_calls=wrong)

        assert caught.value.field == "tool_calls"

        with pytest.raises(InvalidValueError):
            Message("assistant", tool_calls=wrong)

    @given(messages())
    def test_is_a_value(self, message: Message) -> None:
        """A message equals its copies, and survives JSON."""
        assert message == copy.deepcopy(message)
        assert message == copy.copy(message)
        assert message == pickle.loads(pickle.dumps(message))  # noqa: S301 - Our own bytes.
        assert message == msgspec.json.decode(msgspec.json.encode(message), type=Message)

    def test_cannot_be_changed(self) -> None:
        """The fields of a message cannot be set."""
        message = Message.user("Hi")

        with pytest.raises(AttributeError):
            message.content = "Bye"  # type: ignore[misc] # That is the point.

        assert message.content == "Hi"

    def test_is_checked_when_a_server_sends_it(self) -> None:
        """An image in a server's reply is not a path."""
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(b'{"images": ["/etc/hostname"]}', type=Message)


class TestToolCall:
    """`ToolCall` and `Function` hold a call."""

    def test_has_shortcuts(self) -> None:
        """The name and the arguments can be read from the call itself."""
        assert (_CALL.name, _CALL.arguments) == ("get_time", {"city": "Oslo"})

    @given(tool_calls())
    def test_is_a_value(self, call: ToolCall) -> None:
        """A call equals its copies, and survives JSON with any arguments."""
        assert call == copy.deepcopy(call)
        assert call == pickle.loads(pickle.dumps(call))  # noqa: S301 - Our own bytes.
        assert call == msgspec.json.decode(msgspec.json.encode(call), type=ToolCall)
        assert list(call.arguments) == list(msgspec.json.decode(msgspec.json.encode(call.arguments)))

    def test_shares_no_arguments(self) -> None:
        """Two functions never share a dict, and none shares the caller's."""
        arguments = {"city": "Oslo"}
        function = Function("get_time", MappingProxyType(arguments))
        arguments["city"] = "Bergen"

        assert function.arguments == {"city": "Oslo"}
        assert Function("a").arguments is not Function("a").arguments

    @pytest.mark.parametrize(
        ("build", "field", "allowed"),
        [
            (Function, "name", "a str"),
            (partial(Function, "a"), "arguments", "a dict"),
            (ToolCall, "function", "a Function"),
            (partial(ToolCall, Function("a")), "id", "a str"),
        ],
    )
    def test_checks_its_fields(self, build: Callable[[Any], object], field: str, allowed: str) -> None:
        """The fields must have their types, and an error does not show them."""
        with pytest.raises(InvalidValueError) as caught:
            build([_SECRET])

        assert (caught.value.field, caught.value.allowed) == (field, allowed)
        assert _SECRET not in str(caught.value)


class TestReadMessages:
    """`read_messages()` reads everything that a chat accepts."""

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
            ({"role": "assistant", "tool_calls": [_CALL]}, [Message.assistant(tool_calls=[_CALL])]),
            (
                {"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": {"b": 1}}}]},
                [Message.assistant(tool_calls=[ToolCall(Function("a", {"b": 1}))])],
            ),
        ],
    )
    def test_takes_every_shape(self, given_: Any, read: list[Message]) -> None:
        """A str, a message, a dict, and several messages or dicts are read."""
        assert tuple(read) == read_messages(given_)

    def test_takes_a_generator(self) -> None:
        """A generator of messages is read."""
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
            ([{"role": 1}], "messages[0].role"),
            ([{"role": "user", "content": ["Hi"]}], "messages[0].content"),
            ([{1: "user"}], "messages[0]"),
            (
                [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}],
                "messages[0].tool_calls[0].function.arguments",
            ),
            ([{"role": "assistant", "tool_calls": ["call"]}], "messages[0].tool_calls[0]"),
            ([{"role": "assistant", "tool_calls": 1}], "messages[0].tool_calls"),
            (
                [{"role": "assistant", "tool_calls": [{"function": {"arguments": {1: 1}}}]}],
                "messages[0].tool_calls[0].function.arguments",
            ),
            ([{"role": "user", "text": "Hi"}], "messages[0].text"),
            ([{"role": "user", "images": "photo.jpeg"}], "messages[0].images"),
            ([{"role": "user", "images": ["photo.jpeg"]}], "messages[0].images"),
            ([{"role": "user", "images": 0}], "messages[0].images"),
            ([{"role": "user", "images": [Path("/nowhere/at/all.png")]}], "messages[0].images"),
        ],
    )
    def test_refuses_with_the_place(self, wrong: Any, field: str) -> None:
        """The error names the place of the wrong message."""
        with pytest.raises(InvalidValueError) as caught:
            read_messages(wrong)

        assert field == caught.value.field
        assert str(caught.value).startswith(field)
        assert caught.value.allowed

    @pytest.mark.parametrize(
        ("message", "error"),
        [
            ({"role": "user", "content": 1}, "messages.content: expected a str, got int"),
            ({"role": "user", "content": ["Hi"]}, "messages.content: expected a str, got list"),
            (
                {"role": "assistant", "tool_calls": [{"function": {"name": "a", "index": "0"}}]},
                "messages.tool_calls[0].function.index: expected an int or None, got str",
            ),
            (
                {"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]},
                "messages.tool_calls[0].function.arguments: expected a dict, got str",
            ),
        ],
    )
    def test_names_types_as_python_does(self, message: Any, error: str) -> None:
        """The error says where, what was expected and what was given."""
        with pytest.raises(InvalidValueError) as caught:
            read_messages(message)

        assert str(caught.value) == error

    @pytest.mark.parametrize(
        ("key", "near"),
        [("text", "content"), ("contents", "content"), ("image", "images"), ("tool_call", "tool_calls"), ("x", "")],
    )
    def test_names_the_nearest_key(self, key: str, near: str) -> None:
        """An unknown key is refused with the known ones, and with the nearest of them."""
        with pytest.raises(InvalidValueError) as caught:
            read_messages([{"role": "user", key: _SECRET}])

        error = str(caught.value)
        assert error.startswith(f"messages[0].{key}: expected one of 'role', 'content', ")
        assert error.endswith(f"got {key!r}" + (f": did you mean {near!r}?" if near else ""))
        assert _SECRET not in error


class _Dumped:
    """An object with the one method of pydantic's models that is called."""

    def __init__(self, fields: Any) -> None:
        self.fields = fields

    def model_dump(self, *, exclude_none: bool = False) -> Any:
        """Return the fields."""
        assert exclude_none
        return self.fields


class TestForeignMessages:
    """Messages of the official client, and models of pydantic with the same fields."""

    def test_reads_messages_of_the_official_client(self) -> None:
        """Texts, images and tool calls are read."""
        function = ollama.Message.ToolCall.Function(name="get_time", arguments={"city": "Oslo"})
        asked = ollama.Message(role="user", content="Hi", images=[ollama.Image(value=b"hi")])
        called = ollama.Message(
            role="assistant", thinking="Hm", tool_calls=[ollama.Message.ToolCall(function=function)]
        )

        assert read_messages([asked, called, {"role": "tool", "content": "12:00"}]) == (
            Message.user("Hi", images=[b"hi"]),
            Message.assistant(thinking="Hm", tool_calls=[ToolCall(Function("get_time", {"city": "Oslo"}))]),
            Message.tool("12:00"),
        )

    def test_reads_one_message(self) -> None:
        """A model is one message, although pydantic makes it iterable."""
        assert read_messages(ollama.Message(role="user", content="Hi")) == (Message.user("Hi"),)

    def test_refuses_other_models(self) -> None:
        """The fields of a model are checked like those of a dict."""
        with pytest.raises(InvalidValueError, match=r"^messages.temperature: expected one of 'role', .*") as caught:
            read_messages(ollama.Options(temperature=1.0))

        assert caught.value.given == "'temperature'"

    @pytest.mark.parametrize("wrong", [ollama.Message, _Dumped(None), _Dumped([])])
    def test_refuses_what_has_no_fields(self, wrong: Any) -> None:
        """A class is not a message, and neither is a model without a dict."""
        with pytest.raises(InvalidValueError, match=r"^messages\[0\]: expected a Message, or a dict"):
            read_messages([wrong])

    def test_refuses_models_that_cannot_be_dumped(self) -> None:
        """The error of the model is part of the message."""
        image = ollama.Image(value="nowhere.png")

        with pytest.raises(InvalidValueError, match=r"^messages: expected a model .*nowhere.png does not exist"):
            read_messages(ollama.Message(role="user", images=[image]))


class TestPrivacy:
    """The text of a message never appears in an error."""

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda: Message("user", [_SECRET]),  # type: ignore[arg-type] # That is the point.
            lambda: Message("user", images=[_SECRET]),
            lambda: Message("user", images=_SECRET),
            lambda: Message("user", images=[{"content": _SECRET}]),  # type: ignore[list-item] # As above.
            lambda: Message("user", images=["data:" + _SECRET]),
            lambda: Message("assistant", tool_calls=[_SECRET]),  # type: ignore[list-item] # As above.
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
        """Neither the message nor the traceback nor the fields of the error show it."""
        with pytest.raises(InvalidValueError) as caught:
            wrong()

        error = caught.value
        told = "".join(traceback.format_exception(error)) + repr(vars(error)) + repr(error)
        assert _SECRET not in told
