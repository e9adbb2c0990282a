"""Records: one line or one body of JSON to one value, strictly where that is fast, leniently where it must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeGuard, TypeVar

import msgspec
from msgspec.structs import force_setattr

from rxollama._wire._server_errors import is_object, reported, strange
from rxollama.messages import ChatChunk, Message, ModelEntry, Progress, RunningModel, ToolCall

__all__ = (
    "CHAT",
    "ERROR",
    "GENERATE",
    "PROGRESS",
    "Kind",
    "careful",
    "read_body",
    "read_models",
    "read_nothing",
    "read_running",
    "read_version",
)

R = TypeVar("R")
S = TypeVar("S", bound=msgspec.Struct)

ERROR = b'"error"'
"""What stands in every error record, and in a text only where it is the whole text: quotes are escaped there."""

_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)

# Null is a value within these, and no way to say "absent".
_AS_THEY_ARE = frozenset({"_debug_info", "arguments", "embeddings", "model_info", "projector_info"})
# No field of ours lies deeper.
_DEPTH = 8


class Kind(msgspec.Struct, Generic[R], frozen=True):
    """
    Be a kind of record.

    Args:
        quick: Reads lines that each hold a usual record; None if one of them does not, or holds the record that ends
            a stream. It need not notice an error record.
        convert: Reads a parsed record that has the words of its kind, tolerantly.
        ends: Tells whether nothing comes after a record.
        words: The keys of which a record of this kind has at least one.
    """

    quick: Callable[[bytes], list[R] | None]
    convert: Callable[[dict[str, Any]], R]
    ends: Callable[[R], bool]
    words: frozenset[str]


def careful(kind: Kind[R], line: bytes) -> R | None:
    """
    Read a line that the quick way does not take, or cannot be trusted with.

    Args:
        kind: The kind of record.
        line: The line, without its end.

    Returns:
        The record; None for a blank line.

    Raises:
        ReportedError: For an error record.
        ProtocolError: For what is no record.
    """
    text = line.strip()
    return _converted(text, kind.words, kind.convert) if text else None


def _converted(text: bytes, words: frozenset[str], convert: Callable[[dict[str, Any]], R]) -> R:
    record = _object(text)
    if not words & record.keys():
        raise strange(text, "an object without the keys that it should have")
    try:
        return convert(record)
    except _UNREADABLE as error:
        raise strange(text, "an object whose values have the wrong types") from error


def _object(text: bytes) -> dict[str, Any]:
    try:
        # Go writes U+FFFD for bytes that are no UTF-8, and reads them so; a proxy in between may not have.
        record = _parse(text.decode("utf-8", "replace"))
    except _UNREADABLE as error:
        raise strange(text, "a text that is no JSON object") from error
    if record.get("error"):
        raise reported(record, text)
    return record


_parse = msgspec.json.Decoder(dict[str, Any]).decode


def _lenient(record: dict[str, Any], to: type[S]) -> S:
    # Names that begin so are the client's own, and not for a server to say.
    known = _known({key: value for key, value in record.items() if not key.startswith("(")})
    if "created_at" in known:
        known["created_at"] = str(known["created_at"])
    return msgspec.convert(known, to, strict=False)


def _known(value: Any, depth: int = _DEPTH) -> Any:
    """Drop the nulls: Go writes them for what is absent."""
    if depth and is_object(value):
        return {
            key: item if key in _AS_THEY_ARE else _known(item, depth - 1)
            for key, item in value.items()
            if item is not None
        }
    if depth and _is_list(value):
        return [_known(item, depth - 1) for item in value]
    return value


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


# The decoder gives every chunk without a message this very one.
_SILENCE = ChatChunk().message
_read_chunks = msgspec.json.Decoder(ChatChunk).decode_lines


def _quick(read: Callable[[bytes], list[R]], are_usual: Callable[[list[R]], bool]) -> Callable[[bytes], list[R] | None]:
    def quick(lines: bytes) -> list[R] | None:
        try:
            records = read(lines)
        except _UNREADABLE:
            return None
        # What is read so may stand anywhere. Within a record no line ends so: with as many there is one on each line.
        if len(records) - 1 == lines.count(b"\n") == lines.count(b"}\n{") and are_usual(records):
            return records
        return None

    return quick


def _are_usual(chunks: list[ChatChunk]) -> bool:
    for chunk in chunks:
        odd = chunk.message is _SILENCE or chunk.debug_info is not None
        signed = chunk.client is not None or chunk.tool_failed or chunk.tool_progress
        if odd or signed or chunk.done:
            return False
    return True


def _ends_answer(chunk: ChatChunk) -> bool:
    return chunk.done or chunk.debug_info is not None


CHAT: Kind[ChatChunk] = Kind(
    quick=_quick(_read_chunks, _are_usual),
    convert=lambda record: _lenient(record, ChatChunk),
    ends=_ends_answer,
    words=frozenset({"message", "done", "_debug_info"}),
)
"""The records of `/api/chat`."""


class _Said(msgspec.Struct, frozen=True, gc=False):
    """Be what a record of `/api/generate` has at its top instead of a message."""

    response: str | None = None
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


_read_all_said = msgspec.json.Decoder(_Said).decode_lines


def _say(chunk: ChatChunk, said: _Said) -> ChatChunk:
    """Put the words into a chunk that nobody has seen yet."""
    silent = said.response is None and not said.thinking and not said.tool_calls
    message = _SILENCE if silent else Message("assistant", said.response or "", said.thinking, (), said.tool_calls)
    force_setattr(chunk, "message", message)
    return chunk


GENERATE: Kind[ChatChunk] = Kind(
    quick=_quick(lambda lines: [*map(_say, _read_chunks(lines), _read_all_said(lines))], _are_usual),
    convert=lambda record: _say(_lenient(record | {"message": None}, ChatChunk), _lenient(record, _Said)),
    ends=_ends_answer,
    words=frozenset({"response", "thinking", "tool_calls", "done", "_debug_info"}),
)
"""The records of `/api/generate`, as the chunks that they are."""

_SUCCESS = "success"


def _go_on(progress: list[Progress]) -> bool:
    return all(report.status not in {"", _SUCCESS} for report in progress)


PROGRESS: Kind[Progress] = Kind(
    quick=_quick(msgspec.json.Decoder(Progress).decode_lines, _go_on),
    convert=lambda record: _lenient(record, Progress),
    ends=lambda progress: progress.status == _SUCCESS,
    words=frozenset({"status"}),
)
"""The records of `/api/pull`, `/api/push` and `/api/create`."""


def read_body(to: type[S]) -> Callable[[bytes], S]:
    """Build the reader of a body that is one value; an error may be in its place."""
    words = frozenset(to.__struct_encode_fields__)
    return lambda body: _converted(body.strip(), words, lambda record: _lenient(record, to))


class _Models(msgspec.Struct):
    models: tuple[ModelEntry, ...] = ()


class _Running(msgspec.Struct):
    models: tuple[RunningModel, ...] = ()


class _Version(msgspec.Struct):
    version: str


_read_models, _read_running, _read_version = read_body(_Models), read_body(_Running), read_body(_Version)


def read_models(body: bytes) -> tuple[ModelEntry, ...]:
    """Read the answer of `/api/tags`."""
    return _read_models(body).models


def read_running(body: bytes) -> tuple[RunningModel, ...]:
    """Read the answer of `/api/ps`."""
    return _read_running(body).models


def read_version(body: bytes) -> str:
    """Read the answer of `/api/version`."""
    return _read_version(body).version


def read_nothing(body: bytes) -> None:
    """Read the answer of a call that has none; an error may be in its place."""
    if text := body.strip():
        _object(text)
