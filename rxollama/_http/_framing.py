"""
The framings of an HTTP/1.1 body: chunked, of a known length, and until the connection closes.

The law is RFC 9112, sections 6.3 and 7.1. A framing is fed each read and returns the part of it that belongs to the
body. `over` becomes true at the end of the body, and `fault` gets a text if the bytes cannot be a body. The bytes
before a fault are returned first, since they may hold records.

The chunked coding is read in three ways, each of which leaves to the next what it cannot read:

- One whole chunk, which is what a model sends while it types: a search, a comparison and a slice.
- Whole chunks: one `split` at the line ends. Sizes and contents then alternate, and the sizes are compared all at once
  with the lengths of the contents. A line end inside of a content makes the comparison fail.
- A step for each line and content: chunk extensions, trailers, leading zeros, upper-case digits, and chunks that were
  cut by the end of the read.

A step for each chunk alone costs 1 µs per chunk, and a regular expression cannot count. h11 reads bodies too, at 20 µs
per chunk. The cost is linear in the bytes: a line has a limit, so that the start of an incomplete line that is kept for
the next read is short, and a trailer section has one as a whole.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

__all__ = ("Framing", "KnownLength", "Unchunker", "UntilClose")

_CRLF = b"\r\n"
_LINE_LIMIT = 8 * 1024
_TRAILER_LIMIT = 64 * 1024
# The specification allows any number of leading zeros. 15 digits are more than all that was ever sent.
_SIZE_LINE = re.compile(rb"0*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
_FIELD_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*")
_size_line = b"%x".__mod__

# The next bytes on the wire.
_SIZE, _CONTENT, _CONTENT_END, _TRAILER = range(4)


class Unchunker:
    """
    The chunked coding, removed from a body.

    Attributes:
        over: Whether the body is complete.
        has_surplus: Whether bytes followed the body in the same read.
        fault: The reason why the bytes cannot be a chunked body, or an empty text.
    """

    __slots__ = ("_kept", "_left", "_next", "_trailer_room", "fault", "has_surplus", "over")

    def __init__(self) -> None:
        self._next, self._left, self._kept = _SIZE, 0, b""
        self._trailer_room = _TRAILER_LIMIT
        self.over = self.has_surplus = False
        self.fault = ""

    def feed(self, data: bytes) -> bytes:
        """Return the part of a read that belongs to the body."""
        if self._kept:
            data, self._kept = self._kept + data, b""
        if self._next == _SIZE:
            start = data.find(_CRLF) + 2
            length = len(data) - start - 2
            if length > 0 and data.endswith(_CRLF) and data.startswith(b"%x\r\n" % length):
                return data[start:-2]
            return self._whole_chunks(data)
        if self._next == _CONTENT and data[self._left : self._left + 2] == _CRLF:
            # The rest of a chunk that was cut; whole chunks may follow.
            content, data = data[: self._left], data[self._left + 2 :]
            self._next = _SIZE
            return content + self._whole_chunks(data) if data else content
        return self._step_by_step(data)

    def _whole_chunks(self, data: bytes) -> bytes:
        lines = data.split(_CRLF)
        # The last line is incomplete, and so is its chunk.
        rest = lines.pop()
        if len(lines) % 2:
            rest = lines.pop() + _CRLF + rest
        contents = lines[1::2]
        if lines[::2] != [*map(_size_line, map(len, contents))]:
            return self._step_by_step(data)
        if b"" in contents:
            # The last chunk, without a trailer, after which there should be nothing.
            if contents.index(b"") != len(contents) - 1:
                return self._step_by_step(data)
            self.over, self.has_surplus = True, bool(rest)
        elif rest:
            contents.append(self._step_by_step(rest))
        return b"".join(contents)

    def _step_by_step(self, data: bytes) -> bytes:
        contents: list[bytes] = []
        at, end = 0, len(data)
        while at < end and not self.over and not self.fault:
            if self._next == _CONTENT:
                content = data[at : at + self._left]
                contents.append(content)
                at += len(content)
                self._left -= len(content)
                if not self._left and data.startswith(_CRLF, at):
                    at += len(_CRLF)
                    self._next = _SIZE
                elif not self._left:
                    self._next = _CONTENT_END
                continue
            stop = data.find(_CRLF, at, at + _LINE_LIMIT)
            if stop < 0:
                self._keep(data[at:])
                break
            self._read_line(data[at:stop])
            at = stop + 2
        self.has_surplus = self.over and at < end
        return b"".join(contents)

    def _read_line(self, line: bytes) -> None:
        if self._next == _SIZE:
            if (size := _SIZE_LINE.fullmatch(line)) is None:
                self.fault = "a chunk without a valid size"
                return
            self._left = int(size[1], 16)
            self._next = _CONTENT if self._left else _TRAILER
        elif self._next == _CONTENT_END:
            self._next = _SIZE
            if line:
                self.fault = "a chunk that is longer than its size"
        elif not line:
            self.over = True
        else:
            self._trailer_room -= len(line) + 2
            if self._trailer_room < 0 or not _FIELD_LINE.fullmatch(line):
                self.fault = "a trailer that is too long or not valid"

    def _keep(self, line: bytes) -> None:
        """Keep the start of a line for the next read, if a valid line can become of it."""
        if self._next == _CONTENT_END and line != b"\r":
            self.fault = "a chunk that is longer than its size"
        elif len(line) >= _LINE_LIMIT:
            self.fault = "a line of the chunked coding that is too long"
        elif b"\n" in line:
            # The server may wait for the next request already.
            self.fault = "a line of the chunked coding that does not end with CR LF"
        else:
            self._kept = line

    def end(self) -> None:
        """Do nothing: the end of the connection does not end this body."""


class KnownLength:
    """
    A body with a length.

    Args:
        length: The number of bytes.
    """

    __slots__ = ("_left", "has_surplus", "over")

    fault: Final = ""

    def __init__(self, length: int) -> None:
        self._left = length
        self.over = not length
        self.has_surplus = False

    def feed(self, data: bytes) -> bytes:
        """Return the part of a read that belongs to the body."""
        left = self._left
        self._left = left - len(data)
        if self._left > 0:
            return data
        self.over, self.has_surplus = True, self._left < 0
        return data[:left]

    def end(self) -> None:
        """Do nothing: the end of the connection does not end this body."""


class UntilClose:
    """A body that ends with its connection."""

    __slots__ = ("over",)

    has_surplus: Final = False
    fault: Final = ""

    def __init__(self) -> None:
        self.over = False

    def feed(self, data: bytes) -> bytes:
        """Return the read, all of which belongs to the body."""
        return data

    def end(self) -> None:
        """End the body: the server has ended what it sends."""
        self.over = True


Framing: TypeAlias = Unchunker | KnownLength | UntilClose
