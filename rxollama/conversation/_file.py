"""The file of a saved conversation: JSON lines, a header and then one message per line."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, cast

import msgspec

from rxollama._invalid_value import InvalidValueError, invalid_value
from rxollama.conversation._turn import Turn
from rxollama.messages import ChatOptions, ChatRequest, Message, Metrics, read_messages

__all__ = ("SavedConversation", "read", "write")

_NO_METRICS = Metrics()
_WRITABLE = "values that JSON can hold, with valid Unicode text"
_WHOLE_FILE = "a file that save() wrote"
_PATH = "the path of a file, as a str or a PathLike of str"

_TEMPORARY = ".tmp"
# An hour. See `_remove_stale`.
_STALE_SECONDS = 3600.0


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
        _replace(Path(os.path.realpath(given)), content)
    else:
        given.write_bytes(content)


def _path_of(path: object) -> Path:
    try:
        return Path(cast("str", path))
    except TypeError:
        raise invalid_value("path", path, _PATH) from None


def _replace(target: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=_TEMPORARY, dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
            now = os.fstat(descriptor).st_mtime
        with suppress(FileNotFoundError):
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The file is saved. A stale one that cannot be removed is not a reason to fail.
    with suppress(OSError):
        _remove_stale(target, now)


def _remove_stale(target: Path, now: float) -> None:
    """
    Remove the temporary files that killed processes left beside a target.

    The law: a temporary file of this very target is stale if it was last written an hour before the save that has just
    ended. Both times are from the file system's clock, so that the clocks of several machines do not matter. A save
    takes seconds, so another process that saves at this moment keeps its file. If that process slept for an hour in
    the middle of its save, its rename fails with an `OSError`, and the target still is one whole file.
    A lock on the file would be exact, but is not available on every platform and network file system. The id of a
    process in the name says nothing on another machine or in another container.
    """
    ours = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]{{8}}{re.escape(_TEMPORARY)}")
    with os.scandir(target.parent) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name):
                # Another process may remove it first.
                with suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < now - _STALE_SECONDS:
                        Path(entry.path).unlink()


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
