"""Everything that a program would only mutter about, kept: logged, warned of, or raised where nobody listens."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ("complaints",)


class _Keeper(logging.Handler):
    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._kept.append(f"{record.name}: {record.getMessage()}" + (f" ({error!r})" if error else ""))


@contextmanager
def complaints() -> Generator[list[str]]:
    """
    Keep complaints for the length of a `with`.

    Yields:
        The complaints, as they come: warnings, all that is logged as one or worse, with it what goes to the exception
        handler of an event loop, and exceptions that nobody caught, of threads and finalizers.
    """
    kept: list[str] = []
    keeper = _Keeper(kept)
    thread_hook, unraisable_hook = threading.excepthook, sys.unraisablehook
    threading.excepthook = lambda args: kept.append(f"a thread raised {args.exc_value!r}")
    sys.unraisablehook = lambda args: kept.append(f"{args.err_msg or 'nobody could be told'}: {args.exc_value!r}")
    logging.getLogger().addHandler(keeper)
    logging.captureWarnings(capture=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            yield kept
    finally:
        logging.captureWarnings(capture=False)
        logging.getLogger().removeHandler(keeper)
        threading.excepthook, sys.unraisablehook = thread_hook, unraisable_hook
