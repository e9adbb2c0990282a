"""
A connected socket to a host, over its first address that answers.

A host may have addresses of both families, of which one does not work. Each next address is therefore tried if the one
before has failed or takes long, and the first connection wins (RFC 8305, "happy eyeballs").

asyncio's `create_connection` does that too, but uvloop's does not, and asyncio of Python 3.11 turns several refusals
into one `OSError` that no longer says that they were refusals.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any, NamedTuple

__all__ = ("dial",)

_STAGGER_SECONDS = 0.25


class _Address(NamedTuple):
    """An address of a host, as `getaddrinfo` returns it."""

    family: int
    kind: int
    protocol: int
    name: str
    address: Any


async def dial(host: bytes, port: int) -> socket.socket:
    """
    Connect to a host.

    Args:
        host: The name or address of the host. As bytes it is not encoded again, for which Python would import a codec
            in a thread: a process that forks at that moment would have a child that waits for the import.
        port: The port.

    Returns:
        The socket, which the caller closes.

    Raises:
        OSError: If the name cannot be resolved, or its only address does not answer.
        ExceptionGroup: If none of several addresses answers.
    """
    addresses = deque(_alternating(await _resolve(host, port)))
    if len(addresses) == 1:
        return await _connect(addresses[0])
    attempts: set[asyncio.Task[socket.socket]] = set()
    failures: list[Exception] = []
    try:
        while addresses or attempts:
            if addresses:
                attempts.add(asyncio.create_task(_connect(addresses.popleft())))
            patience = _STAGGER_SECONDS if addresses else None
            done, _ = await asyncio.wait(attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.remove(attempt)
                try:
                    return attempt.result()
                except OSError as error:
                    failures.append(error)
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_close_late)
            attempt.cancel()
    raise ExceptionGroup("no address of the host answers", failures)


async def _resolve(host: bytes, port: int) -> list[_Address]:
    found: Iterable[tuple[Any, ...]] = ()
    # An address needs no thread.
    with suppress(socket.gaierror):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    try:
        found = found or await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except RuntimeError as error:
        # asyncio resolves names on a thread, and the system may have none left.
        raise OSError(str(error)) from error
    return [_Address(*each) for each in found]


def _alternating(addresses: Iterable[_Address]) -> list[_Address]:
    """Return the addresses with their families taking turns."""
    families: dict[int, list[_Address]] = {}
    for address in addresses:
        families.setdefault(address.family, []).append(address)
    return [each for each in chain(*zip_longest(*families.values())) if each is not None]


async def _connect(address: _Address) -> socket.socket:
    connecting = socket.socket(address.family, address.kind, address.protocol)
    try:
        connecting.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connecting, address.address)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _close_late(attempt: asyncio.Task[socket.socket]) -> None:
    """Close a connection that lost, and retrieve the error of one that failed, so that asyncio reports nothing."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
