"""Records: one line or one body of JSON to one value, strictly where that is fast, leniently where it must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import msgspec
import orjson

from rxollama._wire._faults import reported, strange
from rxollama.messages import ChatChunk, Logprob, Message, ModelEntry, Progress, RunningModel, ToolCall

__all__ = (
    "CHAT",
    "GENERATE",
    "PROGRESS",
    "Kind",
    "careful",
    "is_cut_short",
    "read_body",
    "read_models",
    "read_nothing",
    "read_running",
    "read_version",
)

R = TypeVar("R")
S = TypeVar("S", bound=msgspec.Struct)

# Null is a value of these, and no way to say "absent".
_NULL_COUNTS = frozenset({"_debug_info", "arguments", "model_info", "projector_info"})


class Kind(msgspec.Struct, Generic[R], frozen=True):
    """
    Be a kind of record.

    Args:
        decode: Reads a well-formed line, and raises where it is not; it need not notice an error record.
        convert: Reads a parsed record that has the words of its kind, tolerantly.
        whole: Tells whether a decoded record says anything of its kind.
        ends: Tells whether nothing comes after a record.
        words: The keys of which a record of this kind has at least one.
    """

    decode: Callable[[bytes], R]
    convert: Callable[[dict[str, Any]], R]
    whole: Callable[[R], bool]
    ends: Callable[[R], bool]
    words: frozenset[str]


def careful(kind: Kind[R], line: bytes) -> R | None:
    """
    Read a line that the fast way does not take, or does not take alone.

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
    if not text:
        return None
    parsed = _parsed(text)
    if not isinstance(parsed, dict):
        raise strange(text, "a line that is JSON, but no object")
    record = cast("dict[str, Any]", parsed)
    if record.get("error"):
        raise reported(record, text)
    if not kind.words & record.keys():
        raise strange(text, "a record without the keys of one")
    try:
        return kind.convert(record)
    except (msgspec.ValidationError, ValueError, TypeError, RecursionError) as error:
        raise strange(text, "a record whose values have the wrong types") from error


def is_cut_short(line: bytes) -> bool:
    """Tell whether a line is the beginning of a record, but not the whole of it."""
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        return bool(line.strip()) and "truncated" in str(error)
    except (ValueError, RecursionError):
        return False
    return False


def _parsed(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        # Go writes U+FFFD for bytes that are no UTF-8, and reads them so; a proxy in between may not have.
        return orjson.loads(text.decode("utf-8", "replace"))
    except orjson.JSONDecodeError as error:
        raise strange(text, "a line that is no JSON") from error


def _known(value: Any) -> Any:
    """Drop the nulls: Go writes them for what is absent."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {
            key: item if key in _NULL_COUNTS and item is not None else _known(item)
            for key, item in items
            if item is not None
        }
    if isinstance(value, list):
        return [_known(item) for item in cast("list[Any]", value)]
    return value


def _lenient(record: dict[str, Any], to: type[S]) -> S:
    known = _known(record)
    if "created_at" in known:
        known["created_at"] = str(known["created_at"])
    return msgspec.convert(known, to, strict=False)


_SILENCE = ChatChunk().message


class _Generated(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Be a record of `/api/generate`, which has the message's parts at its top."""

    model: str = ""
    created_at: str = ""
    response: str | None = None
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    done: bool = False
    done_reason: str = ""
    logprobs: tuple[Logprob, ...] = ()
    remote_model: str = ""
    remote_host: str = ""
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_cached_count: int | None = None
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0
    debug_info: dict[str, Any] | None = msgspec.field(default=None, name="_debug_info")


_SAME = tuple(
    name for name in _Generated.__struct_fields__ if name not in {"response", "thinking", "tool_calls"}
)


def _as_chunk(record: _Generated) -> ChatChunk:
    message = Message("assistant", record.response or "", record.thinking, tool_calls=record.tool_calls)
    if record.response is None and not record.thinking:
        message = _SILENCE
    return ChatChunk(message=message, **{name: getattr(record, name) for name in _SAME})


_decode_generated = msgspec.json.Decoder(_Generated).decode


def _ends_chat(chunk: ChatChunk) -> bool:
    return chunk.done or chunk.debug_info is not None


def _says_something(chunk: ChatChunk) -> bool:
    return chunk.message is not _SILENCE or chunk.done


CHAT: Kind[ChatChunk] = Kind(
    decode=msgspec.json.Decoder(ChatChunk).decode,
    convert=lambda record: _lenient(record, ChatChunk),
    whole=_says_something,
    ends=_ends_chat,
    words=frozenset({"message", "done", "_debug_info"}),
)
"""The records of `/api/chat`."""

GENERATE: Kind[ChatChunk] = Kind(
    decode=lambda line: _as_chunk(_decode_generated(line)),
    convert=lambda record: _as_chunk(_lenient(record, _Generated)),
    whole=_says_something,
    ends=_ends_chat,
    words=frozenset({"response", "thinking", "done", "_debug_info"}),
)
"""The records of `/api/generate`, as the chunks that they are."""

PROGRESS: Kind[Progress] = Kind(
    decode=msgspec.json.Decoder(Progress).decode,
    convert=lambda record: _lenient(record, Progress),
    whole=lambda progress: bool(progress.status),
    ends=lambda progress: progress.status == "success",
    words=frozenset({"status"}),
)
"""The records of `/api/pull`, `/api/push` and `/api/create`."""


def read_body(to: type[S]) -> Callable[[bytes], S]:
    """Build the reader of a body that is one value."""

    def read(body: bytes) -> S:
        record = _object(body)
        try:
            return _lenient(record, to)
        except (msgspec.ValidationError, RecursionError) as error:
            raise strange(body, "an object whose values have the wrong types") from error

    return read


class _Models(msgspec.Struct):
    models: tuple[ModelEntry, ...] = ()


class _Running(msgspec.Struct):
    models: tuple[RunningModel, ...] = ()


class _Version(msgspec.Struct):
    version: str


def read_models(body: bytes) -> tuple[ModelEntry, ...]:
    """Read the answer of `/api/tags`."""
    return read_body(_Models)(body).models


def read_running(body: bytes) -> tuple[RunningModel, ...]:
    """Read the answer of `/api/ps`."""
    return read_body(_Running)(body).models


def read_version(body: bytes) -> str:
    """Read the answer of `/api/version`."""
    return read_body(_Version)(body).version


def read_nothing(body: bytes) -> None:
    """Read the answer of a call that has none; an error may be in its place."""
    if body.strip():
        _object(body)


def _object(body: bytes) -> dict[str, Any]:
    parsed = _parsed(body.strip())
    if not isinstance(parsed, dict):
        raise strange(body, "a body that is no JSON object")
    record = cast("dict[str, Any]", parsed)
    if record.get("error"):
        raise reported(record, body)
    return record
