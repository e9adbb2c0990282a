"""The options of a conversation with tools: what may be called, how often, for how long, and who is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

import msgspec
from reactivex import Observable

from rxollama._invalid_value import invalid_value
from rxollama.errors import ToolError
from rxollama.messages import ChatChunk, ChatOptions
from rxollama.operators._timing.timer import check_seconds
from rxollama.tools import Approve, Tool

__all__ = ("ConverseOptions", "RaiseOn", "Through", "ToolLoopOptions")

RaiseOn: TypeAlias = "type[ToolError] | tuple[type[ToolError], ...]"
"""The errors of tools that end the stream, as after `except`."""

Through: TypeAlias = "Callable[[Observable[ChatChunk]], Observable[ChatChunk]]"
"""An operator for the request of each round."""


class ConverseOptions(ChatOptions, total=False):
    """
    Hold what a conversation may be given beside its model, messages and tools; see `Ollama.converse`.

    .. versionadded:: 0.1
    """

    max_rounds: int
    concurrency: int
    tool_timeout: float | None
    approve: Approve | None
    through: Through | None
    raise_on: RaiseOn


class ToolLoopOptions(msgspec.Struct, frozen=True, kw_only=True):
    """
    Hold the options of a conversation.

    Args:
        tools: What the model may call.
        max_rounds: How many requests may be made.
        concurrency: How many tools may run at once.
        tool_timeout: Seconds that one of them may take; None for ever.
        approve: Whom to ask before each call; None for nobody.
        through: What each request passes through; None for nothing.
        raise_on: The errors of tools that end the stream.

    Raises:
        InvalidValueError: When one of these is wrong.
    """

    tools: tuple[Tool, ...]
    max_rounds: int
    concurrency: int
    tool_timeout: float | None
    approve: Approve | None
    through: Through | None
    raise_on: RaiseOn

    def __post_init__(self) -> None:
        """Refuse what cannot be kept."""
        for place, tool in enumerate(self.tools):
            if not tool.is_runnable:
                raise invalid_value(
                    f"tools[{place}]", tool.name, "a tool that can run, such as Tool(schema, run=function)"
                )
        _check_count("max_rounds", self.max_rounds)
        _check_count("concurrency", self.concurrency)
        if self.tool_timeout is not None:
            check_seconds("tool_timeout", self.tool_timeout)
        for field in ("approve", "through"):
            given = getattr(self, field)
            if given is not None and not callable(given):
                raise invalid_value(field, given, _CALLABLES[field], show=False)
        if not _are_tool_errors(self.raise_on):
            raise invalid_value("raise_on", self.raise_on, "ToolError, a subclass, or a tuple of these")


_CALLABLES = {"approve": "a function of a ToolCall", "through": "an operator, such as op.retry()"}


def _are_tool_errors(given: object) -> bool:
    if isinstance(given, tuple):
        return all(map(_are_tool_errors, cast("tuple[object, ...]", given)))
    return isinstance(given, type) and issubclass(given, ToolError)


def _check_count(field: str, count: object) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise invalid_value(field, count, "an int, 1 or more")
