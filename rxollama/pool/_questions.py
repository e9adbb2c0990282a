"""The questions of a pool to its hosts: the models that they have, and those that are loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, TypeVar

from rxollama._hosts import read_refusal
from rxollama._wire import BodyDecoder, read_models, read_running
from rxollama.transport import Request, Transport

__all__ = ("Models", "ask_models")

T = TypeVar("T")

_SECONDS = 5.0


class Models(NamedTuple):
    """
    The models of a host.

    Args:
        present: The names of those that it has; None if it was not asked.
        loaded: The names of those that are loaded.
    """

    present: list[str] | None
    loaded: list[str]


async def ask_models(transport: Transport, *, connect_timeout: float, is_all: bool) -> Models:
    """
    Ask a host for its models.

    Args:
        transport: The transport to the host.
        connect_timeout: The limit for connecting, in seconds.
        is_all: Whether to ask for all models, or only for those that are loaded.

    Returns:
        The models.

    Raises:
        StreamError: If the host cannot be reached, or gives another answer.
        TimeoutError: If it does not answer in time.
    """

    async def ask(path: str, read: Callable[[bytes], T]) -> T:
        request = Request(method="GET", path=path, connect_timeout=connect_timeout)
        async with transport.open(request) as response:
            if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise await read_refusal(response)
            decoder = BodyDecoder(read)
            async for data in response:
                decoder.feed(data)
        values = decoder.flush()
        if decoder.failure is not None:
            raise decoder.failure
        return values[0]

    async with asyncio.timeout(connect_timeout + _SECONDS):
        present = [each.name or each.model for each in await ask("/api/tags", read_models)] if is_all else None
        loaded = [each.name or each.model for each in await ask("/api/ps", read_running)]
    return Models(present, loaded)
