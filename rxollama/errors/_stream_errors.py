"""The base class of the errors that end a stream, and the errors that any request can end with."""

from __future__ import annotations

from typing import TypedDict, Unpack

from rxollama._invalid_value import RxOllamaError
from rxollama.messages import ChatResponse

__all__ = (
    "ClientClosedError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "ContextTruncatedError",
    "ContextTruncatedWarning",
    "EmptyStreamError",
    "HttpClientError",
    "ProtocolError",
    "RepetitionError",
    "ReportedError",
    "RequestFields",
    "RestartedError",
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
    The error of waiting for a stream inside trio, or after gevent has patched the standard library.

    .. versionadded:: 0.1
    """


class EmptyStreamError(RxOllamaError):
    """
    The error of a stream that ended without an item, if one was expected.

    .. versionadded:: 0.1
    """


class SlowCallbackWarning(RuntimeWarning):
    """
    The warning of a callback that blocked the event loop, and with it every stream on that loop.

    .. versionadded:: 0.1
    """


class ContextTruncatedWarning(RuntimeWarning):
    """
    The warning of a prompt that was longer than the context window, so that the model did not read all of it.

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
        message: The problem, the expectation, and the advice, for people.
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
    The error of a stream whose client or event loop was closed.

    .. versionadded:: 0.1
    """


class HttpClientError(StreamError):
    """
    The error of an `http_client=` in which the caller's own code raised: a hook, an auth or a transport.

    Its `__cause__` is what was raised.

    .. versionadded:: 0.1
    """


class ConnectionFailedError(StreamError):
    """
    The error of a server that cannot be reached: refused, not resolved, or without a secure connection.

    .. versionadded:: 0.1
    """


class ConnectionLostError(StreamError):
    """
    The error of a connection that broke before the response was complete.

    .. versionadded:: 0.1
    """


class StreamTimeoutError(StreamError, TimeoutError):
    """
    The error of a phase that took too long.

    Args:
        message: As in `StreamError`.
        phase: The phase: `connect`, `first_chunk`, `gap` or `total`.
        request: *model*, *host*, *endpoint* and *partial*, as in `StreamError`.

    .. versionadded:: 0.1
    """

    phase: str

    def __init__(self, message: str, *, phase: str = "", **request: Unpack[RequestFields]) -> None:
        super().__init__(message, **request)
        self.phase = phase


class ReportedError(StreamError):
    """
    The error that a server reports within a stream that began well.

    Args:
        message: As in `StreamError`.
        detail: The server's own text.
        body: The error record, shortened.
        request: As in `StreamTimeoutError`.

    .. versionadded:: 0.1
    """

    detail: str
    body: str

    def __init__(self, message: str, *, detail: str = "", body: str = "", **request: Unpack[RequestFields]) -> None:
        super().__init__(message, **request)
        self.detail = detail
        self.body = body


class RestartedError(StreamError):
    """
    The error of a stream of texts or values that cannot be taken back, if the answer began over and came out otherwise.

    .. versionadded:: 0.1
    """


class ContextTruncatedError(StreamError):
    """
    The error of a prompt that was longer than the context window, for `on_truncated="raise"`.

    The server answers such a prompt without a notice. So the answer is complete, and *partial* holds all of it.

    .. versionadded:: 0.1
    """


class TruncatedError(StreamError):
    """
    The error of a response that is complete for HTTP and ended before the answer was.

    .. versionadded:: 0.1
    """


class ProtocolError(StreamError):
    """
    The error of a response that no Ollama server sends.

    .. versionadded:: 0.1
    """


class RepetitionError(StreamError):
    """
    The error of an answer that repeats itself.

    The server ends an answer after more than 30 equal pieces of text; `stop_loops` finds a phrase that repeats itself.
    The same request mostly repeats itself again, so `retry` passes this error on. Other options, such as a higher
    `repeat_penalty` or `temperature`, or another model, can help.

    Args:
        message: As in `StreamError`. It does not quote the answer.
        found_by: The finder: "server" for the server's own guard, or "stop_loops" for the operator.
        request: As in `StreamTimeoutError`.

    .. versionadded:: 0.1
    """

    found_by: str

    def __init__(self, message: str, *, found_by: str = "server", **request: Unpack[RequestFields]) -> None:
        super().__init__(message, **request)
        self.found_by = found_by
