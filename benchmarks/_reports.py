"""Problems that a program reports without failing: warnings, log records, unhandled exceptions."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ("captured_reports",)


class _Handler(logging.Handler):
    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._kept.append(f"{record.name}: {record.getMessage()}" + (f" ({error!r})" if error else ""))


@contextmanager
def captured_reports() -> Generator[list[str]]:
    """
    Capture reports during a `with` block.

    Yields:
        The reports, in a list that grows: warnings, log records from the level of a warning (those of the exception
        handlers of event loops are among them), and exceptions that threads and finalizers did not catch.
    """
    kept: list[str] = []
    handler = _Handler(kept)
    thread_hook, unraisable_hook = threading.excepthook, sys.unraisablehook
    threading.excepthook = lambda args: kept.append(f"a thread raised {args.exc_value!r}")
    sys.unraisablehook = lambda args: kept.append(f"{args.err_msg or 'ignored in'} {args.object!r}: {args.exc_value!r}")
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(capture=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            yield kept
    finally:
        logging.captureWarnings(capture=False)
        logging.getLogger().removeHandler(handler)
        threading.excepthook, sys.unraisablehook = thread_hook, unraisable_hook
