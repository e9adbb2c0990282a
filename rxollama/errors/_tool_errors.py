"""The errors of tools, and of the conversation that runs them."""

from __future__ import annotations

from typing import Unpack

from rxollama.errors._stream_errors import RequestFields, StreamError
from rxollama.messages import ToolCall

__all__ = (
    "TooManyRoundsError",
    "ToolArgumentsError",
    "ToolDeniedError",
    "ToolError",
    "ToolFailedError",
    "ToolTimeoutError",
    "UnknownToolError",
)


class ToolError(StreamError):
    """
    Say that a call of a tool came to nothing.

    The model is told, and the conversation goes on; only where `raise_on=` asks for it, the stream ends with this.

    Args:
        message: As in `StreamError`.
        call: The call.
        request: As in `StreamTimeoutError`.

    .. versionadded:: 0.1
    """

    call: ToolCall | None

    def __init__(self, message: str, *, call: ToolCall | None = None, **request: Unpack[RequestFields]) -> None:
        super().__init__(message, **request)
        self.call = call


class UnknownToolError(ToolError):
    """
    Say that the model called a tool that it was not offered.

    .. versionadded:: 0.1
    """


class ToolArgumentsError(ToolError):
    """
    Say that the arguments of a call do not fit the tool; the text says where, such as `$.city`.

    .. versionadded:: 0.1
    """


class ToolDeniedError(ToolError):
    """
    Say that `approve=` did not allow a call.

    .. versionadded:: 0.1
    """


class ToolTimeoutError(ToolError, TimeoutError):
    """
    Say that a tool took longer than `tool_timeout=`.

    .. versionadded:: 0.1
    """


class ToolFailedError(ToolError):
    """
    Say that a tool raised; its exception is the `__cause__`.

    .. versionadded:: 0.1
    """


class TooManyRoundsError(StreamError):
    """
    Say that the model still called tools when the last round that it was given was over.

    .. versionadded:: 0.1
    """
