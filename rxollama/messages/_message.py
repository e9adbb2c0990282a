"""Messages: what is said, by whom, and which tools it calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from rxollama._checks import check_several, is_mapping
from rxollama._invalid_value import InvalidValueError, invalid_value
from rxollama.messages._image import Image, encode_images

__all__ = ("Function", "Message", "Messages", "ToolCall", "read_messages")


class Function(msgspec.Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """
    Name the function that a model wants called, and with what.

    Args:
        name: The function's name; it may be one that was never offered.
        arguments: The arguments by name, in the model's order.
        index: The call's place among the calls of its message. Servers repeat it: it is no key.

    .. versionadded:: 0.1
    """

    name: str = ""
    arguments: dict[str, Any] = {}
    index: int | None = None


class ToolCall(msgspec.Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """
    Be one call of a tool, always whole.

    Args:
        function: The function and its arguments.
        id: The server's id of this call; empty where it gave none.

    .. versionadded:: 0.1
    """

    function: Function = Function()
    id: str = ""

    @property
    def name(self) -> str:
        """The called function's name."""
        return self.function.name

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name."""
        return self.function.arguments


_TEXTS = ("role", "content", "thinking", "tool_name", "tool_call_id")
_NOTHING: tuple[()] = ()


class Message(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, repr_omit_defaults=True):
    """
    Be one message of a chat.

    Args:
        role: Who speaks: `system`, `user`, `assistant`, `tool`, or a role of the model's own.
        content: The text.
        thinking: What an assistant thought on the way.
        images: Images or audio as path objects, bytes, base64 text or `data:` URIs; kept as base64 text.
        tool_calls: The tools that an assistant calls.
        tool_name: With role `tool`: the function whose result this is.
        tool_call_id: With role `tool`: the id of the call whose result this is.

    Raises:
        InvalidValueError: When a field has the wrong type or an image cannot be read.

    .. versionadded:: 0.1
    """

    role: str = ""
    content: str = ""
    thinking: str = ""
    images: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no message, and encode images."""
        # The decoder runs this for every chunk: one cheap look each decides (there is only one empty tuple).
        named = self.tool_name.__class__ is self.tool_call_id.__class__ is str
        if not (named and self.role.__class__ is self.content.__class__ is self.thinking.__class__ is str):
            _refuse_texts(self)
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
        """Build what a person says, with images if the model sees."""
        message = cls("user", content)
        force_setattr(message, "images", encode_images(images))
        return message

    @classmethod
    def assistant(cls, content: str = "", *, thinking: str = "", tool_calls: Iterable[ToolCall] = ()) -> Message:
        """Build what the model said; as the last message of a request it is a beginning to be continued."""
        return cls("assistant", content, thinking=thinking, tool_calls=_calls(tool_calls))

    @classmethod
    def tool(cls, content: str, *, call: ToolCall | None = None, name: str = "", call_id: str = "") -> Message:
        """Build a tool's result; give the *call* that it answers, or the name and id by hand."""
        if call is not None:
            name, call_id = name or call.name, call_id or call.id
        return cls("tool", content, tool_name=name, tool_call_id=call_id)


Messages: TypeAlias = "str | Message | Mapping[str, Any] | Iterable[Message | Mapping[str, Any]]"
"""What a chat may be given: a user's text, one message, or several, as values or as dicts in Ollama's own shape."""

_SHAPE = "a str, a Message, a dict such as {'role': 'user', 'content': 'Hi'}, or a list of messages"


def read_messages(messages: Messages) -> tuple[Message, ...]:
    """
    Read whatever a caller may give as messages.

    Args:
        messages: A text (a user says it), a message, or several.

    Returns:
        The messages.

    Raises:
        InvalidValueError: Naming the message and the field that are wrong.
    """
    if isinstance(messages, str):
        return (Message.user(messages),)
    if isinstance(messages, Message) or is_mapping(messages):
        return (_read(messages, "messages"),)
    several = check_several("messages", messages, _SHAPE)
    return tuple(_read(message, f"messages[{place}]") for place, message in enumerate(several))


def _read(message: object, field: str) -> Message:
    if isinstance(message, Message):
        found = message
    elif is_mapping(message):
        found = _read_mapping(message, field)
    else:
        raise invalid_value(field, message, _SHAPE, show=False)
    if not found.role.strip():
        raise invalid_value(
            f"{field}.role", found.role, "'system', 'user', 'assistant', 'tool' or a role of the model's own"
        )
    return found


def _read_mapping(message: Mapping[str, Any], field: str) -> Message:
    known = {key: value for key, value in message.items() if value is not None}
    images = known.pop("images", ())
    try:
        found = msgspec.convert(known, Message)
    except msgspec.ValidationError as error:
        # The reason names a place and two types, never the words of the message.
        raise InvalidValueError(f"{field}: {error}", field=field, allowed=_SHAPE) from None
    force_setattr(found, "images", encode_images(images, f"{field}.images"))
    return found


def _refuse_texts(message: Message) -> None:
    for field in _TEXTS:
        if not isinstance(value := getattr(message, field), str):
            raise invalid_value(field, value, "a str", show=False)


def _calls(calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    found = check_several("tool_calls", calls)
    for call in found:
        if not isinstance(call, ToolCall):
            raise invalid_value("tool_calls", call, "a list of ToolCall values", show=False)
    return found
