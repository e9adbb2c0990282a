"""The memory of waits, which clients may share and a file may keep."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import Literal, NoReturn, cast

import msgspec

from rxollama._invalid_value import InvalidValueError, invalid_value
from rxollama._runtime import replace_file, report_error, running
from rxollama.client._learned_wait import LearnedWait
from rxollama.client._wait_book import Key, WaitBook

__all__ = ("WaitEstimates",)

_WRITING_SECONDS = 5.0
_KIND = "wait estimates"
_VERSION = 1


class _Head(msgspec.Struct, frozen=True):
    """The head of a file, which shows whether the file is one of these."""

    rxollama: Literal["wait estimates"]
    version: int


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The wait for one model on one host."""

    host: str
    model: str
    wait: LearnedWait


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    rxollama: str
    version: int
    waits: tuple[_Entry, ...]


class WaitEstimates:
    """
    The memory of how long first tokens took, by host and model.

    A client learns from every answer, and `meter` shows the rest of the wait in `MeterReading.expected`. Each client
    has a memory of its own. Pass one to several clients to share it, and a path to keep it:
    `Ollama(wait_estimates=WaitEstimates("waits.json"))`.

    The file is JSON. It holds hosts, names of models and durations, and never a text, a key or a header. It is read
    once, here. After an answer it is replaced as a whole, on a thread, at most every five seconds, and once more when a
    client closes. If several processes write, the last one wins. A failure to write is logged once.

    An estimate counts the load of the model, if it is not loaded, and the reading of the prompt. A queue on the server
    cannot be foreseen, and is not in it. Neither are images. The answers of a transport without a host, such as a pool
    of hosts, are learned as those of one host.

    Args:
        path: The file; None for a memory that ends with the process. It need not exist.

    Raises:
        InvalidValueError: If the path cannot name a file. If the file is not one that this class wrote, or a newer
            version wrote it; it is left as it is.
        OSError: If the file exists and cannot be read.

    Attributes:
        book: What is known, for the clients.

    .. versionadded:: 0.1
    """

    def __init__(self, path: str | PathLike[str] | None = None) -> None:
        self._path = None if path is None else _path_of(path)
        self.book: WaitBook = WaitBook({} if self._path is None else _read(self._path), self._on_change)
        self._has_changed = self._has_failed = False
        self._next = 0.0
        self._thread: threading.Thread | None = None

    @property
    def path(self) -> Path | None:
        """The file, or None."""
        return self._path

    def save(self) -> None:
        """
        Write the file now, if there is one, and block until it is written.

        Raises:
            OSError: If it cannot be written.

        .. versionadded:: 0.1
        """
        self._has_changed = False
        if self._path is not None:
            _write(self._path, self.book.known())

    def close(self) -> None:
        """
        Write what was learned since the file was written; wait for it unless a loop runs on this thread.

        A client does this when it closes. The memory can be used afterwards.

        .. versionadded:: 0.1
        """
        if running() is None:
            self._flush()
        else:
            self._begin_writing()

    async def aclose(self) -> None:
        """
        Write what was learned since the file was written, and wait for it.

        .. versionadded:: 0.1
        """
        if self._begin_writing() is not None:
            await asyncio.to_thread(self._flush)

    def __repr__(self) -> str:
        return "WaitEstimates()" if self._path is None else f"WaitEstimates({os.fspath(self._path)!r})"

    def _on_change(self) -> None:
        if self._path is None:
            return
        self._has_changed = True
        now = monotonic()
        if now >= self._next:
            self._next = now + _WRITING_SECONDS
            self._begin_writing()

    def _flush(self) -> None:
        while (thread := self._begin_writing()) is not None:
            thread.join()

    def _begin_writing(self) -> threading.Thread | None:
        """Return the thread that writes, which begins if there is something to write; None if there is not."""
        thread = self._thread
        # The thread of a parent process is not alive in a forked child.
        if thread is not None and thread.is_alive():
            return thread
        if not self._has_changed:
            return None
        # The interpreter waits for it as it exits, also if it begins on the background loop's thread, a daemon.
        thread = threading.Thread(target=self._write_changes, name="rxollama-estimates", daemon=False)
        try:
            thread.start()
        except RuntimeError:
            # No thread can be started, as while the interpreter exits.
            self._write_changes()
            return None
        self._thread = thread
        return thread

    def _write_changes(self) -> None:
        try:
            self.save()
        except Exception as error:  # noqa: BLE001 - Whatever it is, an answer does not fail for it.
            if not self._has_failed:
                self._has_failed = True
                report_error(f"the wait estimates cannot be saved in {self._path}, and are kept in memory only", error)


def _path_of(path: object) -> Path:
    try:
        found = Path(cast("str", path))
    except TypeError:
        found = None
    if path == "" or found is None or "\0" in str(found):
        raise invalid_value("path", path, "the path of a file, as a str or a PathLike of str", show=False)
    return found


def _read(path: Path) -> dict[Key, LearnedWait]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    try:
        head = msgspec.json.decode(content, type=_Head)
        if head.version > _VERSION:
            _refuse(path, f"a file of the newer version {head.version}")
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse(path, f"something else ({error})")
    return {(entry.host, entry.model): entry.wait for entry in file.waits}


def _refuse(path: Path, found: str) -> NoReturn:
    allowed = "a file that WaitEstimates wrote"
    message = f"path: expected {allowed}, got {found} in {path}; name another file, or delete this one"
    raise InvalidValueError(message, field="path", allowed=allowed) from None


def _write(path: Path, known: Mapping[Key, LearnedWait]) -> None:
    entries = tuple(_Entry(host, model, wait) for (host, model), wait in known.items())
    content = msgspec.json.encode(_File(_KIND, _VERSION, entries))
    # The file that a link leads to is replaced, not the link.
    replace_file(Path(os.path.realpath(path)), msgspec.json.format(content, indent=1) + b"\n")
