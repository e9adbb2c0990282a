"""The replacement of a file as a whole."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ("replace_file",)

_TEMPORARY = ".tmp"
# An hour. See `_remove_stale`.
_STALE_SECONDS = 3600.0


def replace_file(target: Path, content: bytes) -> None:
    """
    Replace a file as a whole, or write a new one. A process that is killed meanwhile leaves the old one.

    Args:
        target: The file.
        content: The new content.

    Raises:
        OSError: If the file cannot be written.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=_TEMPORARY, dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
            now = os.fstat(descriptor).st_mtime
        with suppress(FileNotFoundError):
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The file is saved. A stale one that cannot be removed is not a reason to fail.
    with suppress(OSError):
        _remove_stale(target, now)


def _remove_stale(target: Path, now: float) -> None:
    """
    Remove the temporary files that killed processes left beside a target.

    The law: a temporary file of this very target is stale if it was last written an hour before the save that has just
    ended. Both times are from the file system's clock, so that the clocks of several machines do not matter. A save
    takes seconds, so another process that saves at this moment keeps its file. If that process slept for an hour in
    the middle of its save, its rename fails with an `OSError`, and the target still is one whole file.
    A lock on the file would be exact, but is not available on every platform and network file system. The id of a
    process in the name says nothing on another machine or in another container.
    """
    ours = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]{{8}}{re.escape(_TEMPORARY)}")
    with os.scandir(target.parent) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name):
                # Another process may remove it first.
                with suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < now - _STALE_SECONDS:
                        Path(entry.path).unlink()
