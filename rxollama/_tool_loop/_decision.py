"""The decision about a call: whether it is made, and with which arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

from rxollama._checks import is_mapping
from rxollama._invalid_value import invalid_value
from rxollama.messages import ToolCall
from rxollama.tools import Approve, Denied, Tool, ToolExitError

__all__ = ("decide", "was_cancelled")

_ANSWERS = "True, False, Denied(reason) or a dict of other arguments"
_QUESTION = {"type": "function", "function": {"name": "approve"}}


async def decide(approve: Approve, call: ToolCall) -> Mapping[str, Any] | Denied:
    """
    Ask whether a call may be made.

    *approve* runs as tools do, async on this loop or else on a thread, so it is run as one.

    Args:
        approve: The function to ask.
        call: The call. The function may change its arguments.

    Returns:
        The arguments to make the call with, or why it is not made.

    Raises:
        InvalidValueError: If the answer is not an `Approval`.
        ToolExitError: If *approve* raises `SystemExit` or the like.
        Exception: Whatever else it raises.
    """
    question = Tool(_QUESTION, run=partial(approve, call))
    try:
        async with aclosing(question.items({})) as answers:
            async for answer in answers:
                return _read(answer, call)
    except asyncio.CancelledError:
        if was_cancelled():
            raise
        # A dialog was closed: the awaited answer was cancelled, not this task.
    except ToolExitError as error:
        exit_ = error.__cause__
        raise ToolExitError(f"approve= raised {type(exit_).__name__} for the tool {call.name!r}") from exit_
    return Denied("nobody answered")


def was_cancelled() -> bool:
    """Return whether this task was cancelled, rather than something that it waits for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _read(answer: object, call: ToolCall) -> Mapping[str, Any] | Denied:
    if answer is True:
        return call.arguments
    if answer is False:
        return Denied()
    if isinstance(answer, Denied) or is_mapping(answer):
        return answer
    raise invalid_value("approve", answer, _ANSWERS)
