"""The shrinking of an input: removing halves, quarters, and so on down to single bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

__all__ = ("shrink",)


async def shrink(body: bytes, fails: Callable[[bytes], Awaitable[bool]], tries: int) -> bytes:
    """
    Return a smaller input that still fails.

    Args:
        body: The input, which fails.
        fails: A function that returns whether an input fails.
        tries: The largest number of inputs to try.

    Returns:
        The smallest failing input that was found.
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
