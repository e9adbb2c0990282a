"""Recordings of exchanges with a real server, with every byte and its moment."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson


class RecordedRequest(msgspec.Struct, frozen=True):
    """
    The request of a recording.

    Attributes:
        method: The HTTP method, in capitals.
        path: The path, such as ``/api/chat``.
        body: The JSON body. A str if the body is not JSON, None if there is none.

    .. versionadded:: 0.1
    """

    method: str
    path: str
    body: Any = None


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """
    One recorded exchange.

    Attributes:
        name: The stem of its file.
        about: A description.
        request: The request.
        status: The HTTP status of the answer.
        headers: The headers of the answer, with lower-case names.
        head_ns: Nanoseconds from the request to the first byte of the answer.
        reads: The nanoseconds and bytes of each piece of the body, in order of arrival.
        end_ns: Nanoseconds from the request to the end of the body.
        ends: How the body ended: complete, cut off by a closed connection, or reset.
        expect: The values that a client should find.

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
        """The bytes of the answer's body."""
        return b"".join(data for _, data in self.reads)

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """
        Return the recording in a file.

        Args:
            path: A JSON file that holds one exchange.

        Returns:
            The recording, named after the file.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If the file does not hold a recording. The message names the file.
        """
        path = Path(path)
        try:
            fields = orjson.loads(path.read_bytes())
            reads = [(at, _piece(piece)) for at, piece in fields["reads"]]
            return msgspec.convert({**fields, "name": path.stem, "reads": reads}, cls)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: expected a recording: {error!r}") from error

    @classmethod
    def load_all(cls, folder: str | Path) -> dict[str, Recording]:
        """
        Return all recordings in a folder.

        Args:
            folder: A folder whose ``*.json`` files are recordings.

        Returns:
            The recordings by name, sorted.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If a file does not hold a recording.
        """
        paths = {path.stem: path for path in Path(folder).glob("*.json")}
        return {name: cls.load(path) for name, path in sorted(paths.items())}


def _piece(piece: str | dict[str, str]) -> bytes:
    # A read may end within a character, and a JSON string cannot hold half of one.
    return piece.encode() if isinstance(piece, str) else base64.b64decode(piece["base64"], validate=True)
