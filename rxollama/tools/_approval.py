"""The types with which `approve=` is asked about a call, and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec
from reactivex import Observable

from rxollama.messages import ToolCall

__all__ = ("Approval", "Approve", "Denied")


class Denied(msgspec.Struct, frozen=True):
    """
    The answer that a call is not allowed, with a reason.

    Args:
        reason: The reason, which the model is told.

    .. versionadded:: 0.1
    """

    reason: str = ""


Approval: TypeAlias = "bool | Denied | Mapping[str, Any]"
"""An answer: whether the call is made, or the arguments that it is made with instead."""

Approve: TypeAlias = "Callable[[ToolCall], Approval | Awaitable[Approval] | Observable[Any]]"
"""A function that is asked before a call. If it is not async, it runs on a thread. The first item of an observable
counts."""
