"""The log file: what happens in a chat, as JSON lines."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import orjson
import structlog

from rxollama.cli._output import CommandError
from rxollama.operators import Logger

__all__ = ("json_log",)


@contextmanager
def json_log(path: Path) -> Generator[Logger, None, None]:
    """
    Open a log file, to be appended to.

    Args:
        path: The file.

    Yields:
        A logger that writes a JSON line for each event.

    Raises:
        CommandError: When the file cannot be written.
    """
    try:
        file = path.open("ab")
    except OSError as error:
        raise CommandError(f"cannot write the log {path}: {error.strerror}") from None
    with file:
        logger = structlog.wrap_logger(
            structlog.BytesLoggerFactory(file)(),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(0),
        )
        yield cast("Logger", logger)
