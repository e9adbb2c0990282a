"""Replies: the pieces that are sent, and how the answer ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec
import orjson

from rxollama.testing._chat_records import answer_records, deltas
from rxollama.testing._pieces import Piece, Pieces, compressed, first_bytes, paused, recut, seconds, size, timed
from rxollama.testing._recording import Recording

Ending: TypeAlias = Literal["complete", "dropped", "reset", "stalled"]

_JSON = "application/json; charset=utf-8"
_TEXT = "text/plain"
_ENDINGS: dict[str, Ending] = {"complete": "complete", "cut": "dropped", "reset": "reset"}


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """
    A scripted answer. It is a value: the class methods build one, the other methods return a changed copy.

    The headers are sent with the first piece, as Ollama does. A `content-length` header frames the body. Without
    one the body is chunked, with one chunk per piece.

    Attributes:
        status: The HTTP status. None sends the pieces without HTTP around them.
        headers: The names and values of the headers, in order.
        pieces: The pieces of the body, each sent in one write.
        ending: ``complete`` ends the HTTP body properly. ``dropped`` closes the connection within the body. ``reset``
            resets the connection. ``stalled`` sends nothing more until the client leaves.
        end_wait: The seconds from the last piece to the end.

    .. versionadded:: 0.1
    """

    status: int | None = 200
    headers: tuple[tuple[str, str], ...] = ()
    pieces: Pieces = ()
    ending: Ending = "complete"
    end_wait: float = 0.0

    @classmethod
    def of(cls, recording: Recording, speed: float | None = 1.0) -> Reply:
        """
        Return a recording as a reply.

        Args:
            recording: The recording.
            speed: 1 keeps the recorded timing, 10 is ten times faster, None is without pauses.

        Returns:
            A reply with the recording's status, headers, pieces, timing and ending.

        Raises:
            ValueError: If the speed is not above 0.
        """
        if speed is not None and not speed > 0:
            raise ValueError(f"speed: expected a number above 0, or None, got {speed}")
        last = recording.reads[-1][0] if recording.reads else 0
        return cls(
            status=recording.status,
            headers=tuple(recording.headers.items()),
            pieces=timed(recording.reads, recording.head_ns, speed),
            ending=_ENDINGS[recording.ends],
            end_wait=seconds(recording.end_ns - last, speed),
        )

    @classmethod
    def records(cls, records: Iterable[Mapping[str, Any] | bytes], *, gap: float = 0.0, first: float = 0.0) -> Reply:
        """
        Return a stream of JSON lines, one per write.

        Args:
            records: The objects, each sent as one line. Bytes are sent as they are.
            gap: The seconds between two records.
            first: The seconds of silence before the headers and the first record.

        Returns:
            A reply of type ``application/x-ndjson``.
        """
        lines = (item if isinstance(item, bytes) else _line(item) for item in records)
        pieces = tuple(Piece(line, gap if index else first) for index, line in enumerate(lines))
        return cls(headers=(("content-type", "application/x-ndjson"),), pieces=pieces)

    @classmethod
    def answer(
        cls,
        content: str | Iterable[str] = "",
        *,
        thinking: str | Iterable[str] = "",
        tool_calls: Iterable[Mapping[str, Any]] = (),
        model: str = "scripted",
        gap: float = 0.0,
        first: float = 0.0,
        **final: Any,
    ) -> Reply:
        """
        Return a chat answer: thinking, content, tool calls, and the last record, which is done.

        Args:
            content: The deltas. A str is split into words.
            thinking: The deltas of thinking, sent before the content.
            tool_calls: The calls, each a dict with `name`, and optionally `arguments` and `id`. One record per call.
            model: The model's name in every record.
            gap: The seconds between two records.
            first: The seconds of silence before the headers and the first record.
            **final: Fields of the last record in place of the defaults, such as `done_reason` or `eval_count`. None
                leaves a field out.

        Returns:
            A reply of type ``application/x-ndjson``.
        """
        parts = deltas(content), deltas(thinking), list(tool_calls)
        return cls.records(answer_records(*parts, model=model, gap=gap, final=final), gap=gap, first=first)

    @classmethod
    def json(cls, value: object, status: int = 200) -> Reply:
        """
        Return one JSON value, with its length.

        Args:
            value: Any JSON value.
            status: The HTTP status.

        Returns:
            A reply of type ``application/json; charset=utf-8``.
        """
        return cls._whole(status, orjson.dumps(value), _JSON, {})

    @classmethod
    def plain(
        cls,
        text: str | bytes,
        status: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        content_type: str = _TEXT,
    ) -> Reply:
        """
        Return a text, with its length.

        Args:
            text: The text. An empty one sends no body.
            status: The HTTP status.
            headers: Further headers.
            content_type: The type of the text.

        Returns:
            A reply with that type, if the text is not empty.
        """
        data = text.encode() if isinstance(text, str) else text
        return cls._whole(status, data, content_type if data else None, headers or {})

    @classmethod
    def error(
        cls,
        status: int,
        body: str | bytes | Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> Reply:
        """
        Return an error status.

        Args:
            status: The HTTP status.
            body: An object, sent as JSON, or a text. An empty text sends no body.
            headers: Further headers.
            content_type: The type of the body. None for JSON for an object and plain text for a text.

        Returns:
            A reply with that status and the length of its body.
        """
        if isinstance(body, str | bytes):
            return cls.plain(body, status, headers=headers, content_type=content_type or _TEXT)
        return cls._whole(status, orjson.dumps(body), content_type or _JSON, headers or {})

    @classmethod
    def _whole(cls, status: int, data: bytes, content_type: str | None, headers: Mapping[str, str]) -> Reply:
        fields = ({"content-type": content_type} if content_type else {}) | {"content-length": str(len(data))}
        pieces = (Piece(data),) if data else ()
        return cls(status=status, headers=tuple(fields.items()), pieces=pieces).with_headers(headers)

    @classmethod
    def raw(cls, data: bytes) -> Reply:
        """
        Return bytes that are sent instead of an HTTP answer. The connection is then closed.

        Args:
            data: The bytes.

        Returns:
            A reply without status and headers.
        """
        return cls(status=None, pieces=(Piece(data),), ending="dropped")

    def cut(self, sizes: int | Iterable[int]) -> Reply:
        """
        Return the reply with the same bytes in other pieces, each at the moment of its last byte.

        Args:
            sizes: The size of every piece, or the sizes of the first pieces. The other bytes are then one more piece.

        Returns:
            The changed reply.

        Raises:
            ValueError: If a size is below 1.
        """
        return _with(self, pieces=recut(self.pieces, sizes))

    def slow(self, seconds: float) -> Reply:
        """Return the reply with this pause between two pieces. The wait before the first one stays."""
        return _with(self, pieces=paused(self.pieces, seconds))

    def truncated(self, after: int) -> Reply:
        """Return the reply with a proper end after this many pieces."""
        return _with(_resized(self, self.pieces[:after]), ending="complete", end_wait=0.0)

    def reset(self, after: int) -> Reply:
        """Return the reply with a reset after this many bytes of the body. After 0, it comes before the headers."""
        return _with(self, pieces=first_bytes(self.pieces, after), ending="reset", end_wait=0.0)

    def dropped(self, after: int) -> Reply:
        """Return the reply with a close after this many bytes of the body. After 0, it comes before the headers."""
        return _with(self, pieces=first_bytes(self.pieces, after), ending="dropped", end_wait=0.0)

    def stalled(self, after: int) -> Reply:
        """Return the reply with endless silence after this many pieces. After 0, it comes before the headers."""
        return _with(self, pieces=self.pieces[:after], ending="stalled", end_wait=0.0)

    def with_error(self, message: str, after: int | None = None, newline: bool = True) -> Reply:
        """
        Return the reply with an error record at its end.

        Args:
            message: The server's message.
            after: The number of pieces before the record. None for all.
            newline: Whether a line end follows the record.

        Returns:
            The changed reply.
        """
        line = _line({"error": message})
        last = Piece(line if newline else line.rstrip(b"\n"))
        return _with(_resized(self, (*self.pieces[:after], last)), ending="complete", end_wait=0.0)

    def encoded(self, encoding: Literal["gzip", "deflate"]) -> Reply:
        """Return the reply compressed. Every piece is flushed, so that the body still streams."""
        return _resized(self, compressed(self.pieces, encoding)).with_headers({"content-encoding": encoding})

    def with_headers(self, headers: Mapping[str, str]) -> Reply:
        """Return the reply with further headers. They replace headers of the same name in any case."""
        names = {name.lower() for name in headers}
        kept = (header for header in self.headers if header[0].lower() not in names)
        return _with(self, headers=(*kept, *headers.items()))


def _with(reply: Reply, **changes: Any) -> Reply:
    return msgspec.structs.replace(reply, **changes)


def _resized(reply: Reply, pieces: Pieces) -> Reply:
    """Return the reply with other pieces, and with their length if it has a `content-length`."""
    has_length = any(name.lower() == "content-length" for name, _ in reply.headers)
    reply = reply.with_headers({"content-length": str(size(pieces))}) if has_length else reply
    return _with(reply, pieces=pieces)


def _line(record: Mapping[str, Any]) -> bytes:
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
