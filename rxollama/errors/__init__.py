"""
All errors.

    RxOllamaError
    ├── InvalidValueError         an argument is wrong and nothing was sent: correct the call
    ├── RunningLoopError          a blocking call inside an event loop: use `await` or `async for`
    ├── UnsupportedRuntimeError   trio or gevent, which cannot wait for a stream: use asyncio, or a thread
    ├── EmptyStreamError          the stream ended without an item, and one was expected
    └── StreamError               a request failed; carries the model, the host, the endpoint and the partial response
        ├── ClientClosedError     the client or its event loop was closed: make a new one
        ├── HttpClientError       code of an `http_client=` raised: correct its hook, its auth or its transport
        ├── ConnectionFailedError no connection: start the server or set OLLAMA_HOST, then retry
        ├── ConnectionLostError   the connection broke: a retry can help
        ├── StreamTimeoutError    a phase took too long: retry, or allow more time
        ├── StatusError           the server refused the request; carries its status and its reason
        │   ├── BadRequestError       400: correct the request
        │   ├── UnauthorizedError     401: sign in, or set OLLAMA_API_KEY
        │   ├── ForbiddenError        403: the server does not serve this client
        │   ├── NotFoundError         404: pull the model
        │   ├── BusyError             429, 503: retry later
        │   ├── UsageLimitError       429: wait until the usage window ends, upgrade, or fall back to a local model
        │   └── ServerFailureError    500 and up: a retry can help, unless the model's output cannot be parsed
        ├── ReportedError         an error record within a stream that began well
        ├── ToolError             a tool call failed, and `raise_on=` ends the stream; carries the call
        │   ├── UnknownToolError      the model was not offered this tool
        │   ├── ToolArgumentsError    the arguments do not fit
        │   ├── ToolDeniedError       `approve=` did not allow the call
        │   ├── ToolTimeoutError      the tool took longer than `tool_timeout=`
        │   └── ToolFailedError       the tool raised
        ├── TooManyRoundsError    the model called tools in its last round: allow more rounds, or offer fewer tools
        ├── StructuredOutputError the answer is not JSON, or not of the requested type
        ├── RestartedError        the answer began over and differs: use `op.accumulate()` or `op.events()`
        ├── ContextTruncatedError the server cut the prompt to the context window: raise num_ctx, or shorten the prompt
        ├── RepetitionError       the answer repeats itself: change the options, or ask another model
        ├── TruncatedError        the response ended before the answer was complete: a retry can help
        └── ProtocolError         the response is not Ollama's: check the address of the server

An error reaches `on_error` of the subscription that failed. `run`, `iterate`, `aiterate`, `await` and a loop over a
stream raise it. `partial` of a `StreamError` holds what had arrived.
"""

from rxollama._invalid_value import InvalidValueError, RxOllamaError
from rxollama._public import publish
from rxollama.errors._status_errors import (
    BadRequestError,
    BusyError,
    ForbiddenError,
    NotFoundError,
    ServerFailureError,
    StatusError,
    UnauthorizedError,
    UsageLimitError,
)
from rxollama.errors._stream_errors import (
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    ContextTruncatedError,
    ContextTruncatedWarning,
    EmptyStreamError,
    HttpClientError,
    ProtocolError,
    RepetitionError,
    ReportedError,
    RestartedError,
    RunningLoopError,
    SlowCallbackWarning,
    StreamError,
    StreamTimeoutError,
    TruncatedError,
    UnsupportedRuntimeError,
)
from rxollama.errors._structured_error import StructuredOutputError
from rxollama.errors._tool_errors import (
    ToolArgumentsError,
    ToolDeniedError,
    ToolError,
    ToolFailedError,
    ToolTimeoutError,
    TooManyRoundsError,
    UnknownToolError,
)

__all__ = (
    "BadRequestError",
    "BusyError",
    "ClientClosedError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "ContextTruncatedError",
    "ContextTruncatedWarning",
    "EmptyStreamError",
    "ForbiddenError",
    "HttpClientError",
    "InvalidValueError",
    "NotFoundError",
    "ProtocolError",
    "RepetitionError",
    "ReportedError",
    "RestartedError",
    "RunningLoopError",
    "RxOllamaError",
    "ServerFailureError",
    "SlowCallbackWarning",
    "StatusError",
    "StreamError",
    "StreamTimeoutError",
    "StructuredOutputError",
    "TooManyRoundsError",
    "ToolArgumentsError",
    "ToolDeniedError",
    "ToolError",
    "ToolFailedError",
    "ToolTimeoutError",
    "TruncatedError",
    "UnauthorizedError",
    "UnknownToolError",
    "UnsupportedRuntimeError",
    "UsageLimitError",
)

publish(globals())
