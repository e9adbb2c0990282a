"""The errors of a server that refuses a request with a status."""

from __future__ import annotations

from typing import Unpack

from rxollama.errors._stream_errors import RequestFields, StreamError

__all__ = (
    "BadRequestError",
    "BusyError",
    "ForbiddenError",
    "NotFoundError",
    "ServerFailureError",
    "StatusError",
    "UnauthorizedError",
)


class StatusError(StreamError):
    """
    Say that the server refused a request with a status.

    Args:
        message: As in `StreamError`.
        status: The HTTP status.
        detail: The server's own words, unwrapped.
        body: The body as it came, shortened.
        signin_url: Where to sign in, with status 401; empty where the server names no place.
        retry_after: After how many seconds to try again; None where the server does not say.
        request: As in `StreamTimeoutError`.

    .. versionadded:: 0.1
    """

    status: int
    detail: str
    body: str
    signin_url: str
    retry_after: float | None

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        detail: str = "",
        body: str = "",
        signin_url: str = "",
        retry_after: float | None = None,
        **request: Unpack[RequestFields],
    ) -> None:
        super().__init__(message, **request)
        self.status = status
        self.detail = detail
        self.body = body
        self.signin_url = signin_url
        self.retry_after = retry_after


class BadRequestError(StatusError):
    """
    Say that the server does not take the request (400).

    .. versionadded:: 0.1
    """


class UnauthorizedError(StatusError):
    """
    Say that the server wants to know who asks (401); `signin_url` is where to sign in.

    .. versionadded:: 0.1
    """


class ForbiddenError(StatusError):
    """
    Say that the server does not serve this client (403).

    .. versionadded:: 0.1
    """


class NotFoundError(StatusError):
    """
    Say that the server has no such model or endpoint (404).

    .. versionadded:: 0.1
    """


class BusyError(StatusError):
    """
    Say that the server has too much to do (429, 503); `retry_after` is when to come again.

    .. versionadded:: 0.1
    """


class ServerFailureError(StatusError):
    """
    Say that the server failed (500 and up).

    .. versionadded:: 0.1
    """
