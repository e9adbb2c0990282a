"""The JSON of a stream's last message, and why it is none: no Rx."""

from __future__ import annotations

import re
from typing import Any, TypeVar, final

import msgspec

from .._schema import Misfit, TypeReader
from ..errors import StructuredOutputError
from ..messages import ChatChunk, ChatResponse, MessageBoundary, PartialJson, ResponseBuilder
from ._json import JsonFault, JsonReader

__all__ = ("JsonAnswer", "JsonPath")

T = TypeVar("T")

JsonPath = tuple[str | int, ...]
"""The keys and places that lead to a value."""

_CUT = "the answer was cut off at num_predict or the context limit: raise it"
# A path of names and places; a key of a dict, as pydantic tells it, may be the model's own word, whatever that holds.
_PATH = re.compile(r"\$(\.[^.\[\]]+|\[[0-9]+\]|\[\.\.\.\])*")
_NAMES = re.compile(r"\.([^.\[]+)")
# What these begin is said of the type. What else there is may quote the answer, which no message shows.
_OF_THE_TYPE = ("Expected ", "Object missing ", "Input should be ", "Field required")


@final
class JsonAnswer:
    """
    Follow one stream, and read the content of each of the assistant's messages as JSON.

    The last one counts: what is said beside tool calls, and what is wrong with it, is forgotten when the next begins.

    Args:
        watched: The path of a list whose elements are taken out as they come; None for none.
    """

    __slots__ = ("_boundary", "_builder", "_count", "_fault", "_is_over", "_reader", "_watched")

    def __init__(self, watched: JsonPath | None = None) -> None:
        self._watched = watched
        self._builder = ResponseBuilder()
        self._boundary = MessageBoundary()
        self._begin()

    def _begin(self) -> None:
        self._reader = JsonReader(self._watched)
        self._fault: JsonFault | None = None
        self._count = 0
        self._is_over = False

    def take(self, chunk: ChatChunk) -> bool:
        """Take in a chunk, and tell whether the value changed with it."""
        self._builder.add(chunk)
        boundary = self._boundary
        if boundary.changes(chunk):
            self._is_over = True
        # What has neither words nor a speaker, or only tells how far a tool is, begins no message.
        speaks = boundary.role != "tool" and not chunk.is_tool_progress
        if self._is_over and speaks and (chunk.visible or chunk.message.role):
            self._begin()
        changed = speaks and bool(chunk.message.content) and self._read(chunk.message.content)
        if chunk.done:
            boundary.restart()
            self._is_over = True
        return changed

    def _read(self, text: str) -> bool:
        if self._fault is not None:
            return False
        try:
            self._reader.feed(text)
        except JsonFault as fault:
            self._fault = fault
        return self._reader.changed

    def end(self) -> bool:
        """Take in the end, and tell whether the value changed with it."""
        if self._fault is None:
            try:
                self._reader.end()
            except JsonFault as fault:
                self._fault = fault
            return self._reader.changed
        return False

    def snapshot(self) -> PartialJson:
        """Tell the value so far, once it has changed."""
        return self._reader.snapshot()

    def elements(self, shape: TypeReader[T]) -> tuple[list[T], Exception | None]:
        """Take out the elements that have come, up to one that does not fit, or whose type fails."""
        ready: list[T] = []
        found = self._reader.found or []
        for place, value in enumerate(found, self._count):
            try:
                ready.append(shape.convert(value))
            except Misfit as misfit:
                return ready, self._misfit(misfit, shape, (*(self._watched or ()), place))
            except Exception as error:  # noqa: BLE001 - A type's own code may raise what it likes; it is passed on.
                return ready, error
        self._count += len(found)
        found.clear()
        return ready, None

    def value(self, shape: TypeReader[T]) -> T:
        """
        Read the value.

        Args:
            shape: The type.

        Returns:
            The value.

        Raises:
            StructuredOutputError: When there is no such value.
        """
        error = self.failure()
        if error is not None:
            raise error
        try:
            return shape.convert(self._reader.value)
        except Misfit as misfit:
            raise self._misfit(misfit, shape) from misfit

    def failure(self) -> StructuredOutputError | None:
        """Tell, at the end, why there is no value, or not the list that is watched."""
        response = self._builder.snapshot()
        reason = _missing(response) or self._broken(response)
        if reason:
            return _error(response, reason, reason)
        if self._watched is None or self._reader.found is not None:
            return None
        path = _shown(self._watched)
        reason = f"there is no list at {path}"
        return _error(response, reason, reason, path)

    def _broken(self, response: ChatResponse) -> str:
        fault, is_cut = self._fault, response.done_reason == "length"
        if fault is None:
            return ""
        if fault.early:
            return _CUT if is_cut else f"the answer ends too early to be JSON (at position {fault.position})"
        reason = f"the answer is no JSON: {fault.reason} (at position {fault.position})"
        return f"{reason}; {_CUT}" if is_cut else reason

    def _misfit(self, misfit: Misfit, shape: TypeReader[Any], path: JsonPath = ()) -> StructuredOutputError:
        place = _shown(path) + misfit.path[1:]
        known = msgspec.json.encode(shape.schema).decode()
        is_known = _PATH.fullmatch(misfit.path) and all(f'"{name}"' in known for name in _NAMES.findall(misfit.path))
        shown = f"the answer does not fit its type at {place if is_known else _shown(path)}"
        if misfit.reason.startswith(_OF_THE_TYPE):
            shown = f"{shown}: {misfit.reason}"
        return _error(self._builder.snapshot(), shown, misfit.reason, place)


def _missing(response: ChatResponse) -> str:
    """Tell why nothing was answered, if nothing was."""
    message = response.message
    if message.tool_calls:
        return "the answer ends with tool calls: run them, and ask again with their results"
    if message.content.strip():
        return ""
    if response.done_reason == "length":
        return _CUT
    if response.done_reason in {"load", "unload"}:
        return "nothing was asked: a request without messages only loads or unloads the model"
    return "there is thinking, and no answer" if message.thinking else "the answer is empty"


def _shown(path: JsonPath) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _error(response: ChatResponse, shown: str, reason: str, path: str = "$") -> StructuredOutputError:
    return StructuredOutputError(
        shown,
        text=response.message.content,
        path=path,
        reason=reason,
        truncated=response.done_reason == "length",
        model=response.model,
        partial=response,
    )
