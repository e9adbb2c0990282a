"""
Readers from one line or one body of JSON to one value.

Plain records, nearly all of a stream, are read strictly and fast, many lines at once. Everything else is read one line
at a time by a slower reader that accepts more and raises clear errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeGuard, TypeVar

import msgspec
from msgspec.structs import force_setattr, replace

from rxollama._wire._server_errors import is_object, reported, unexpected
from rxollama.messages import (
    Batch,
    ChatChunk,
    ChunkBatch,
    Message,
    ModelEntry,
    PlainRecord,
    Progress,
    RunningModel,
    ToolCall,
    text_chunk,
)

__all__ = (
    "CHAT",
    "ERROR",
    "GENERATE",
    "PROGRESS",
    "Kind",
    "read_body",
    "read_leniently",
    "read_models",
    "read_nothing",
    "read_running",
    "read_version",
)

R = TypeVar("R")
S = TypeVar("S", bound=msgspec.Struct)

ERROR = b'"error"'
"""The bytes of the key of an error record. Within a text the quotes are escaped, unless it is the whole text."""

_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)

# Within these, null is a value. Everywhere else Go writes it for an absent one.
_FREE_FORM = frozenset({"_debug_info", "arguments", "embeddings", "model_info", "projector_info"})
# No field of our values is nested deeper.
_DEPTH = 8


class Kind(msgspec.Struct, Generic[R], frozen=True):
    """
    A kind of record, with its readers.

    Args:
        read_plain: Reads lines that hold one record with nothing but text each. Returns None if any line is something
            else. None if records of this kind have no text.
        read_fast: Reads lines that hold one plain record each. Returns None if any line is something else, such as the
            record that ends a stream. It need not recognize an error record.
        convert: Makes the value of a parsed record, and accepts as much as possible.
        ends: Returns whether a record is the last of its stream.
        keys: The keys of which a record of this kind has at least one.
        text: Returns the text of a record that the model wrote. None if records of this kind have no such text.
    """

    read_fast: Callable[[bytes], list[R] | None]
    convert: Callable[[dict[str, Any]], R]
    ends: Callable[[R], bool]
    keys: frozenset[str]
    read_plain: Callable[[bytes], list[R] | Batch[R] | None] | None = None
    text: Callable[[R], str] | None = None


def read_leniently(kind: Kind[R], line: bytes) -> R | None:
    """
    Read a line that `Kind.read_fast` does not read.

    Args:
        kind: The kind of record.
        line: The line, without its end.

    Returns:
        The record. None for a blank line.

    Raises:
        ReportedError: If the line is an error record.
        ProtocolError: If the line is not a record of this kind.
    """
    text = line.strip()
    return _converted(text, kind.keys, kind.convert) if text else None


def _converted(text: bytes, keys: frozenset[str], convert: Callable[[dict[str, Any]], R]) -> R:
    record = _object(text)
    if not keys & record.keys():
        raise unexpected(text, "a JSON object without the expected keys")
    try:
        return convert(record)
    except _UNREADABLE as error:
        # Only the place is shown: the rest of what msgspec says may quote the value.
        place = re.search(r" - at `(\$[^`]*)`$", str(error))
        raise unexpected(text, f"a JSON object with a wrong value{f' at {place[1]}' if place else ''}") from None


def _object(text: bytes) -> dict[str, Any]:
    try:
        # Go replaces bytes that are not UTF-8 with U+FFFD. A proxy may have added some.
        record = _parse(text.decode("utf-8", "replace"))
    except _UNREADABLE:
        raise unexpected(text, "text that is not a JSON object") from None
    if record.get("error"):
        raise reported(record, text)
    return record


_parse = msgspec.json.Decoder(dict[str, Any]).decode


def _lenient(record: dict[str, Any], to: type[S]) -> S:
    # Names in parentheses are the client's own fields: a server must not set them.
    known = _without_nulls({key: value for key, value in record.items() if not key.startswith("(")})
    if "created_at" in known:
        known["created_at"] = str(known["created_at"])
    return msgspec.convert(known, to, strict=False)


def _without_nulls(value: Any, depth: int = _DEPTH) -> Any:
    if depth and is_object(value):
        return {
            key: item if key in _FREE_FORM else _without_nulls(item, depth - 1)
            for key, item in value.items()
            if item is not None
        }
    if depth and _is_list(value):
        return [_without_nulls(item, depth - 1) for item in value]
    return value


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


# Every chunk that is decoded without a message shares this one.
_NO_MESSAGE = ChatChunk().message
_read_chunks = msgspec.json.Decoder(ChatChunk).decode_lines


def _fast_reader(
    read: Callable[[bytes], list[R]], are_plain: Callable[[list[R]], bool]
) -> Callable[[bytes], list[R] | None]:
    def read_fast(lines: bytes) -> list[R] | None:
        try:
            records = read(lines)
        except _UNREADABLE:
            return None
        return records if _stand_alone(records, lines) and are_plain(records) else None

    return read_fast


def _stand_alone(records: list[Any], lines: bytes) -> bool:
    """
    Return whether each line holds one record.

    `decode_lines` accepts records that share a line or span several. Within a record no line ends with "}" while the
    next begins with "{", so the numbers agree only if each line holds one.
    """
    return len(records) - 1 == lines.count(b"\n") == lines.count(b"}\n{")


def _are_plain(chunks: list[ChatChunk]) -> bool:
    for chunk in chunks:
        rare = chunk.message is _NO_MESSAGE or chunk.debug_info is not None
        forged = chunk.client is not None or chunk.tool_failed or chunk.tool_progress
        if rare or forged or chunk.done or chunk.done_reason:
            return False
    return True


def _ended(chunk: ChatChunk) -> ChatChunk:
    """Return a chunk that is done if it has a `done_reason`: some engines leave `done` out of the last record."""
    return replace(chunk, done=True) if chunk.done_reason else chunk


def _text_of(chunk: ChatChunk) -> str:
    return chunk.message.thinking + chunk.message.content


def _ends_answer(chunk: ChatChunk) -> bool:
    return chunk.done or chunk.debug_info is not None


_Filled: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]


class _PlainText(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    role: Literal["assistant"]
    content: str
    thinking: str = ""


# What these two accept is nothing but text, so no field needs a look: decoding a field that is not here is an error.
class _PlainChat(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    model: _Filled
    created_at: _Filled
    message: _PlainText
    done: Literal[False]


class _PlainGenerate(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    model: _Filled
    created_at: _Filled
    response: str
    done: Literal[False]
    thinking: str = ""


P = TypeVar("P", bound=PlainRecord)


def _plain_reader(
    to: type[P], content: Callable[[P], str], thinking: Callable[[P], str]
) -> Callable[[bytes], list[ChatChunk] | ChunkBatch | None]:
    read: Callable[[bytes], list[P]] = msgspec.json.Decoder(to).decode_lines

    def read_plain(lines: bytes) -> list[ChatChunk] | ChunkBatch | None:
        try:
            records = read(lines)
        except _UNREADABLE:
            return None
        if len(records) == 1 and b"\n" not in lines:
            # A slow stream has one record in each read, and a batch of one costs more than its chunk.
            record = records[0]
            return [text_chunk(record, content(record), thinking(record))]
        if not _stand_alone(records, lines):
            return None
        return ChunkBatch(records, [*map(content, records)], [*map(thinking, records)])

    return read_plain


CHAT: Kind[ChatChunk] = Kind(
    read_fast=_fast_reader(_read_chunks, _are_plain),
    convert=lambda record: _ended(_lenient(record, ChatChunk)),
    ends=_ends_answer,
    keys=frozenset({"message", "done", "done_reason", "_debug_info"}),
    read_plain=_plain_reader(_PlainChat, attrgetter("message.content"), attrgetter("message.thinking")),
    text=_text_of,
)
"""The records of `/api/chat`."""


class _GenerateText(msgspec.Struct, frozen=True, gc=False):
    """The fields of a record of `/api/generate` that `/api/chat` has in its message."""

    response: str | None = None
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


_read_texts = msgspec.json.Decoder(_GenerateText).decode_lines


def _with_text(chunk: ChatChunk, text: _GenerateText) -> ChatChunk:
    """Set the message of a new chunk."""
    empty = text.response is None and not text.thinking and not text.tool_calls
    message = _NO_MESSAGE if empty else Message("assistant", text.response or "", text.thinking, (), text.tool_calls)
    # Nobody else holds the chunk yet, and a copy of each would cost as much as decoding it.
    force_setattr(chunk, "message", message)
    return chunk


GENERATE: Kind[ChatChunk] = Kind(
    read_fast=_fast_reader(lambda lines: [*map(_with_text, _read_chunks(lines), _read_texts(lines))], _are_plain),
    convert=lambda record: _with_text(
        _ended(_lenient(record | {"message": None}, ChatChunk)), _lenient(record, _GenerateText)
    ),
    ends=_ends_answer,
    keys=frozenset({"response", "thinking", "tool_calls", "done", "done_reason", "_debug_info"}),
    read_plain=_plain_reader(_PlainGenerate, attrgetter("response"), attrgetter("thinking")),
    text=_text_of,
)
"""The records of `/api/generate`, as chunks."""

_SUCCESS = "success"


def _are_unfinished(progress: list[Progress]) -> bool:
    return all(report.status not in {"", _SUCCESS} for report in progress)


PROGRESS: Kind[Progress] = Kind(
    read_fast=_fast_reader(msgspec.json.Decoder(Progress).decode_lines, _are_unfinished),
    convert=lambda record: _lenient(record, Progress),
    ends=lambda progress: progress.status == _SUCCESS,
    keys=frozenset({"status"}),
)
"""The records of `/api/pull`, `/api/push` and `/api/create`."""


def read_body(to: type[S]) -> Callable[[bytes], S]:
    """Return a reader of a body that is one value of a type, or an error record."""
    keys = frozenset(to.__struct_encode_fields__)
    return lambda body: _converted(body.strip(), keys, lambda record: _lenient(record, to))


class _Models(msgspec.Struct):
    models: tuple[ModelEntry, ...] = ()


class _Running(msgspec.Struct):
    models: tuple[RunningModel, ...] = ()


class _Version(msgspec.Struct):
    version: str


_read_models, _read_running, _read_version = read_body(_Models), read_body(_Running), read_body(_Version)


def read_models(body: bytes) -> tuple[ModelEntry, ...]:
    """Return the models in the response of `/api/tags`."""
    return _read_models(body).models


def read_running(body: bytes) -> tuple[RunningModel, ...]:
    """Return the models in the response of `/api/ps`."""
    return _read_running(body).models


def read_version(body: bytes) -> str:
    """Return the version in the response of `/api/version`."""
    return _read_version(body).version


def read_nothing(body: bytes) -> None:
    """Check that the response of a call without a result is not an error record."""
    if text := body.strip():
        _object(text)
