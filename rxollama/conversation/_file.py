"""The file of a saved conversation: JSON lines, a header and then one message per line."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, cast

import msgspec

from rxollama._invalid_value import InvalidValueError, invalid_value
from rxollama._runtime import replace_file
from rxollama.conversation._turn import Turn
from rxollama.messages import ChatOptions, ChatRequest, Message, Metrics, read_messages

__all__ = ("SavedConversation", "read", "write")

_NO_METRICS = Metrics()
_WRITABLE = "values that JSON can hold, with valid Unicode text"
_WHOLE_FILE = "a file that save() wrote"
_PATH = "the path of a file, as a str or a PathLike of str"


class SavedConversation(msgspec.Struct, frozen=True):
    """
    The content of a file.

    Args:
        model: The model's name.
        system: The system prompt.
        options: The options of every request.
        turns: The history.
    """

    model: str
    system: str
    options: ChatOptions
    turns: tuple[Turn, ...]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line. The number of messages shows whether the file is whole."""

    rxollama: Literal["conversation"]
    version: Literal[1]
    model: str
    system: str
    options: dict[str, Any]
    messages: int


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Any other line. Only the first line of a turn has its `done` and `metrics`."""

    turn: int
    message: dict[str, Any]
    done: bool = True
    metrics: Metrics = _NO_METRICS


# A turn that is being read: its first line and its messages.
_OpenTurn: TypeAlias = tuple[_Line, list[Message]]

_decode_header = msgspec.json.Decoder(_Header).decode
_decode_line = msgspec.json.Decoder(_Line).decode


def write(path: str | PathLike[str], saved: SavedConversation) -> None:
    """
    Write a conversation to a file.

    A regular file is replaced as a whole. A pipe or a device is written to.

    Args:
        path: The file.
        saved: The conversation.

    Raises:
        InvalidValueError: If the path cannot name a file, or something cannot be written as JSON.
        OSError: If the file cannot be written.
    """
    content = b"".join(_lines(saved))
    given = _path_of(path)
    try:
        is_file = stat.S_ISREG(given.stat().st_mode)
    except FileNotFoundError:
        is_file = True
    except ValueError:
        raise invalid_value("path", path, _PATH) from None
    if is_file:
        # The file that a link leads to is replaced, not the link.
        replace_file(Path(os.path.realpath(given)), content)
    else:
        given.write_bytes(content)


def _path_of(path: object) -> Path:
    try:
        return Path(cast("str", path))
    except TypeError:
        raise invalid_value("path", path, _PATH) from None


def _lines(saved: SavedConversation) -> Iterator[bytes]:
    count = sum(len(turn.messages) for turn in saved.turns)
    yield _json(_Header("conversation", 1, saved.model, saved.system, {**saved.options}, count), "the header")
    for number, turn in enumerate(saved.turns, 1):
        facts: dict[str, Any] = {"done": turn.done}
        if turn.metrics != _NO_METRICS:
            facts["metrics"] = turn.metrics
        for message in turn.messages:
            yield _json({"turn": number, "message": message, **facts}, f"turns[{number - 1}]")
            facts = {}


def _json(line: object, field: str) -> bytes:
    try:
        return msgspec.json.encode(line) + b"\n"
    except (TypeError, ValueError, RecursionError):
        # The reason is not shown, because it may hold the text. It usually is a lone surrogate.
        message = f"{field}: expected {_WRITABLE}"
        raise InvalidValueError(message, field=field, allowed=_WRITABLE) from None


def read(path: str | PathLike[str]) -> SavedConversation:
    """
    Read a conversation from a file.

    Args:
        path: The file.

    Returns:
        The conversation.

    Raises:
        InvalidValueError: If the path cannot name a file. If the file is broken; the error names the file and the line.
        OSError: If the file cannot be read.
    """
    given = _path_of(path)
    try:
        content = given.read_bytes()
    except ValueError:
        raise invalid_value("path", path, _PATH) from None
    first, *lines = content.removesuffix(b"\n").split(b"\n")
    turns: list[_OpenTurn] = []
    number = 1
    try:
        header = _read_header(first)
        for line in lines:
            number += 1
            _add(turns, _decode_line(line))
        if len(lines) != header.messages:
            _fail(f"expected {header.messages} messages in the file, got {len(lines)}")
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        message = f"{os.fspath(path)}, line {number}: {error}"
        raise InvalidValueError(message, field=f"line {number}", allowed=_WHOLE_FILE) from None
    read_turns = tuple(Turn(tuple(messages), line.done, line.metrics) for line, messages in turns)
    return SavedConversation(header.model, header.system, cast("ChatOptions", header.options), read_turns)


def _read_header(line: bytes) -> _Header:
    header = _decode_header(line)
    if unknown := header.options.keys() - ChatOptions.__annotations__.keys():
        _fail(f"unknown options: {', '.join(sorted(unknown))}")
    ChatRequest(model=header.model, messages=(), **cast("ChatOptions", header.options))
    return header


def _add(turns: list[_OpenTurn], line: _Line) -> None:
    """Add a message to the last turn, or begin the next turn with it."""
    if unknown := line.message.keys() - set(Message.__struct_fields__):
        _fail(f"unknown fields of a message: {', '.join(sorted(unknown))}")
    [message] = read_messages(line.message)
    if line.turn == len(turns) + 1:
        turns.append((line, [message]))
        return
    if line.turn != len(turns) or not turns:
        _fail(f"turn {line.turn} after turn {len(turns)}")
    if not line.done or line.metrics != _NO_METRICS:
        _fail("done and metrics belong on the first line of a turn")
    turns[-1][1].append(message)


def _fail(reason: str) -> NoReturn:
    raise ValueError(reason)
