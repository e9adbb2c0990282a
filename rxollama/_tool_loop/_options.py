"""The options of a conversation with tools."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias, cast

import msgspec
from reactivex import Observable

from rxollama._checks import check_count, check_seconds
from rxollama._invalid_value import invalid_value
from rxollama.errors import ToolError
from rxollama.messages import ChatChunk, ChatOptions
from rxollama.tools import Approve, Tool

__all__ = ("ConverseOptions", "RaiseOn", "Through", "ToolLoopOptions")

RaiseOn: TypeAlias = "type[ToolError] | tuple[type[ToolError], ...]"
"""The errors of tools that end the stream: one class or several, as after `except`."""

Through: TypeAlias = "Callable[[Observable[ChatChunk]], Observable[ChatChunk]]"
"""An operator for the request of each round."""


class ConverseOptions(ChatOptions, total=False):
    """
    The options of a conversation, beside its model, messages and tools; see `Ollama.converse`.

    .. versionadded:: 0.1
    """

    max_rounds: int
    concurrency: int
    tool_timeout: float | timedelta | None
    approve: Approve | None
    through: Through | None
    raise_on: RaiseOn


class ToolLoopOptions(msgspec.Struct, frozen=True, kw_only=True):
    """
    The checked options of a tool loop.

    Args:
        tools: The tools that the model may call.
        max_rounds: The largest number of requests.
        concurrency: The largest number of tools that run at once.
        tool_timeout: The time that a tool may run, in seconds or as a `timedelta`; None means no limit.
        approve: The function that is asked before each call; None allows every call.
        through: The operator that each request passes through; None means none.
        raise_on: The errors of tools that end the stream.

    Raises:
        InvalidValueError: If one of these is wrong, with its name.
    """

    tools: tuple[Tool, ...]
    max_rounds: int
    concurrency: int
    tool_timeout: float | timedelta | None
    approve: Approve | None
    through: Through | None
    raise_on: RaiseOn

    def __post_init__(self) -> None:
        """Check each option."""
        for place, tool in enumerate(self.tools):
            if not tool.is_runnable:
                raise invalid_value(
                    f"tools[{place}]", tool.name, "a tool that can run, such as Tool(schema, run=function)"
                )
        check_count("max_rounds", self.max_rounds)
        check_count("concurrency", self.concurrency)
        if self.tool_timeout is not None:
            check_seconds("tool_timeout", self.tool_timeout)
        for field in ("approve", "through"):
            given = getattr(self, field)
            if given is not None and not callable(given):
                raise invalid_value(field, given, _CALLABLES[field], show=False)
        if not _are_tool_errors(self.raise_on):
            raise invalid_value("raise_on", self.raise_on, "ToolError, a subclass of it, or a tuple of these")


_CALLABLES = {"approve": "a function of a ToolCall", "through": "an operator, such as op.retry()"}


def _are_tool_errors(given: object) -> bool:
    if isinstance(given, tuple):
        return all(map(_are_tool_errors, cast("tuple[object, ...]", given)))
    return isinstance(given, type) and issubclass(given, ToolError)
