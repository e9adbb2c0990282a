"""
All errors.

    RxOllamaError
    ├── InvalidValueError         a value was refused before anything was sent: mend the call
    ├── RunningLoopError          `run` or `iterate` inside an event loop: use `await` or `aiterate`
    └── StreamError               a request failed; carries model, endpoint and what arrived
        ├── ClientClosedError     the client, or its event loop, was closed: make a new one
        ├── ConnectionFailedError no connection: start the server or set OLLAMA_HOST, then retry
        ├── ConnectionLostError   the connection broke; a retry can help
        ├── StreamTimeoutError    a phase took too long; a retry can help, a longer time more
        ├── StatusError           the server refused with a status; carries its words
        │   ├── BadRequestError       400: mend the request
        │   ├── UnauthorizedError     401: sign in, or set OLLAMA_API_KEY
        │   ├── ForbiddenError        403: the server does not serve this client
        │   ├── NotFoundError         404: pull the model
        │   ├── BusyError             429, 503: retry after a while
        │   └── ServerFailureError    500 and up: a retry can help, unless it is a parser's failure
        ├── ReportedError         an error record inside a stream that began well
        ├── TruncatedError        the stream ended before the answer did; a retry can help
        └── ProtocolError         what came is not Ollama's: is this the right server?

The client raises all of them into `on_error` of the subscription that failed, and the calls that leave Rx (`run`,
`iterate`, `aiterate`, `await`) raise them. Every `StreamError` carries in `partial` what had arrived.
"""

from __future__ import annotations

from typing import TypedDict, Unpack

from rxollama._refusal import InvalidValueError, RxOllamaError
from rxollama.messages import ChatResponse

__all__ = (
    "BadRequestError",
    "BusyError",
    "ClientClosedError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "ForbiddenError",
    "InvalidValueError",
    "NotFoundError",
    "ProtocolError",
    "ReportedError",
    "RunningLoopError",
    "RxOllamaError",
    "ServerFailureError",
    "SlowCallbackWarning",
    "StatusError",
    "StreamError",
    "StreamTimeoutError",
    "TruncatedError",
    "UnauthorizedError",
)


class RunningLoopError(RxOllamaError, RuntimeError):
    """
    Say that a blocking call was made where it would block an event loop for ever.

    .. versionadded:: 0.1
    """


class SlowCallbackWarning(RuntimeWarning):
    """
    Warn that a callback held the event loop, and with it every stream that lives there.

    .. versionadded:: 0.1
    """


class _Request(TypedDict, total=False):
    model: str
    endpoint: str
    partial: ChatResponse | None


class StreamError(RxOllamaError):
    """
    Be the base of every error that ends a stream.

    Args:
        message: What went wrong and what to do, for people.
        model: The model that was asked.
        endpoint: The endpoint, such as `POST /api/chat`.
        partial: What had arrived, `done=False`; None where the call brings no chat.

    .. versionadded:: 0.1
    """

    model: str
    endpoint: str
    partial: ChatResponse | None

    def __init__(
        self,
        message: str,
        *,
        model: str = "",
        endpoint: str = "",
        partial: ChatResponse | None = None,
    ) -> None:
        super().__init__(message)
        self.model = model
        self.endpoint = endpoint
        self.partial = partial

    def __str__(self) -> str:
        """Tell what went wrong, and with which request."""
        where = ", ".join(filter(None, (self.model and f"model {self.model!r}", self.endpoint)))
        return f"{self.args[0]} ({where})" if where else str(self.args[0])


class ClientClosedError(StreamError):
    """
    Say that the client, or the event loop that a stream lived on, was closed.

    .. versionadded:: 0.1
    """


class ConnectionFailedError(StreamError):
    """
    Say that there is no connection to the server: refused, unresolvable, or no secure one.

    .. versionadded:: 0.1
    """


class ConnectionLostError(StreamError):
    """
    Say that the connection broke while the server was answering.

    .. versionadded:: 0.1
    """


class StreamTimeoutError(StreamError, TimeoutError):
    """
    Say that a phase of a stream took too long.

    Args:
        message: As in `StreamError`.
        phase: The phase: `connect`, `first_chunk`, `gap` or `total`.
        request: The model, the endpoint and what had arrived, as in `StreamError`.

    .. versionadded:: 0.1
    """

    phase: str

    def __init__(self, message: str, *, phase: str = "", **request: Unpack[_Request]) -> None:
        super().__init__(message, **request)
        self.phase = phase


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
        **request: Unpack[_Request],
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


class ReportedError(StreamError):
    """
    Say that the server reported an error in a stream that had begun well.

    Args:
        message: As in `StreamError`.
        detail: The server's own words, unwrapped.
        body: The record as it came, shortened.
        request: As in `StreamTimeoutError`.

    .. versionadded:: 0.1
    """

    detail: str
    body: str

    def __init__(self, message: str, *, detail: str = "", body: str = "", **request: Unpack[_Request]) -> None:
        super().__init__(message, **request)
        self.detail = detail
        self.body = body


class TruncatedError(StreamError):
    """
    Say that the stream ended, properly for HTTP, before the answer did.

    .. versionadded:: 0.1
    """


class ProtocolError(StreamError):
    """
    Say that what came is not what an Ollama server sends.

    .. versionadded:: 0.1
    """
