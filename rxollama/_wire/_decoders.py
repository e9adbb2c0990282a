"""Decoders from the pieces of a body to records."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

import msgspec

from rxollama._wire._records import ERROR, Kind, read_leniently
from rxollama._wire._repetition import PIECES, ends_in_repetition
from rxollama._wire._server_errors import repeated, too_long, truncated
from rxollama.errors import StreamError
from rxollama.messages import Batch

__all__ = ("MAX_LINE", "BodyDecoder", "Decoder", "LineDecoder")

MAX_LINE = 16 * 1024 * 1024
"""The default limit for one record, in bytes. Ollama's own client stops at 8,000,000."""

R = TypeVar("R")


class Decoder(Protocol[R]):
    """
    A decoder of one body.

    `failure` is the error that the body ended with, if any. `over` is whether the rest of the body has no records.
    """

    failure: StreamError | None
    over: bool

    def feed(self, data: bytes) -> list[R] | Batch[R]:
        """Return the records that the next piece of the body completes."""
        ...

    def flush(self) -> list[R] | Batch[R]:
        """Return the records that are left at the end of the body."""
        ...


class _Buffer:
    """The bytes that a decoder has not decoded yet, and how it ended."""

    failure: StreamError | None
    over: bool

    def __init__(self, max_line: int) -> None:
        self.failure, self.over = None, False
        self._max_line = max_line
        # A list of pieces would take 25 times the memory if a server sent two bytes at a time.
        self._kept = bytearray()

    def _keep(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > self._max_line:
            self._fail(too_long(self._max_line))

    def _taken(self, *last: bytes) -> bytes:
        """Return the bytes that were kept, and *last* after them, and keep nothing."""
        data = b"".join((self._kept, *last))
        self._kept = bytearray()
        return data

    def _fail(self, failure: StreamError) -> None:
        self.failure, self.over = failure, True
        self._kept = bytearray()


class LineDecoder(_Buffer, Generic[R]):
    """
    A decoder of newline-delimited records.

    Only the newline byte separates records, because texts may contain every other separator. Blank lines, a carriage
    return before the newline, unknown keys and a missing last newline are accepted. What follows a bad record, or the
    record that ends a stream, is ignored.

    Args:
        kind: The kind of record.
        max_line: The limit for one line, in bytes.
    """

    def __init__(self, kind: Kind[R], *, max_line: int = MAX_LINE) -> None:
        super().__init__(max_line)
        self._kind = kind
        self._read_plain = kind.read_plain or _read_nothing
        self._is_spaced = False
        self._reads: deque[Iterable[R]] = deque(maxlen=PIECES)

    def feed(self, data: bytes) -> list[R] | Batch[R]:
        """
        Decode the next piece of the body.

        Args:
            data: The piece, cut anywhere.

        Returns:
            The records that it completes. `failure` may be set as well.
        """
        if self.over:
            return []
        end = data.rfind(b"\n")
        if end < 0:
            self._keep(data)
            return []
        block = self._taken(data[:end]) if self._kept else data[:end]
        records = self._read_fast(_without_space(block) if self._is_spaced else block)
        if records is None:
            # A server that sends blank lines or carriage returns goes on: the next block is read without them at once.
            self._is_spaced = self._is_spaced or _without_space(block) != block
            records = self._read_slowly(block)
        if end + 1 < len(data) and not self.over:
            self._keep(data[end + 1 :])
        if records:
            # Once per read, not per record. They are looked at only if the answer ends too early.
            if len(records) >= PIECES:
                self._reads.clear()
            self._reads.append(records)
        return records

    def flush(self) -> list[R] | Batch[R]:
        """
        Decode the end of the body.

        Returns:
            The last record if no newline followed it. `failure` is set if the body ended too early.
        """
        rest = self._taken()
        records = self._read_slowly(rest)
        if not self.over:
            self._fail(repeated() if self._was_repeated(records) else truncated())
        elif self.failure is not None and _is_cut_short(rest):
            self._fail(truncated())
        return records

    def _was_repeated(self, last: list[R]) -> bool:
        """Return whether the server ended the answer because the model repeated itself."""
        text = self._kind.text
        if text is None:
            return False
        texts = [text(record) for records in (*self._reads, last) for record in records]
        return ends_in_repetition(texts[-PIECES:])

    def _read_fast(self, lines: bytes) -> list[R] | Batch[R] | None:
        if len(lines) > self._max_line:
            return None
        return self._read_plain(lines) or (None if ERROR in lines else self._kind.read_fast(lines))

    def _read_slowly(self, block: bytes) -> list[R]:
        block = _BLANK_LINES.sub(b"\n", block)
        # Mostly only the last line, with the end of the answer, is not plain.
        head, _, last = block.rpartition(b"\n")
        records = self._read_fast(head) if head else None
        return self._line_by_line(block) if records is None else [*records, *self._line_by_line(last)]

    def _line_by_line(self, block: bytes) -> list[R]:
        records: list[R] = []
        for line in block.split(b"\n"):
            plain = self._read_fast(line)
            if plain is not None:
                records += plain
                continue
            try:
                record = self._read_leniently(line)
            except StreamError as failure:
                self._fail(failure)
                break
            if record is None:
                continue
            records.append(record)
            if self._kind.ends(record):
                self.over = True
                break
        return records

    def _read_leniently(self, line: bytes) -> R | None:
        if len(line) > self._max_line:
            raise too_long(self._max_line)
        return read_leniently(self._kind, line)


class BodyDecoder(_Buffer, Generic[R]):
    """
    A decoder of a body that is one value.

    Args:
        read: Reads the whole body. Raises a `StreamError` if it is not the value.
        max_line: The limit for the body, in bytes.
    """

    def __init__(self, read: Callable[[bytes], R], *, max_line: int = MAX_LINE) -> None:
        super().__init__(max_line)
        self._read = read

    def feed(self, data: bytes) -> list[R]:
        """
        Keep the next piece of the body.

        Args:
            data: The piece, cut anywhere.

        Returns:
            An empty list.
        """
        if not self.over:
            self._keep(data)
        return []

    def flush(self) -> list[R]:
        """
        Decode the body.

        Returns:
            A list of the value. If there is none, the list is empty and `failure` is set.
        """
        if self.over:
            return []
        body = self._taken()
        self.over = True
        try:
            return [self._read(body)]
        except StreamError as failure:
            self._fail(truncated() if _is_cut_short(body) else failure)
            return []


# One at a time they would cost 200 times as much per byte as a record.
_BLANK_LINES = re.compile(rb"\n\s+")


def _without_space(block: bytes) -> bytes:
    """Return lines without blank lines and carriage returns between them."""
    return _BLANK_LINES.sub(b"\n", block.strip()).replace(b"\r\n", b"\n")


def _read_nothing(_: bytes) -> None:
    """Read nothing: no record of this kind is plain text."""


def _is_cut_short(text: bytes) -> bool:
    """Return whether a text is the beginning of a JSON object without its end."""
    # A cut within a number, as after "-" or "1.", is invalid by itself. One more digit makes it a number.
    return text.lstrip()[:1] == b"{" and any(_is_truncated(text + digit) for digit in (b"", b"0"))


def _is_truncated(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        return "truncated" in str(error)
    except RecursionError:
        pass
    return False
