"""The check of whether a logger can be called as structlog's synchronous loggers are."""

from __future__ import annotations

import logging
from inspect import CO_VARKEYWORDS, iscoroutinefunction, signature

from .._invalid_value import InvalidValueError, invalid_value

__all__ = ("check_logger",)

_LEVELS = ("info", "warning", "error")


def check_logger(logger: object) -> None:
    """Raise `InvalidValueError` if a logger cannot be called as structlog's synchronous loggers are."""
    allowed = "a logger of structlog, or of `logging` by structlog.wrap_logger(...)"
    wrong_logger = invalid_value("logger", logger, allowed, show=False)
    # Loggers of `logging` have these methods too, but take no fields.
    if isinstance(logger, (logging.Logger, logging.LoggerAdapter)):
        raise wrong_logger
    try:
        methods = [getattr(logger, level, None) for level in _LEVELS]
    except RuntimeError as error:
        # A lazy `AsyncBoundLogger` needs a running loop for this.
        raise _async_logger(logger) from error
    if any(map(iscoroutinefunction, methods)):
        raise _async_logger(logger)
    if not all(map(_takes_fields, methods)):
        raise wrong_logger


def _async_logger(logger: object) -> InvalidValueError:
    error = invalid_value("logger", logger, "a synchronous logger of structlog", show=False)
    advice = "pass the `sync_bl` of an AsyncBoundLogger, or use wrapper_class=structlog.stdlib.BoundLogger"
    return InvalidValueError(f"{error}: {advice}", field=error.field, given=error.given, allowed=error.allowed)


def _takes_fields(method: object) -> bool:
    if not callable(method):
        return False
    code = getattr(getattr(method, "__func__", None), "__code__", None)
    if code is not None and (code.co_argcount, code.co_kwonlyargcount) == (2, 0):
        # As the methods of structlog are. To bind the signature would be a tenth of a short chat.
        return bool(code.co_flags & CO_VARKEYWORDS)
    try:
        parameters = signature(method)
    except (TypeError, ValueError):
        # Some callables, such as those written in C, have no signature.
        return True
    try:
        parameters.bind("event", chat="")
    except TypeError:
        return False
    return True
