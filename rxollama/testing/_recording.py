"""Recordings: one exchange with a real server, byte for byte and with its timing."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson


class RecordedRequest(msgspec.Struct, frozen=True):
    """
    What the client asked.

    Attributes:
        method: The HTTP method, in capitals.
        path: The path, such as ``/api/chat``.
        body: The JSON body; text where the body was no JSON; ``None`` where there was none.

    .. versionadded:: 0.1
    """

    method: str
    path: str
    body: Any = None


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """
    One recorded exchange.

    Attributes:
        name: The stem of the file it came from.
        about: What the recording shows.
        request: What was asked.
        status: The HTTP status of the answer.
        headers: The headers of the answer, under lower-case names.
        head_ns: Nanoseconds from the request to the first byte of the answer.
        reads: Nanoseconds and bytes of each piece of the body, in order of arrival.
        end_ns: Nanoseconds from the request to the end of the body.
        ends: Whether the body ended properly, was cut off, or was reset.
        expect: What a client has to make of it.

    .. versionadded:: 0.1
    """

    name: str
    about: str = ""
    request: RecordedRequest
    status: int
    headers: dict[str, str]
    head_ns: int
    reads: tuple[tuple[int, bytes], ...]
    end_ns: int
    ends: Literal["complete", "cut", "reset"] = "complete"
    expect: dict[str, Any] = {}

    @property
    def body(self) -> bytes:
        """All bytes of the answer's body."""
        return b"".join(data for _, data in self.reads)

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """
        Read one recording.

        Args:
            path: A JSON file that holds one exchange.

        Returns:
            The recording, named after the file.

        Raises:
            OSError: The file cannot be read.
            ValueError: The file holds no recording; the message names the file.
        """
        path = Path(path)
        try:
            fields = orjson.loads(path.read_bytes())
            reads = [(at, _piece(piece)) for at, piece in fields["reads"]]
            return msgspec.convert({**fields, "name": path.stem, "reads": reads}, cls)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no recording: {error!r}") from error

    @classmethod
    def load_all(cls, folder: str | Path) -> dict[str, Recording]:
        """
        Read all recordings of a folder.

        Args:
            folder: A folder whose ``*.json`` files are recordings.

        Returns:
            The recordings by name, sorted.

        Raises:
            OSError: A file cannot be read.
            ValueError: A file holds no recording.
        """
        paths = {path.stem: path for path in Path(folder).glob("*.json")}
        return {name: cls.load(path) for name, path in sorted(paths.items())}


def _piece(piece: str | dict[str, str]) -> bytes:
    # A read may end in the middle of a character, which no JSON string can hold.
    return piece.encode() if isinstance(piece, str) else base64.b64decode(piece["base64"], validate=True)
