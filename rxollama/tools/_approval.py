"""Whether a call may be made: yes, no with a reason, or with other arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias

import msgspec
from reactivex import Observable

from rxollama._checks import is_mapping
from rxollama._invalid_value import invalid_value
from rxollama.messages import ToolCall
from rxollama.tools._execution import run_here, run_in_thread, was_cancelled
from rxollama.tools._signature import is_async

__all__ = ("Approval", "Approve", "Denied", "decided")

_ANSWERS = "True, False, Denied(reason) or a dict of other arguments"


class Denied(msgspec.Struct, frozen=True):
    """
    Say that a call is not allowed, and why.

    Args:
        reason: What the model is told.

    .. versionadded:: 0.1
    """

    reason: str = ""


Approval: TypeAlias = "bool | Denied | Mapping[str, Any]"
"""What becomes of a call: it is made, it is not, or it is made with these arguments instead."""

Approve: TypeAlias = "Callable[[ToolCall], Approval | Awaitable[Approval] | Observable[Any]]"
"""What is asked before a call; of an observable the first item is the answer. What is not async runs in a thread."""


async def decided(approve: Approve, call: ToolCall) -> Mapping[str, Any] | Denied:
    """
    Ask whether a call may be made.

    Args:
        approve: Whom to ask.
        call: The call.

    Returns:
        The arguments to make it with, or why not.

    Raises:
        InvalidValueError: When the answer is none.
        Exception: Whatever *approve* raises.
    """
    ask = partial(approve, call)
    answering = (run_here if is_async(approve) else run_in_thread)(ask, f"approve {call.name}")
    try:
        async with aclosing(answering) as answers:
            async for answer in answers:
                return _read(answer, call)
    except asyncio.CancelledError:
        if was_cancelled():
            raise
        # A dialog that was closed: what was waited for is gone, not who waits.
    return Denied("nobody answered")


def _read(answer: object, call: ToolCall) -> Mapping[str, Any] | Denied:
    if answer is True:
        return call.arguments
    if answer is False:
        return Denied()
    if isinstance(answer, Denied) or is_mapping(answer):
        return answer
    raise invalid_value("approve", answer, _ANSWERS)
