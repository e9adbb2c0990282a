"""One call of a tool: from what the model asks for to what it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeGuard, cast

from msgspec.structs import replace

from rxollama._checks import check_seconds, is_mapping
from rxollama._schema import Misfit
from rxollama._tool_loop._decision import decide, was_cancelled
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
from rxollama.tools import Denied, ResultText, Tool, ToolExitError, ToolProgress, result_text

__all__ = ("ToolRunner",)

_SHOWN = 200
_LONGEST_REASON = 2_000
# More than the context of any model holds. A tool that does not end must not fill the memory.
_LONGEST_RESULT = 10_000_000


class ToolRunner:
    """
    The calls of one conversation.

    It belongs to the loop on which it is made.

    Args:
        options: The options of the conversation.
        emit: Called with the chunks that report the progress of tools.
    """

    def __init__(self, options: ToolLoopOptions, emit: Callable[[ChatChunk], None]) -> None:
        self._options = options
        self._emit = emit
        self._tools = {tool.name: tool for tool in options.tools}
        # A person is asked one question at a time, in the order of the calls.
        self._asking = asyncio.Lock()
        timeout = options.tool_timeout
        self._seconds = None if timeout is None else check_seconds("tool_timeout", timeout)
        self._places = asyncio.Semaphore(options.concurrency)

    async def run(self, call: ToolCall) -> ChatChunk:
        """
        Make a call.

        Args:
            call: The call.

        Returns:
            The whole message of the tool: its result, or what went wrong, in words for the model.

        Raises:
            ToolError: If the options ask for it.
            Exception: Whatever `approve` or a subscriber raised.
        """
        try:
            return _result(call, await self._make(call))
        except ToolError as error:
            return self._failed(call, error)
        except _SubscriberError as error:
            raise error.raised from None

    def cancelled(self, call: ToolCall) -> ChatChunk:
        """
        Return the message of a tool whose call ended its own task.

        `run` cannot do it: within that task the cancellation looks like that of the whole conversation.

        Args:
            call: The call.

        Raises:
            ToolError: If the options ask for it.
        """
        return self._failed(call, ToolFailedError(_CANCELLED.format(name=call.name), call=call))

    def _failed(self, call: ToolCall, error: ToolError) -> ChatChunk:
        if isinstance(error, self._options.raise_on):
            raise error
        return _result(call, _words(error), failed=True)

    async def _make(self, call: ToolCall) -> str:
        tool = self._tools.get(call.name)
        if tool is None:
            offered = ", ".join(self._tools) or "none"
            raise UnknownToolError(f"there is no tool {_short(call.name)}; those offered are: {offered}", call=call)
        # The model is told later what it called: neither the tool nor approve= may change that.
        given = _copy(call)
        arguments = _fitting(tool, call, given.arguments)
        if self._options.approve is not None:
            async with self._asking:
                allowed = await decide(self._options.approve, given)
            if isinstance(allowed, Denied):
                because = f": {allowed.reason}" if allowed.reason else ""
                raise ToolDeniedError(f"this call of {tool.name!r} was not allowed{because}", call=call)
            arguments = _fitting(tool, call, allowed)
        async with self._places:
            return await self._run(tool, call, arguments)

    async def _run(self, tool: Tool, call: ToolCall, arguments: Mapping[str, Any]) -> str:
        result = ResultText()
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit, aclosing(tool.items(arguments)) as items:
                async for item in items:
                    if isinstance(item, ToolProgress):
                        self._report(call, item)
                        continue
                    result.add(item)
                    if result.length > _LONGEST_RESULT:
                        break
        except _SubscriberError:
            raise
        except BaseException as error:
            if _is_interrupt(error) or (isinstance(error, asyncio.CancelledError) and was_cancelled()):
                raise
            raise self._failure(tool, call, error, timed_out=limit.expired()) from _raised(error)
        if result.length > _LONGEST_RESULT:
            raise ToolFailedError(_TOO_LONG.format(name=tool.name, most=_LONGEST_RESULT), call=call)
        return result.value

    def _failure(self, tool: Tool, call: ToolCall, error: BaseException, *, timed_out: bool) -> ToolError:
        if timed_out and isinstance(error, Exception):
            return ToolTimeoutError(f"the tool {tool.name!r} gave no result in {self._seconds:g} s", call=call)
        if isinstance(error, asyncio.CancelledError):
            return ToolFailedError(_CANCELLED.format(name=tool.name), call=call)
        return ToolFailedError(f"the tool {tool.name!r} raised {type(_raised(error)).__name__}", call=call)

    def _report(self, call: ToolCall, progress: ToolProgress) -> None:
        if not progress.text:
            # An empty chunk would look like the beginning of the result.
            return
        try:
            self._emit(ChatChunk(message=Message.tool("", call=call), tool_progress=result_text([progress.text])))
        except BaseException as raised:
            raise _SubscriberError(raised) from raised


class _SubscriberError(Exception):
    """The error of a subscriber, on its way past the tool that runs, which did not fail."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__()
        self.raised = raised


def _copy(call: ToolCall) -> ToolCall:
    try:
        return replace(call, function=replace(call.function, arguments=_copied(call.arguments)))
    except RecursionError as error:
        raise ToolArgumentsError(_NESTED.format(name=call.name), call=call) from error


def _copied(value: Any) -> Any:
    # What JSON has beside these two cannot be changed.
    if is_mapping(value):
        return {key: _copied(each) for key, each in value.items()}
    if _is_list(value):
        return [_copied(each) for each in value]
    return value


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _fitting(tool: Tool, call: ToolCall, given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return tool.arguments(given)
    except Exception as error:
        # A type of the user's may raise anything while a value of it is made.
        misfit = str(error)[:_LONGEST_REASON] if isinstance(error, Misfit) else f"a {type(error).__name__} was raised"
        raise ToolArgumentsError(f"the arguments do not fit {tool.name!r}: {misfit}", call=call) from error


def _is_interrupt(error: BaseException) -> bool:
    """Return whether this is Ctrl-C, which Python raises in the main thread wherever that is; a tool may be there."""
    if threading.current_thread() is not threading.main_thread():
        return False
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_interrupt, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    return isinstance(error, KeyboardInterrupt)


def _raised(error: BaseException) -> BaseException:
    """Return what the tool itself raised."""
    cause = error.__cause__ if isinstance(error, ToolExitError) else None
    return error if cause is None else cause


def _result(call: ToolCall, content: str, *, failed: bool = False) -> ChatChunk:
    return ChatChunk(message=Message.tool(result_text([content]), call=call), done=True, tool_failed=failed)


def _words(error: ToolError) -> str:
    """Return what the model is told of an error. An exception of a tool is told in its own words."""
    own = _said(error.__cause__) if isinstance(error, ToolFailedError) and error.__cause__ is not None else ""
    return f"Error: {error.args[0]}{own and f': {own}'}"


def _said(raised: BaseException) -> str:
    try:
        return str(raised)[:_LONGEST_RESULT]
    except BaseException as error:
        if _is_interrupt(error):
            raise
        return ""


def _short(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else name[:_SHOWN] + "…")


_CANCELLED = "the tool {name!r} was cancelled from within"
_NESTED = "the arguments of {name!r} are nested too deeply"
_TOO_LONG = "the tool {name!r} gave more than {most:,} characters; ask for less at a time"
