"""Watching a chat: a structured log of what happens, and never of what is said unless asked."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any, Protocol, cast
from uuid import uuid4

import msgspec
import structlog
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from .._loop import report
from .._refusal import RxOllamaError, refuse
from .._rx import Operator
from ..messages import ChatChunk, Metrics, ToolCall
from ..messages._response import ResponseBuilder

__all__ = ("Logger", "log")


class Logger(Protocol):
    """
    Be a logger of structlog, native or stdlib.

    .. versionadded:: 0.1
    """

    def info(self, event: str, **fields: Any) -> Any:
        """Log what happens."""
        ...

    def warning(self, event: str, **fields: Any) -> Any:
        """Log what was broken off."""
        ...

    def error(self, event: str, **fields: Any) -> Any:
        """Log what failed."""
        ...


def log(logger: Logger | None = None, *, content: bool = False) -> Operator[ChatChunk, ChatChunk]:
    """
    Log a chat, and pass it on as it is.

    One line each, as snake_case keys, tied together by a `chat` id: `chat_started`; `chat_first_token`; a
    `chat_tool_call` for each call; and at the end `chat_finished` with all metrics, `chat_failed`, or
    `chat_cancelled`, with what was received. Durations are nanoseconds.

    .. marbles::

        --a--b--c--|
        log(QUIET)
        --a--b--c--|

        a = ChatChunk(message=Message("assistant", "Hel"))
        b = ChatChunk(message=Message("assistant", "lo"))
        c = ChatChunk(message=Message("assistant"), done=True)

    Args:
        logger: Any logger of structlog; None takes `structlog.get_logger()`.
        content: Whether to log what is said, thought and passed to tools; otherwise only lengths and names are.

    Returns:
        The operator. A logger that raises is reported once, and never breaks the stream.

    Raises:
        InvalidValueError: At this call, when *logger* cannot log with fields.

    Completes: with the source, logged before.
    Errors: with the source, logged before.
    Disposed: the source is disposed, logged as cancelled.

    .. versionadded:: 0.1
    """
    chosen = cast("Logger", structlog.get_logger()) if logger is None else logger
    if not all(callable(getattr(chosen, level, None)) for level in ("info", "warning", "error")):
        raise refuse("logger", chosen, "a logger of structlog", show=False)

    def apply(source: Observable[ChatChunk]) -> Observable[ChatChunk]:
        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            diary = _Diary(chosen, content=content)
            note, emit = diary.chunk, observer.on_next

            def on_next(chunk: ChatChunk) -> None:
                note(chunk)
                emit(chunk)

            def on_error(error: Exception) -> None:
                diary.failed(error)
                observer.on_error(error)

            def on_completed() -> None:
                diary.finished()
                observer.on_completed()

            subscription = source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)

            def dispose() -> None:
                diary.cancelled()
                subscription.dispose()

            return Disposable(dispose)

        return Observable(subscribe)

    return apply


class _Diary:
    """Write the lines of one chat."""

    def __init__(self, logger: Logger, *, content: bool) -> None:
        self._logger = logger
        self._shows = content
        self._ended = self._told = self._broken = False
        self._id = uuid4().hex[:12]
        self._began = perf_counter_ns()
        self._builder = ResponseBuilder()
        self._chunks = self._content = self._thinking = self._calls = 0
        self._write("info", "chat_started", {})

    def chunk(self, chunk: ChatChunk) -> None:
        """Take in a chunk, and write what is worth a line."""
        message = chunk.message
        self._builder.add(chunk)
        self._chunks += 1
        self._content += len(message.content)
        self._thinking += len(message.thinking)
        if not self._told and chunk.visible:
            self._told = True
            kind = "thinking" if message.thinking else "content" if message.content else "tool_call"
            since = perf_counter_ns() - self._began
            self._write("info", "chat_first_token", {"model": chunk.model, "kind": kind, "time_to_first_token": since})
        for call in message.tool_calls:
            self._calls += 1
            self._write("info", "chat_tool_call", {"model": chunk.model, **self._call(call)})

    def finished(self) -> None:
        """Write the end."""
        if not self._end():
            return
        response = self._builder.snapshot()
        fields = {"model": response.model, "done_reason": response.done_reason, **_numbers(response.metrics)}
        self._write("info", "chat_finished", fields | self._received())

    def failed(self, error: Exception) -> None:
        """Write the error; its words only if they are ours, since a callback's may quote what was said."""
        if not self._end():
            return
        fields: dict[str, Any] = {"model": self._builder.snapshot().model, "error": type(error).__name__}
        if self._shows or isinstance(error, RxOllamaError):
            fields["error_message"] = str(error)
        self._write("error", "chat_failed", fields | self._received())

    def cancelled(self) -> None:
        """Write that it was broken off, unless it has ended."""
        if self._end():
            self._write("warning", "chat_cancelled", {"model": self._builder.snapshot().model, **self._received()})

    def _end(self) -> bool:
        first, self._ended = not self._ended, True
        return first

    def _received(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "chunk_count": self._chunks,
            "content_length": self._content,
            "thinking_length": self._thinking,
            "tool_call_count": self._calls,
            "wall_duration": perf_counter_ns() - self._began,
        }
        if self._shows:
            message = self._builder.snapshot().message
            fields |= {"content": message.content, "thinking": message.thinking}
        return fields

    def _call(self, call: ToolCall) -> dict[str, Any]:
        fields: dict[str, Any] = {"tool_name": call.name, "tool_call_id": call.id}
        return fields | {"arguments": call.arguments} if self._shows else fields

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        try:
            getattr(self._logger, level)(event, chat=self._id, **fields)
        except Exception as error:  # noqa: BLE001 - A log is no reason to lose an answer.
            if not self._broken:
                self._broken = True
                report("the logger of a chat failed", error)


def _numbers(metrics: Metrics) -> dict[str, Any]:
    fields = {name: value for name, value in msgspec.structs.asdict(metrics).items() if value is not None}
    rounds = fields.pop("rounds")
    fields["tokens_per_second"] = metrics.tokens_per_second
    fields["prompt_tokens_per_second"] = metrics.prompt_tokens_per_second
    fields["queue_duration"] = metrics.queue_duration
    return fields | ({"round_count": len(rounds)} if rounds else {})
