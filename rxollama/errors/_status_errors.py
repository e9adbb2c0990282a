"""The errors of a server that refuses a request with an HTTP status."""

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
    "UsageLimitError",
)


class StatusFields(RequestFields, total=False):
    """The arguments that every `StatusError` accepts."""

    status: int
    detail: str
    body: str
    signin_url: str
    retry_after: float | None


class StatusError(StreamError):
    """
    The error of a request that the server refused with an HTTP status.

    Args:
        message: As in `StreamError`.
        status: The HTTP status.
        detail: The server's own text.
        body: The body of the response, shortened.
        signin_url: The address to sign in at, with status 401. Empty if the server gives none.
        retry_after: The seconds after which to retry. None if the server does not say.
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
    The error of a request that the server does not accept (400).

    .. versionadded:: 0.1
    """


class UnauthorizedError(StatusError):
    """
    The error of a request without valid credentials (401). `signin_url` is the address to sign in at.

    .. versionadded:: 0.1
    """


class ForbiddenError(StatusError):
    """
    The error of a client that the server does not serve (403).

    .. versionadded:: 0.1
    """


class NotFoundError(StatusError):
    """
    The error of a model or endpoint that the server does not have (404).

    .. versionadded:: 0.1
    """


class BusyError(StatusError):
    """
    The error of a server that has too many requests (429, 503). `retry_after` says when to retry.

    .. versionadded:: 0.1
    """


class UsageLimitError(StatusError):
    """
    The error of a cloud whose usage limit is reached, such as that of a session or a week.

    It is not a `BusyError`: `retry` passes it on, because no attempt helps until the window of the limit ends.
    `fallback` continues with its next source, such as a local model.

    Args:
        message: As in `StreamError`.
        upgrade_url: The address at which to raise the limit. Empty if the server names none.
        fields: The other arguments of `StatusError`. *status* is 0 if the limit was reported within a stream.

    .. versionadded:: 0.1
    """

    upgrade_url: str

    def __init__(self, message: str, *, upgrade_url: str = "", **fields: Unpack[StatusFields]) -> None:
        super().__init__(message, **fields)
        self.upgrade_url = upgrade_url


class ServerFailureError(StatusError):
    """
    The error of a server that failed (500 and up).

    .. versionadded:: 0.1
    """
