"""The errors of tool calls, and of the conversation that runs them."""

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
    The error of a tool call without a result.

    By default the model receives its text as the result, and the conversation goes on. If `raise_on=` names the
    error's class, the stream ends with it.

    Args:
        message: As in `StreamError`.
        call: The tool call.
        request: As in `StreamTimeoutError`.

    .. versionadded:: 0.1
    """

    call: ToolCall | None

    def __init__(self, message: str, *, call: ToolCall | None = None, **request: Unpack[RequestFields]) -> None:
        super().__init__(message, **request)
        self.call = call


class UnknownToolError(ToolError):
    """
    The error of a call to a tool that the model was not offered.

    .. versionadded:: 0.1
    """


class ToolArgumentsError(ToolError):
    """
    The error of arguments that do not fit the tool. The message names the place, such as `$.city`.

    .. versionadded:: 0.1
    """


class ToolDeniedError(ToolError):
    """
    The error of a call that `approve=` did not allow.

    .. versionadded:: 0.1
    """


class ToolTimeoutError(ToolError, TimeoutError):
    """
    The error of a tool that took longer than `tool_timeout=`.

    .. versionadded:: 0.1
    """


class ToolFailedError(ToolError):
    """
    The error of a tool that raised. Its exception is the `__cause__`.

    .. versionadded:: 0.1
    """


class TooManyRoundsError(StreamError):
    """
    The error of a model that called tools in the last round it was allowed.

    .. versionadded:: 0.1
    """
