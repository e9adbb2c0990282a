"""The error of a response whose status is not a success."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from rxollama._wire import refusal
from rxollama.errors import StreamError
from rxollama.transport import Response

__all__ = ("read_refusal",)

_SECONDS = 5.0
_LENGTH = 1024 * 1024


async def read_refusal(response: Response) -> StreamError:
    """
    Read the body of a refusal within limits, and return the error that it stands for.

    Args:
        response: The response. Its status counts even if its body breaks off.

    Returns:
        The error, for the caller to raise.
    """
    pieces: list[bytes] = []
    with suppress(TimeoutError, StreamError):
        async with asyncio.timeout(_SECONDS):
            async for data in response:
                pieces.append(data)
                if sum(map(len, pieces)) > _LENGTH:
                    break
    return refusal(response.status, response.headers, b"".join(pieces))
