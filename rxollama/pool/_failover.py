"""Which failures another host can help with, and the error if no host is left."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from rxollama._runtime import add_note, describe
from rxollama.errors import (
    BusyError,
    ClientClosedError,
    ConnectionFailedError,
    ForbiddenError,
    NotFoundError,
    StreamError,
    StreamTimeoutError,
    UnauthorizedError,
    UsageLimitError,
)
from rxollama.transport import Request

__all__ = ("is_declined", "may_go_elsewhere", "most_useful", "none_offers")

# The request is right, and this host does not serve it. Other statuses from 400 to 499 say that the request is wrong,
# which it would be everywhere.
_DECLINED = {401, 403, 404, 429}

# What changes a host. On another one it would be another change.
_CHANGES = {"/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete"}
_UNTOUCHED = (BusyError, ConnectionFailedError, ForbiddenError, NotFoundError, UnauthorizedError, UsageLimitError)


def is_declined(status: int) -> bool:
    """Return whether a status says that this host does not serve the request, so that another may."""
    is_redirect = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
    return is_redirect or status in _DECLINED or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def may_go_elsewhere(request: Request, error: StreamError) -> bool:
    """Return whether another host may be sent a request that failed with an error before its response began."""
    if isinstance(error, ClientClosedError):
        return False
    if request.path not in _CHANGES or isinstance(error, _UNTOUCHED):
        return True
    return isinstance(error, StreamTimeoutError) and error.phase == "connect"


def most_useful(failures: Iterable[StreamError]) -> StreamError:
    """
    Return the error to raise if all hosts failed.

    Args:
        failures: The error of each host, the one that was tried first before the others.

    Returns:
        The error that says most: a model that one host does not have says less than a host that has it and is down. The
        others are in its notes.
    """
    known = list(failures)
    chosen = min(known, key=_triviality)
    for error in known:
        if error is not chosen:
            add_note(chosen, f"{error.host} failed, too: {describe(error)}")
    return chosen


def none_offers(model: str) -> NotFoundError:
    """Return the error for a model that no host of the pool may be asked for."""
    return NotFoundError(
        f"no host of the pool offers the model: expected one with {model!r} in its models=, or one without models=; "
        "add it to a Host",
        status=404,
        detail="no host of the pool offers the model",
    )


def _triviality(error: StreamError) -> int:
    if isinstance(error, NotFoundError):
        return 2
    return int(isinstance(error, (ForbiddenError, UnauthorizedError, UsageLimitError)))
