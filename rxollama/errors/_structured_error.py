"""The error of an answer that is not what was asked for."""

from __future__ import annotations

from typing import Unpack

from rxollama.errors._stream_errors import RequestFields, StreamError

__all__ = ("StructuredOutputError",)


class StructuredOutputError(StreamError):
    """
    Say that an answer is not the JSON, or not of the type, that was asked for.

    Args:
        message: As in `StreamError`; it shows no word of the answer.
        text: What was answered, as far as it came.
        path: Where the fault is, such as `$.rows[2].price`; `$` is the whole.
        reason: What is wrong there; it may quote the answer.
        truncated: Whether the answer was cut off, at `num_predict` or at the context limit.
        request: As in `StreamTimeoutError`.

    .. versionadded:: 0.1
    """

    text: str
    path: str
    reason: str
    truncated: bool

    def __init__(
        self,
        message: str,
        *,
        text: str = "",
        path: str = "$",
        reason: str = "",
        truncated: bool = False,
        **request: Unpack[RequestFields],
    ) -> None:
        super().__init__(message, **request)
        self.text = text
        self.path = path
        self.reason = reason
        self.truncated = truncated
