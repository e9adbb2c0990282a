"""Decoders: the body as it arrives to records, whatever the cuts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec

from rxollama._wire._faults import too_long, truncated
from rxollama._wire._records import Kind, careful, is_cut_short
from rxollama.errors import StreamError

__all__ = ("MAX_LINE", "BodyDecoder", "Decoder", "LineDecoder")

MAX_LINE = 16 * 1024 * 1024
"""The longest record taken unless told otherwise, in bytes; Ollama's own client stops at 8,000,000."""

# An error record has this key, and within a text it cannot stand: quotes are escaped there.
_ERROR = b'"error"'

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Decoder(Protocol[R_co]):
    """Be what turns a body, as it arrives, into records."""

    failure: StreamError | None
    over: bool

    def feed(self, data: bytes) -> list[R_co]:
        """Take the next piece of the body, and hand out the records that it completes."""
        ...

    def flush(self) -> list[R_co]:
        """Take notice that the body is over, and hand out what is left."""
        ...


class LineDecoder(Generic[R]):
    """
    Decode newline-delimited records.

    It frames on the byte `\\n` alone, since text may hold every other separator. Blank lines, `\\r\\n`, unknown keys
    and a missing last newline are tolerated. After the record that ends a stream, or a fault, the rest is passed over.

    Args:
        kind: The kind of record.
        max_line: The longest line taken, in bytes.
    """

    failure: StreamError | None
    over: bool

    def __init__(self, kind: Kind[R], *, max_line: int = MAX_LINE) -> None:
        self.failure, self.over = None, False
        self._kind = kind
        self._decode, self._whole, self._ends = kind.decode, kind.whole, kind.ends
        self._max_line = max_line
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, data: bytes) -> list[R]:
        """
        Take the next piece of the body.

        Args:
            data: The piece, cut anywhere.

        Returns:
            The records that it completes; look at `failure` after handing them on.
        """
        if self.over:
            return []
        end = data.rfind(b"\n")
        if end < 0:
            self._keep(data)
            return [] if self._length <= self._max_line else self._fail(too_long(self._max_line), [])
        block = b"".join((*self._pieces, data[:end])) if self._pieces else data[:end]
        self._pieces.clear()
        self._length = 0
        records = self._read(block)
        if not self.over:
            self._keep(data[end + 1 :])
            if self._length > self._max_line:
                return self._fail(too_long(self._max_line), records)
        return records

    def flush(self) -> list[R]:
        """
        Take notice that the body is over.

        Returns:
            The record that was left without a newline, if any; `failure` is set where the stream ended too early.
        """
        if self.over:
            return []
        rest = b"".join(self._pieces)
        self._pieces.clear()
        if is_cut_short(rest):
            return self._fail(truncated(), [])
        records = self._read(rest)
        if not self.over:
            self._fail(truncated(), records)
        return records

    def _keep(self, data: bytes) -> None:
        if data:
            self._pieces.append(data)
            self._length += len(data)

    def _fail(self, failure: StreamError, records: list[R]) -> list[R]:
        self.failure, self.over = failure, True
        self._pieces.clear()
        return records

    def _read(self, block: bytes) -> list[R]:
        records = list[R]()
        suspicious = _ERROR in block
        for line in block.split(b"\n"):
            try:
                record = self._record(line, suspicious=suspicious) if line else None
            except StreamError as failure:
                return self._fail(failure, records)
            if record is not None:
                records.append(record)
                if self._ends(record):
                    self.over = True
                    break
        return records

    def _record(self, line: bytes, *, suspicious: bool) -> R | None:
        if len(line) > self._max_line:
            raise too_long(self._max_line)
        if not (suspicious and _ERROR in line):
            try:
                record = self._decode(line)
            except (msgspec.DecodeError, ValueError, RecursionError):
                return careful(self._kind, line)
            if self._whole(record):
                return record
        return careful(self._kind, line)


class BodyDecoder(Generic[R]):
    """
    Decode a body that is one value.

    Args:
        read: Reads the whole body, and raises a `StreamError` where it is not the value.
        max_line: The longest body taken, in bytes.
    """

    failure: StreamError | None
    over: bool

    def __init__(self, read: Callable[[bytes], R], *, max_line: int = MAX_LINE) -> None:
        self.failure, self.over = None, False
        self._read = read
        self._max_line = max_line
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, data: bytes) -> list[R]:
        """
        Take the next piece of the body.

        Args:
            data: The piece, cut anywhere.

        Returns:
            Nothing yet.
        """
        self._length += len(data)
        if self._length > self._max_line:
            self._pieces.clear()
            self.failure, self.over = too_long(self._max_line), True
        else:
            self._pieces.append(data)
        return []

    def flush(self) -> list[R]:
        """
        Take notice that the body is over.

        Returns:
            The value, alone; or nothing, and `failure` is set.
        """
        if self.failure is not None:
            return []
        try:
            return [self._read(b"".join(self._pieces))]
        except StreamError as failure:
            self.failure = failure
            return []
