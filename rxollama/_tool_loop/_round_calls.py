"""The calls of one round, which may be made twice if the answer begins over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import NamedTuple, cast

from msgspec.structs import replace

from rxollama._checks import is_mapping
from rxollama.messages import ChatChunk, ToolCall

__all__ = ("RoundCalls", "with_id")

Task = asyncio.Task[ChatChunk]


class RoundCalls:
    """
    The calls of one round.

    No tool runs twice because an answer began over. A call that the model repeats, by name and arguments, gets the
    task of its first time, running or finished. Each task is given away once, in the order of the calls.

    Args:
        group: The tasks of the round.
        run: Makes a call and returns its result.
    """

    def __init__(self, group: asyncio.TaskGroup, run: Callable[[ToolCall], Coroutine[None, None, ChatChunk]]) -> None:
        self.calls: list[ToolCall] = []
        self._group = group
        self._run = run
        self._made: list[_Made] = []
        self._dropped: list[_Made] = []
        self._new_ids: dict[str, str] = {}

    def add(self, call: ToolCall, *, runs: bool) -> None:
        """Add a call, and make it if it is new and *runs* is true."""
        self.calls.append(call)
        for place, made in enumerate(self._dropped):
            if made.call.name == call.name and _is_same(made.call.arguments, call.arguments):
                del self._dropped[place]
                self._made.append(_Made(made.first_id, call, made.task))
                self._new_ids[made.first_id] = call.id
                return
        if runs:
            self._made.append(_Made(call.id, call, self._group.create_task(self._run(call))))

    def begin_over(self) -> None:
        """Drop the calls so far, which the answer may repeat."""
        self.calls.clear()
        self._dropped += self._made
        self._made.clear()

    def end(self) -> None:
        """Cancel the tools whose calls the answer, which is complete, did not repeat."""
        for made in self._dropped:
            made.task.cancel()

    def tasks(self) -> Iterator[tuple[ToolCall, Task]]:
        """Iterate over the calls that were made and their tasks, in the order of the calls."""
        for made in self._made:
            yield made.call, made.task

    def progress(self, chunk: ChatChunk) -> ChatChunk:
        """Return the progress of a tool with the id of the call as the model repeated it."""
        given = chunk.message.tool_call_id
        return with_id(chunk, self._new_ids.get(given, given) if given else given)


class _Made(NamedTuple):
    """A call that was made: under which id, as the model last called it, and its task."""

    first_id: str
    call: ToolCall
    task: Task


def _is_same(one: object, other: object) -> bool:
    """Return whether two JSON values are the same. To Python, `1`, `1.0` and `true` are equal."""
    if type(one) is not type(other):
        return False
    if is_mapping(one) and is_mapping(other):
        return one.keys() == other.keys() and all(_is_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        ours, theirs = cast("list[object]", one), cast("list[object]", other)
        return len(ours) == len(theirs) and all(map(_is_same, ours, theirs))
    return one == other


def with_id(chunk: ChatChunk, call_id: str) -> ChatChunk:
    """Return a tool's chunk with the id of another call."""
    if chunk.message.tool_call_id == call_id:
        return chunk
    return replace(chunk, message=replace(chunk.message, tool_call_id=call_id))
