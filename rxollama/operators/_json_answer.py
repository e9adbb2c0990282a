"""The JSON of a stream's last message, or the reason why there is none; without Rx."""

from __future__ import annotations

import re
from collections.abc import Callable
from traceback import walk_tb
from typing import Any, TypeVar, final

import msgspec

from .._schema import Misfit, TypeReader
from ..errors import StructuredOutputError
from ..messages import ChatChunk, ChatResponse, MessageBoundary, PartialJson, ResponseBuilder
from ._json import JsonFault, JsonReader

__all__ = ("JsonAnswer", "JsonPath")

T = TypeVar("T")

JsonPath = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""

# An answer with nothing but thinking mostly reached the limit in its thinking.
_CUT_REASONS = ("length", "thinking_only")
_CUT_OFF = "the answer was cut off at num_predict or the context limit: raise it"
# A path of names and indexes. A key of a dict, as pydantic shows it, may hold any text of the model's own.
_PATH = re.compile(r"\$(\.[^.\[\]]+|\[[0-9]+\]|\[\.\.\.\])*")
_NAMES = re.compile(r"\.([^.\[]+)")
# Reasons that begin like this speak of the type. Others may quote the answer, which no message shows.
_ABOUT_THE_TYPE = ("Expected ", "Object missing ", "Input should be ", "Field required")


@final
class JsonAnswer:
    """
    The content of the assistant's current message, read as JSON.

    The last message counts: text beside tool calls, and what is wrong with it, is forgotten when the next message
    begins, or when the answer begins over.

    Args:
        watched: The path of a list whose items are taken out as they become whole; None for none.
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

    def add(self, chunk: ChatChunk) -> bool:
        """Add a chunk, and return whether the value changed with it."""
        self._builder.add(chunk)
        boundary = self._boundary
        if boundary.changes(chunk):
            self._is_over = True
        # A chunk without text and role, or with only tool progress, does not begin a message.
        is_answer = boundary.role != "tool" and not chunk.is_tool_progress
        begins = self._is_over and is_answer and (chunk.visible or chunk.message.role)
        if begins or chunk.restart is not None:
            self._begin()
        changed = is_answer and bool(chunk.message.content) and self._read(chunk.message.content)
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
        """End the answer, and return whether the value changed with it."""
        if self._fault is None:
            try:
                self._reader.end()
            except JsonFault as fault:
                self._fault = fault
            return self._reader.changed
        return False

    def snapshot(self) -> PartialJson:
        """Return the value so far; only once it has changed."""
        return self._reader.snapshot()

    def elements(self, reader: TypeReader[T]) -> tuple[list[tuple[int, T]], Exception | None]:
        """
        Remove and return the elements that have become complete.

        Args:
            reader: The type of an element.

        Returns:
            The elements, each with a hash of its JSON value, up to the first that does not fit or whose type raises;
            and the error of that one.
        """
        ready: list[tuple[int, T]] = []
        found = self._reader.found or []
        for index, value in enumerate(found, self._count):
            try:
                # Equal values have equal reprs, also those that cannot be hashed. 64 bits hardly ever meet by chance.
                ready.append((hash(repr(value)), reader.convert(value)))
            except Misfit as misfit:
                return ready, self._misfit_error(misfit, reader, (*(self._watched or ()), index))
            except Exception as error:  # noqa: BLE001 - A type's own code may raise anything; it is passed on.
                return ready, error
        self._count += len(found)
        found.clear()
        return ready, None

    def whole(self, reader: TypeReader[T]) -> tuple[tuple[T, ...], Exception | None]:
        """
        Return the whole value; only after `end`.

        Args:
            reader: The type of the value.

        Returns:
            The value and no error, or no value and the error. The error is not raised here, where its traceback would
            show nothing but this library.
        """
        failure = self.failure()
        if failure is not None:
            return (), failure
        try:
            return (reader.convert(self._reader.value),), None
        except Misfit as misfit:
            return (), self._misfit_error(misfit, reader)
        except Exception as error:  # noqa: BLE001 - A type's own code may raise anything; it is passed on.
            return (), error

    def failure(self) -> StructuredOutputError | None:
        """Return why there is no value, or no list at the watched path; only after `end`."""
        response = self._builder.snapshot()
        reason = _missing_reason(response) or self._fault_reason(response)
        if reason:
            return _error(response, reason, reason)
        if self._watched is None or self._reader.found is not None:
            return None
        path = _path_text(self._watched)
        reason = f"there is no list at {path}"
        return _error(response, reason, reason, path)

    def _fault_reason(self, response: ChatResponse) -> str:
        fault, is_cut_off = self._fault, response.done_reason == "length"
        if fault is None:
            return ""
        if fault.early:
            return _CUT_OFF if is_cut_off else f"the answer ends too early to be JSON (at position {fault.position})"
        reason = f"the answer is not JSON: {fault.reason} (at position {fault.position})"
        return f"{reason}; {_CUT_OFF}" if is_cut_off else reason

    def _misfit_error(self, misfit: Misfit, reader: TypeReader[Any], path: JsonPath = ()) -> StructuredOutputError:
        full_path = _path_text(path) + misfit.path[1:]
        schema = msgspec.json.encode(reader.schema).decode()
        is_known = _PATH.fullmatch(misfit.path) and all(f'"{name}"' in schema for name in _NAMES.findall(misfit.path))
        shown = f"the answer does not fit its type at {full_path if is_known else _path_text(path)}"
        if misfit.reason.startswith(_ABOUT_THE_TYPE):
            shown = f"{shown}: {misfit.reason}"
        error = _error(self._builder.snapshot(), shown, misfit.reason, full_path)
        error.__cause__ = _raised_by_type(misfit)
        return error


def _raised_by_type(misfit: Misfit) -> BaseException | None:
    """Return the exception of the type's own code, such as a validator, that made a value not fit; else None."""
    # msgspec keeps what `__post_init__` raised as the cause of its own error, and pydantic in the error's context.
    raised = getattr(misfit.__cause__, "__cause__", None)
    faults: Callable[[], list[dict[str, Any]]] | None = getattr(raised, "errors", None)
    if faults is not None:
        raised = faults()[0].get("ctx", {}).get("error")
    if not isinstance(raised, BaseException):
        return None
    modules = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(raised.__traceback__)]
    # Without a line of the user's own, the cause would repeat the reason.
    return raised if modules and not modules[-1].startswith("rxollama.") else None


def _missing_reason(response: ChatResponse) -> str:
    """Return why there is no answer; empty if there is one."""
    message = response.message
    if message.tool_calls:
        return "the answer ends with tool calls: run them, and ask again with their results"
    if message.content.strip():
        return ""
    if response.done_reason == "length":
        return _CUT_OFF
    if response.done_reason == "thinking_only":
        return "there is thinking, but no answer: allow more tokens (num_predict), or less thinking (think=)"
    if response.done_reason in {"load", "unload"}:
        return "the server only loaded or unloaded the model, as it does for a request without messages"
    return "there is thinking, but no answer" if message.thinking else "the answer is empty"


def _path_text(path: JsonPath) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _error(response: ChatResponse, message: str, reason: str, path: str = "$") -> StructuredOutputError:
    return StructuredOutputError(
        message,
        text=response.message.content,
        path=path,
        reason=reason,
        truncated=response.done_reason in _CUT_REASONS,
        model=response.model,
        partial=response,
    )
