"""A conversation in a file: JSON lines, a header and then one message each."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, cast

import msgspec

from rxollama._invalid_value import InvalidValueError
from rxollama.conversation._turn import Turn
from rxollama.messages import ChatOptions, ChatRequest, Message, Metrics, read_messages

__all__ = ("Saved", "read", "write")

_NO_METRICS = Metrics()
_WRITABLE = "values that JSON can hold, with valid Unicode text"
_WHOLE = "a file as save() writes it"


class Saved(msgspec.Struct, frozen=True):
    """
    Hold what is saved of a conversation.

    Args:
        model: The model's name.
        system: The system prompt.
        options: What else is sent with every request.
        turns: The history.
    """

    model: str
    system: str
    options: ChatOptions
    turns: tuple[Turn, ...]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Be the first line; by the number of messages a file is known to be whole."""

    rxollama: Literal["conversation"]
    version: Literal[1]
    model: str
    system: str
    options: dict[str, Any]
    messages: int


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Be any other line; what is known of a turn stands on its first."""

    turn: int
    message: dict[str, Any]
    done: bool = True
    metrics: Metrics = _NO_METRICS


# A turn that is being read: its first line, and its messages.
_Begun: TypeAlias = tuple[_Line, list[Message]]

_decode_header = msgspec.json.Decoder(_Header).decode
_decode_line = msgspec.json.Decoder(_Line).decode


def write(path: str | PathLike[str], saved: Saved) -> None:
    """
    Write a file, or replace it as a whole; what is no file, such as a pipe, is written to.

    Args:
        path: The file.
        saved: What to write.

    Raises:
        InvalidValueError: When something cannot be written as JSON.
        OSError: When the file cannot be written.
    """
    text = b"".join(_lines(saved))
    # What a link leads to is replaced, not the link.
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        # A folder says by itself that it is none.
        target.write_bytes(text)
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        with suppress(FileNotFoundError):
            shutil.copymode(target, name)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _lines(saved: Saved) -> Iterator[bytes]:
    count = sum(len(turn.messages) for turn in saved.turns)
    yield _json(_Header("conversation", 1, saved.model, saved.system, {**saved.options}, count), "the header")
    for number, turn in enumerate(saved.turns, 1):
        known: dict[str, Any] = {"done": turn.done}
        if turn.metrics != _NO_METRICS:
            known["metrics"] = turn.metrics
        for message in turn.messages:
            yield _json({"turn": number, "message": message, **known}, f"turns[{number - 1}]")
            known = {}


def _json(line: object, field: str) -> bytes:
    try:
        return msgspec.json.encode(line) + b"\n"
    except (TypeError, ValueError, RecursionError):
        # The reason is not shown, since it may hold the text: half a surrogate pair is the usual one.
        message = f"{field}: expected {_WRITABLE}"
        raise InvalidValueError(message, field=field, allowed=_WRITABLE) from None


def read(path: str | PathLike[str]) -> Saved:
    """
    Read a file.

    Args:
        path: The file.

    Returns:
        What was saved.

    Raises:
        InvalidValueError: When it is broken, naming the file and the line.
        OSError: When it cannot be read.
    """
    first, *lines = Path(path).read_bytes().removesuffix(b"\n").split(b"\n")
    turns: list[_Begun] = []
    number = 1
    try:
        header = _read_header(first)
        for line in lines:
            number += 1
            _add(turns, _decode_line(line))
        if len(lines) != header.messages:
            _fail(f"the file ends with {len(lines)} messages, and should have {header.messages}")
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        message = f"{os.fspath(path)}, line {number}: {error}"
        raise InvalidValueError(message, field=f"line {number}", allowed=_WHOLE) from None
    read_turns = tuple(Turn(tuple(messages), known.done, known.metrics) for known, messages in turns)
    return Saved(header.model, header.system, cast("ChatOptions", header.options), read_turns)


def _read_header(line: bytes) -> _Header:
    header = _decode_header(line)
    if unknown := header.options.keys() - ChatOptions.__annotations__.keys():
        _fail(f"unknown options: {', '.join(sorted(unknown))}")
    ChatRequest(model=header.model, messages=(), **cast("ChatOptions", header.options))
    return header


def _add(turns: list[_Begun], line: _Line) -> None:
    """Add a message to the last turn, or begin the next with it."""
    if unknown := line.message.keys() - set(Message.__struct_fields__):
        _fail(f"unknown parts of a message: {', '.join(sorted(unknown))}")
    [message] = read_messages(line.message)
    if line.turn == len(turns) + 1:
        turns.append((line, [message]))
        return
    if line.turn != len(turns) or not turns:
        _fail(f"turn {line.turn} after turn {len(turns)}")
    if not line.done or line.metrics != _NO_METRICS:
        _fail("what is known of a turn stands on its first line")
    turns[-1][1].append(message)


def _fail(reason: str) -> NoReturn:
    raise ValueError(reason)
