"""Replies: what to send, piece by piece, and how to end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec
import orjson

from rxollama.testing import _chat_records
from rxollama.testing._pieces import Piece, Pieces, compressed, first_bytes, paused, recut, seconds, size, timed
from rxollama.testing._recording import Recording

Ending: TypeAlias = Literal["complete", "dropped", "reset", "stalled"]

_JSON = "application/json; charset=utf-8"
_ENDINGS: dict[str, Ending] = {"complete": "complete", "cut": "dropped", "reset": "reset"}


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """
    One answer of the scripted server: a value, made by its builders and changed by its modifiers.

    The headers leave together with the first piece, as Ollama sends them. Where the headers tell a
    `content-length` the body is framed by it, else it is chunked, one chunk per piece.

    Attributes:
        status: The HTTP status; ``None`` sends the pieces bare, with no HTTP around them.
        headers: Names and values, in order.
        pieces: What to send, each piece in a write of its own.
        ending: ``complete`` ends the HTTP body properly, ``dropped`` closes the connection without that,
            ``reset`` resets it, ``stalled`` stays silent for as long as the client stays.
        rest: Seconds from the last piece to the end.

    .. versionadded:: 0.1
    """

    status: int | None = 200
    headers: tuple[tuple[str, str], ...] = ()
    pieces: Pieces = ()
    ending: Ending = "complete"
    rest: float = 0.0

    @classmethod
    def of(cls, recording: Recording, speed: float | None = 1.0) -> Reply:
        """
        Play a recording.

        Args:
            recording: What to play.
            speed: 1 plays it with its own timing, 10 ten times faster, ``None`` as fast as it goes.

        Returns:
            A reply with the recording's status, headers, pieces, timing and ending.

        Raises:
            ValueError: The speed is not above zero.
        """
        if speed is not None and not speed > 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        last = recording.reads[-1][0] if recording.reads else 0
        return cls(
            status=recording.status,
            headers=tuple(recording.headers.items()),
            pieces=timed(recording.reads, recording.head_ns, speed),
            ending=_ENDINGS[recording.ends],
            rest=seconds(recording.end_ns - last, speed),
        )

    @classmethod
    def records(cls, records: Iterable[Mapping[str, Any] | bytes], *, gap: float = 0.0, first: float = 0.0) -> Reply:
        """
        Stream records as NDJSON, one per write.

        Args:
            records: Objects, each sent as one line; bytes are sent as they are.
            gap: Seconds between two records.
            first: Seconds of silence before the headers and the first record.

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
        Stream a whole chat answer: thinking, content, tool calls, and the record that is done.

        Args:
            content: The deltas; a text is cut in words.
            thinking: As `content`, sent before it.
            tool_calls: Each with `name`, and with `arguments` and `id` if it has them; one record per call.
            model: The model's name in every record.
            gap: Seconds between two records.
            first: Seconds of silence before the headers and the first record.
            **final: Fields of the last record in place of plausible ones, such as `done_reason` or
                `eval_count`; ``None`` leaves one out.

        Returns:
            A reply of type ``application/x-ndjson``.
        """
        words = _chat_records.deltas(content), _chat_records.deltas(thinking), list(tool_calls)
        return cls.records(_chat_records.answer(*words, model=model, gap=gap, final=final), gap=gap, first=first)

    @classmethod
    def json(cls, value: object, status: int = 200) -> Reply:
        """
        Send one JSON value with its length.

        Args:
            value: Anything that is JSON.
            status: The HTTP status.

        Returns:
            A reply of type ``application/json; charset=utf-8``.
        """
        return cls.error(status, orjson.dumps(value), content_type=_JSON)

    @classmethod
    def error(
        cls,
        status: int,
        body: str | bytes | Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> Reply:
        """
        Refuse a request.

        Args:
            status: The HTTP status.
            body: An object to send as JSON, or the very text; an empty text sends no body.
            headers: Further headers.
            content_type: The type of the body, in place of JSON for an object and plain text for a text.

        Returns:
            A reply with that status and the length of its body.
        """
        data = body.encode() if isinstance(body, str) else body
        data = data if isinstance(data, bytes) else orjson.dumps(data)
        default = "text/plain" if isinstance(body, str | bytes) else _JSON
        kind = {"content-type": content_type or default} if content_type or data else {}
        fields = kind | {"content-length": str(len(data))}
        pieces = (Piece(data),) if data else ()
        return cls(status=status, headers=tuple(fields.items()), pieces=pieces).with_headers(headers or {})

    @classmethod
    def raw(cls, data: bytes) -> Reply:
        """
        Send bytes in place of an HTTP answer, then close the connection.

        Args:
            data: Any bytes.

        Returns:
            A reply with no status and no headers.
        """
        return cls(status=None, pieces=(Piece(data),), ending="dropped")

    def cut(self, sizes: int | Iterable[int]) -> Reply:
        """
        Send the same bytes in other pieces, each due with the last of its bytes.

        Args:
            sizes: Bytes of every piece; or of each piece in turn, and one more piece for what is left.

        Returns:
            The changed reply.

        Raises:
            ValueError: A size is below 1.
        """
        return _with(self, pieces=recut(self.pieces, sizes))

    def slow(self, seconds: float) -> Reply:
        """Pause so many seconds between two pieces; the silence before the first stays as it is."""
        return _with(self, pieces=paused(self.pieces, seconds))

    def truncated(self, after: int) -> Reply:
        """End properly, as if all were said, after so many pieces."""
        return _with(_resized(self, self.pieces[:after]), ending="complete", rest=0.0)

    def reset(self, after: int) -> Reply:
        """Reset the connection after so many bytes of the body; after 0, before the headers."""
        return _with(self, pieces=first_bytes(self.pieces, after), ending="reset", rest=0.0)

    def dropped(self, after: int) -> Reply:
        """Close the connection, the body unfinished, after so many bytes of it; after 0, before the headers."""
        return _with(self, pieces=first_bytes(self.pieces, after), ending="dropped", rest=0.0)

    def stalled(self, after: int) -> Reply:
        """Fall silent after so many pieces until the client leaves; after 0, before the headers."""
        return _with(self, pieces=self.pieces[:after], ending="stalled", rest=0.0)

    def with_error(self, message: str, after: int | None = None, newline: bool = True) -> Reply:
        """
        Send an error record and end properly.

        Args:
            message: The server's words.
            after: How many pieces come before it; ``None`` for all.
            newline: Whether the record's line is ended.

        Returns:
            The changed reply.
        """
        line = _line({"error": message})
        last = Piece(line if newline else line.rstrip(b"\n"))
        return _with(_resized(self, (*self.pieces[:after], last)), ending="complete", rest=0.0)

    def encoded(self, encoding: Literal["gzip", "deflate"]) -> Reply:
        """Compress the body and say so; every piece is flushed, so that it still streams."""
        return _resized(self, compressed(self.pieces, encoding)).with_headers({"content-encoding": encoding})

    def with_headers(self, headers: Mapping[str, str]) -> Reply:
        """Add headers; one of the same name is replaced, whatever its case."""
        names = {name.lower() for name in headers}
        kept = (header for header in self.headers if header[0].lower() not in names)
        return _with(self, headers=(*kept, *headers.items()))


def _with(reply: Reply, **changes: Any) -> Reply:
    return msgspec.structs.replace(reply, **changes)


def _resized(reply: Reply, pieces: Pieces) -> Reply:
    """Send other pieces: a length that was told has to become theirs."""
    told = any(name.lower() == "content-length" for name, _ in reply.headers)
    reply = reply.with_headers({"content-length": str(size(pieces))}) if told else reply
    return _with(reply, pieces=pieces)


def _line(record: Mapping[str, Any]) -> bytes:
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
