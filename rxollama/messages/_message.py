"""Messages: the role, the text, the images, and the tool calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from rxollama._checks import check_several, check_text, is_mapping
from rxollama._invalid_value import InvalidValueError, invalid_value, unknown_name
from rxollama._schema import Misfit, misfit_of
from rxollama.messages._image import Image, encode_images
from rxollama.messages._value import SupportsModelDump, Value, mapping_of

__all__ = ("Function", "Message", "Messages", "ToolCall", "read_messages")


class Function(Value, frozen=True, gc=False):
    """
    The function that a tool call names, and its arguments.

    Args:
        name: The name of the function. A model may name one that was never offered.
        arguments: The arguments by name, in the model's order. The value keeps a copy.
        index: The position of the call in its message. Servers repeat it, so it does not identify a call.

    Raises:
        InvalidValueError: If a field has the wrong type.

    .. versionadded:: 0.1
    """

    name: str = ""
    arguments: dict[str, Any] = {}  # noqa: RUF012 - msgspec makes a new one for each value.
    index: int | None = None

    if TYPE_CHECKING:
        # A caller may give any mapping. The field holds a dict.
        def __init__(self, name: str = "", arguments: Mapping[str, Any] = {}, index: int | None = None) -> None: ...

    def __post_init__(self) -> None:
        """Check the fields, and copy the arguments."""
        check_text("name", self.name)
        if not is_mapping(self.arguments):
            raise invalid_value("arguments", self.arguments, "a dict", show=False)
        force_setattr(self, "arguments", dict(self.arguments))


class ToolCall(Value, frozen=True, gc=False):
    """
    A call of a tool by a model, always complete.

    Args:
        function: The function and its arguments.
        id: The id that the server gave the call; empty if it gave none.

    Raises:
        InvalidValueError: If a field has the wrong type.

    .. versionadded:: 0.1
    """

    function: Function = Function()
    id: str = ""

    def __post_init__(self) -> None:
        """Check the fields."""
        if not isinstance(self.function, Function):
            raise invalid_value("function", self.function, "a Function", show=False)
        check_text("id", self.id)

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.function.name

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name."""
        return self.function.arguments


_TEXTS = ("role", "content", "thinking", "tool_name", "tool_call_id")
_NOTHING: tuple[()] = ()


class Message(Value, frozen=True, gc=False):
    """
    One message of a chat.

    Args:
        role: Who speaks: `system`, `user`, `assistant`, `tool`, or a role that only this model knows.
        content: The text.
        thinking: The thinking of an assistant before its answer.
        images: Images or audio: path objects, bytes, base64 text or `data:` URIs. The field holds base64 text.
        tool_calls: The tools that an assistant calls.
        tool_name: With the role `tool`: the name of the function that this is the result of.
        tool_call_id: With the role `tool`: the id of the call that this is the result of.

    Raises:
        InvalidValueError: If a field has the wrong type, or an image cannot be read.

    .. versionadded:: 0.1
    """

    role: str = ""
    content: str = ""
    thinking: str = ""
    images: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""

    if TYPE_CHECKING:
        # A caller may give any iterable, and images of any kind. The fields hold tuples.
        def __init__(  # noqa: PLR0917 - As the fields.
            self,
            role: str = "",
            content: str = "",
            thinking: str = "",
            images: Iterable[Image] = (),
            tool_calls: Iterable[ToolCall] = (),
            tool_name: str = "",
            tool_call_id: str = "",
        ) -> None: ...

    def __post_init__(self) -> None:
        """Check the fields, and encode the images."""
        # The decoder runs this for every chunk, so one cheap comparison decides (there is only one empty tuple).
        named = self.tool_name.__class__ is self.tool_call_id.__class__ is str
        if not (named and self.role.__class__ is self.content.__class__ is self.thinking.__class__ is str):
            for field in _TEXTS:
                force_setattr(self, field, check_text(field, getattr(self, field)))
        if self.images is not _NOTHING:
            force_setattr(self, "images", encode_images(self.images))
        if self.tool_calls is not _NOTHING:
            force_setattr(self, "tool_calls", _calls(self.tool_calls))

    @classmethod
    def system(cls, content: str) -> Message:
        """Build the message that tells the model how to behave."""
        return cls("system", content)

    @classmethod
    def user(cls, content: str, *, images: Iterable[Image] = ()) -> Message:
        """Build the message of a user, with images for a model that sees."""
        message = cls("user", content)
        force_setattr(message, "images", encode_images(images))
        return message

    @classmethod
    def assistant(cls, content: str = "", *, thinking: str = "", tool_calls: Iterable[ToolCall] = ()) -> Message:
        """Build the message of a model. As the last message of a request, it is a beginning to continue."""
        return cls("assistant", content, thinking=thinking, tool_calls=_calls(tool_calls))

    @classmethod
    def tool(cls, content: str, *, call: ToolCall | None = None, name: str = "", call_id: str = "") -> Message:
        """Build the result of a tool, for the *call* that it answers, or for a name and an id."""
        if call is not None:
            name, call_id = name or call.name, call_id or call.id
        return cls("tool", content, tool_name=name, tool_call_id=call_id)


