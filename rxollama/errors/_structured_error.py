"""The error of an answer that does not fit the requested type."""

from __future__ import annotations

from typing import Unpack

from rxollama.errors._stream_errors import RequestFields, StreamError

__all__ = ("StructuredOutputError",)


class StructuredOutputError(StreamError):
    """
    The error of an answer that is not JSON, or not of the requested type.

    Args:
        message: As in `StreamError`. It does not quote the answer.
        text: The answer, as far as it arrived.
        path: The place of the fault, such as `$.rows[2].price`. `$` is the whole answer.
        reason: The mismatch there. It may quote the answer.
        truncated: Whether the answer was cut off, at `num_predict` or at the context limit, or is only thinking.
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
