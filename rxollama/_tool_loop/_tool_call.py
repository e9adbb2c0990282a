"""One call of a tool, from the model's wish to what the model is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from rxollama._schema import Misfit
from rxollama._tool_loop._options import ToolLoopOptions
from rxollama.errors import (
    ToolArgumentsError,
    ToolDeniedError,
    ToolError,
    ToolFailedError,
    ToolTimeoutError,
    UnknownToolError,
)
from rxollama.messages import ChatChunk, Message, ToolCall
from rxollama.tools import Denied, Tool, ToolProgress, result_text
from rxollama.tools._approval import decided
from rxollama.tools._execution import was_cancelled
from rxollama.tools._result import sendable

__all__ = ("ToolRunner",)

_SHOWN = 200


class ToolRunner:
    """
    See to the calls of a conversation.

    Args:
        options: Its options.
        tell: Takes the chunks that tell how far a tool is.
    """

    def __init__(self, options: ToolLoopOptions, tell: Callable[[ChatChunk], None]) -> None:
        self._options = options
        self._tell = tell
        self._tools = {tool.name: tool for tool in options.tools}
        # Whoever is asked is asked one thing at a time, in the order of the calls.
        self._asking = asyncio.Lock()
        self._places = asyncio.Semaphore(options.concurrency)

    async def run(self, call: ToolCall) -> ChatChunk:
        """
        Make a call.

        Args:
            call: The call.

        Returns:
            The tool's message, whole: its result, or what went wrong, in words for the model.

        Raises:
            ToolError: Where the options want it raised.
            Exception: What `approve` or a subscriber raised.
        """
        try:
            return _result(call, await self._make(call))
        except ToolError as error:
            if isinstance(error, self._options.raise_on):
                raise
            return _result(call, _words(error), failed=True)
        except _SubscriberError as error:
            raise error.raised from None

    async def _make(self, call: ToolCall) -> str:
        tool = self._tools.get(call.name)
        if tool is None:
            offered = ", ".join(self._tools) or "none"
            raise UnknownToolError(f"there is no tool {_short(call.name)}; those offered are: {offered}", call=call)
        arguments = _fitting(tool, call, call.arguments)
        if self._options.approve is not None:
            async with self._asking:
                allowed = await decided(self._options.approve, call)
            if isinstance(allowed, Denied):
                because = f": {allowed.reason}" if allowed.reason else ""
                raise ToolDeniedError(f"this call of {tool.name!r} was not allowed{because}", call=call)
            arguments = _fitting(tool, call, allowed)
        async with self._places:
            return await self._run(tool, call, arguments)

    async def _run(self, tool: Tool, call: ToolCall, arguments: Mapping[str, Any]) -> str:
        brought: list[Any] = []
        limit = asyncio.timeout(self._options.tool_timeout)
        try:
            async with limit, aclosing(tool.items(arguments)) as items:
                async for item in items:
                    if isinstance(item, ToolProgress):
                        self._progress(call, item)
                    else:
                        brought.append(item)
            return result_text(brought)
        except _SubscriberError:
            raise
        except asyncio.CancelledError as error:
            if was_cancelled():
                raise
            # A task within the tool was cancelled, not this one.
            raise ToolFailedError(f"the tool {tool.name!r} was cancelled from within", call=call) from error
        except Exception as error:
            if limit.expired():
                seconds = self._options.tool_timeout
                raise ToolTimeoutError(f"the tool {tool.name!r} gave no result in {seconds:g} s", call=call) from error
            raise ToolFailedError(f"the tool {tool.name!r} raised {type(error).__name__}", call=call) from error

    def _progress(self, call: ToolCall, progress: ToolProgress) -> None:
        if not progress.text:
            # A chunk that says nothing at all would be taken for the beginning of the result.
            return
        try:
            self._tell(ChatChunk(message=Message.tool("", call=call), tool_progress=sendable(progress.text)))
        except Exception as raised:
            raise _SubscriberError(raised) from raised


class _SubscriberError(Exception):
    """Carry what a subscriber raised past the tool that runs, whose failure it is not."""

    def __init__(self, raised: Exception) -> None:
        super().__init__()
        self.raised = raised


def _fitting(tool: Tool, call: ToolCall, given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return tool.arguments(given)
    except Misfit as misfit:
        raise ToolArgumentsError(f"the arguments do not fit {tool.name!r}: {misfit}", call=call) from misfit


def _result(call: ToolCall, content: str, *, failed: bool = False) -> ChatChunk:
    return ChatChunk(message=Message.tool(sendable(content), call=call), done=True, tool_failed=failed)


def _words(error: ToolError) -> str:
    """Tell the model what went wrong; what a tool raised is in its own words."""
    own = _said(error.__cause__) if isinstance(error, ToolFailedError) else ""
    return f"Error: {error.args[0]}{own and f': {own}'}"


def _said(raised: BaseException | None) -> str:
    try:
        return str(raised or "")
    except Exception:  # noqa: BLE001 - It may fail at that as well, and then there is nothing more to tell.
        return ""


def _short(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else name[:_SHOWN] + "…")
