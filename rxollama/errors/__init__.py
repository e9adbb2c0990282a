"""
All errors.

    RxOllamaError
    ├── InvalidValueError         a value was refused before anything was sent: mend the call
    ├── RunningLoopError          `run` or `iterate` inside an event loop: use `await` or `aiterate`
    ├── UnsupportedRuntimeError   trio or gevent, on which no stream can live: use asyncio or a thread
    ├── EmptyStreamError          the stream ended without an item, and one was asked for
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
        ├── ToolError             a call came to nothing, and `raise_on=` asks for an end; carries the call
        │   ├── UnknownToolError      the tool was never offered
        │   ├── ToolArgumentsError    the arguments do not fit
        │   ├── ToolDeniedError       `approve=` did not allow it
        │   ├── ToolTimeoutError      the tool took longer than `tool_timeout=`
        │   └── ToolFailedError       the tool raised
        ├── TooManyRoundsError    the model still called tools in its last round: give it more, or fewer tools
        ├── StructuredOutputError the answer is not the JSON, or not of the type, that was asked for
        ├── TruncatedError        the stream ended before the answer did; a retry can help
        └── ProtocolError         what came is not Ollama's: is this the right server?

The client raises all of them into `on_error` of the subscription that failed, and the calls that leave Rx (`run`,
`iterate`, `aiterate`, `await`) raise them. Every `StreamError` carries in `partial` what had arrived.
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
)
from rxollama.errors._stream_errors import (
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    EmptyStreamError,
    ProtocolError,
    ReportedError,
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
    "EmptyStreamError",
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
)

publish(globals())
