"""A smaller input that shows the same: take out halves, quarters, and so on down to single bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

__all__ = ("shrunk",)


async def shrunk(body: bytes, fails: Callable[[bytes], Awaitable[bool]], tries: int) -> bytes:
    """
    Shrink an input.

    Args:
        body: The input, which fails.
        fails: Tells whether another does.
        tries: How many others to try at most.

    Returns:
        The smallest that was found to fail.
    """
    size = len(body) // 2
    while size and tries > 0:
        at = 0
        while at < len(body) and tries > 0:
            smaller = body[:at] + body[at + size :]
            tries -= 1
            if await fails(smaller):
                body = smaller
            else:
                at += size
        size //= 2
    return body
