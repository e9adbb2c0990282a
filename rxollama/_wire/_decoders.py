"""Decoders: the body as it arrives to records, whatever the cuts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec

from rxollama._wire._records import ERROR, Kind, careful
from rxollama._wire._server_errors import too_long, truncated
from rxollama.errors import StreamError

__all__ = ("MAX_LINE", "BodyDecoder", "Decoder", "LineDecoder")

MAX_LINE = 16 * 1024 * 1024
"""The longest record taken unless told otherwise, in bytes; Ollama's own client stops at 8,000,000."""

R = TypeVar("R")


class Decoder(Protocol[R]):
    """Be what turns a body, as it arrives, into records."""

    failure: StreamError | None
    over: bool

    def feed(self, data: bytes) -> list[R]:
        """Take the next piece of the body, and hand out the records that it completes."""
        ...

    def flush(self) -> list[R]:
        """Take notice that the body is over, and hand out what is left."""
        ...


class LineDecoder(Generic[R]):
    """
    Decode newline-delimited records.

    It frames on the newline byte alone, since text may hold every other separator. Blank lines, a carriage return
    before the newline, unknown keys and a missing last newline are tolerated. After the record that ends a stream, or
    a fault, the rest is passed over.

    Args:
        kind: The kind of record.
        max_line: The longest line taken, in bytes.
    """

    failure: StreamError | None
    over: bool

    def __init__(self, kind: Kind[R], *, max_line: int = MAX_LINE) -> None:
        self.failure, self.over = None, False
        self._kind = kind
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
        rest = b"".join(self._pieces)
        self._pieces.clear()
        records = self._read(rest)
        if not self.over or (self.failure is not None and _is_cut_short(rest)):
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
        usual = self._quickly(block)
        return self._line_by_line(block) if usual is None else usual

    def _quickly(self, lines: bytes) -> list[R] | None:
        return self._kind.quick(lines) if len(lines) <= self._max_line and ERROR not in lines else None

    def _line_by_line(self, block: bytes) -> list[R]:
        records: list[R] = []
        for line in block.split(b"\n"):
            usual = self._quickly(line)
            if usual is not None:
                records += usual
                continue
            try:
                record = self._slowly(line)
            except StreamError as failure:
                return self._fail(failure, records)
            if record is None:
                continue
            records.append(record)
            if self._kind.ends(record):
                self.over = True
                break
        return records

    def _slowly(self, line: bytes) -> R | None:
        if len(line) > self._max_line:
            raise too_long(self._max_line)
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
        if not self.over:
            self._pieces.append(data)
            self._length += len(data)
            if self._length > self._max_line:
                self._fail(too_long(self._max_line))
        return []

    def flush(self) -> list[R]:
        """
        Take notice that the body is over.

        Returns:
            The value, alone; or nothing, and `failure` is set.
        """
        if self.over:
            return []
        body = b"".join(self._pieces)
        self._pieces.clear()
        self.over = True
        try:
            return [self._read(body)]
        except StreamError as failure:
            return self._fail(truncated() if _is_cut_short(body) else failure)

    def _fail(self, failure: StreamError) -> list[R]:
        self.failure, self.over = failure, True
        self._pieces.clear()
        return []


def _is_cut_short(text: bytes) -> bool:
    """Tell whether a text is the beginning of an object, but not the whole of it."""
    # A number may be cut where it is none: a digit more, and only its object is missing.
    return text.lstrip()[:1] == b"{" and any(_lacks_its_end(text + digit) for digit in (b"", b"0"))


def _lacks_its_end(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError as error:
        return "truncated" in str(error)
    except RecursionError:
        pass
    return False
