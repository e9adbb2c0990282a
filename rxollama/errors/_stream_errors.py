"""The base of all errors that end a stream, and those that may end any."""

from __future__ import annotations

from typing import TypedDict, Unpack

from rxollama._invalid_value import RxOllamaError
from rxollama.messages import ChatResponse

__all__ = (
    "ClientClosedError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "EmptyStreamError",
    "ProtocolError",
    "ReportedError",
    "RequestFields",
    "RunningLoopError",
    "SlowCallbackWarning",
    "StreamError",
    "StreamTimeoutError",
    "TruncatedError",
    "UnsupportedRuntimeError",
)


class RunningLoopError(RxOllamaError, RuntimeError):
    """
    The error of a blocking call on the thread of a running event loop.

    .. versionadded:: 0.1
    """


class UnsupportedRuntimeError(RxOllamaError, RuntimeError):
    """
    The error of a call from trio, or under the patches of gevent, where asyncio cannot run a stream.

    .. versionadded:: 0.1
    """


class EmptyStreamError(RxOllamaError):
    """
    The error of a stream that ended without an item, where one was asked for.

    .. versionadded:: 0.1
    """


class SlowCallbackWarning(RuntimeWarning):
    """
    Warn that a callback held the event loop, and with it every stream that lives there.

    .. versionadded:: 0.1
    """


class RequestFields(TypedDict, total=False):
    """The arguments that every `StreamError` accepts."""

    model: str
    host: str
    endpoint: str
    partial: ChatResponse | None


class StreamError(RxOllamaError):
    """
    The base class of every error that ends a stream.

    Args:
        message: What went wrong, what was expected, and what to do.
        model: The model of the request.
        host: The base URL of the server, such as `http://gpu-box:11434`.
        endpoint: The endpoint, such as `POST /api/chat`.
        partial: The response as far as it arrived, with `done=False`. None for a call that is not a chat.

    .. versionadded:: 0.1
    """

    model: str
    host: str
    endpoint: str
    partial: ChatResponse | None

    def __init__(
        self,
        message: str,
        *,
        model: str = "",
        host: str = "",
        endpoint: str = "",
        partial: ChatResponse | None = None,
    ) -> None:
        super().__init__(message)
        self.model = model
        self.host = host
        self.endpoint = endpoint
        self.partial = partial

    def __str__(self) -> str:
        """Return the message, with the model and the address of the request."""
        message = str(self.args[0])
        # A message about a connection names the host already.
        host = "" if self.host in message else self.host
        address = self.endpoint.replace(" ", f" {host}", 1) if self.endpoint else host
        where = ", ".join(filter(None, (self.model and f"model {self.model!r}", address)))
        return f"{message} ({where})" if where else message


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

    def __init__(self, message: str, *, phase: str = "", **request: Unpack[RequestFields]) -> None:
        super().__init__(message, **request)
        self.phase = phase


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

    def __init__(self, message: str, *, detail: str = "", body: str = "", **request: Unpack[RequestFields]) -> None:
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