Messages: TypeAlias = (
    "str | Message | Mapping[str, Any] | SupportsModelDump | Iterable[Message | Mapping[str, Any] | SupportsModelDump]"
)
"""
The messages of a chat, or one of them.

A str is a user's text. A message is a `Message`, a dict such as `{"role": "user", "content": "Hi"}`, or a model of
pydantic with these fields, such as `ollama.Message`.
"""

_SHAPE = "a str, a Message, a dict such as {'role': 'user', 'content': 'Hi'}, or a list of messages"
_MESSAGE = "a Message, or a dict such as {'role': 'user', 'content': 'Hi'}"
_ROLES = "'system', 'user', 'assistant', 'tool' or another role that the model knows"
_KEYS = Message.__struct_fields__
_ANY_KEY = "one of " + ", ".join(map(repr, _KEYS))
# msgspec names types as JSON does: https://jcristharif.com/msgspec/usage.html#typed-decoding.
_TYPES = {"object": "dict", "array": "list", "null": "None"}
_PHRASES = {"int | null": "an int or None"}


def read_messages(messages: Messages) -> tuple[Message, ...]:
    """
    Read the messages of a request.

    Args:
        messages: A str (which a user says), a message, or several; see `Messages`.

    Returns:
        The messages.

    Raises:
        InvalidValueError: If one is wrong, naming its place and the field. An unknown key is refused with the nearest
            known one.

    .. versionadded:: 0.1
    """
    if isinstance(messages, str):
        return (Message.user(messages),)
    if (one := _read(messages, "messages")) is not None:
        return (one,)
    read: list[Message] = []
    for place, message in enumerate(check_several("messages", messages, _SHAPE)):
        field = f"messages[{place}]"
        if (one := _read(message, field)) is None:
            raise invalid_value(field, message, _MESSAGE, show=False)
        read.append(one)
    return tuple(read)


def _read(message: object, field: str) -> Message | None:
    if isinstance(message, Message):
        found = message
    elif (fields := mapping_of(field, message)) is not None:
        found = _read_mapping(fields, field)
    else:
        return None
    if not found.role.strip():
        raise invalid_value(f"{field}.role", found.role, _ROLES)
    return found


def _read_mapping(message: Mapping[Any, Any], field: str) -> Message:
    known = {key: value for key, value in message.items() if value is not None}
    for key in known:
        if key not in _KEYS:
            raise unknown_name(field, key, _KEYS, _ANY_KEY)
    images = known.pop("images", ())
    try:
        found = msgspec.convert(known, Message)
    except msgspec.ValidationError as error:
        raise _wrong_type(field, misfit_of(error)) from None
    force_setattr(found, "images", encode_images(images, f"{field}.images"))
    return found


def _wrong_type(field: str, misfit: Misfit) -> InvalidValueError:
    # The reason names two types, never the text of the message: "Expected `str`, got `int`".
    place = field + misfit.path.removeprefix("$")
    expected, _, given = misfit.reason.removeprefix("Expected ").replace("`", "").partition(", got ")
    allowed = _PHRASES.get(expected) or f"a {_TYPES.get(expected, expected)}"
    given = _TYPES.get(given, given)
    return InvalidValueError(f"{place}: expected {allowed}, got {given}", field=place, given=given, allowed=allowed)


def _calls(calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    found: tuple[Any, ...] = check_several("tool_calls", calls)
    for call in found:
        if not isinstance(call, ToolCall):
            raise invalid_value("tool_calls", call, "a list of ToolCall values", show=False)
    return found
