"""Watching a chat: a structured log of what happens, and never of what is said unless asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from inspect import iscoroutinefunction, signature
from io import StringIO
from time import perf_counter_ns
from typing import Any, Protocol, cast
from uuid import uuid4

import msgspec
import structlog
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from .._invalid_value import invalid_value
from .._runtime import Operator, Stream, chunks_of, report_error
from ..errors import StreamError, ToolArgumentsError, ToolDeniedError
from ..messages import ChatChunk, MessageBoundary, Metrics, ToolCall, metrics_of

__all__ = ("Logger", "log")

_LOGGERS = "a logger of structlog; one of `logging` becomes that with structlog.wrap_logger()"
_NOTHING = ChatChunk()
_DERIVED = ("tokens_per_second", "prompt_tokens_per_second", "queue_duration")


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
    `chat_tool_call` for each call, and a `chat_tool_result` or `chat_tool_failed` for what comes of it; and at the end
    `chat_finished` with all metrics, `chat_failed`, or `chat_cancelled`, with what was received. Durations are
    nanoseconds; a number that nobody knows is left out.

    .. marbles::

        --a--b--c--|
        log(QUIET)
        --a--b--c--|

        a = ChatChunk(message=Message("assistant", "Hel"))
        b = ChatChunk(message=Message("assistant", "lo"))
        c = ChatChunk(message=Message("assistant"), done=True)

    Args:
        logger: Any logger of structlog; None takes `structlog.get_logger()`.
        content: Whether to log what is said, thought and passed to tools, and the words of errors that may quote it;
            otherwise only lengths and names are.

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
    if not _takes_fields(chosen):
        raise invalid_value("logger", chosen, _LOGGERS, show=False)

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "log()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            diary = _ChatLog(chosen, content=content)
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

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


class _ChatLog:
    """Write the lines of one chat."""

    def __init__(self, logger: Logger, *, content: bool) -> None:
        self._logger = logger
        self._said = _Said() if content else None
        self._lock = threading.Lock()
        self._ended = self._told = self._broken = False
        self._id = uuid4().hex[:12]
        self._began = perf_counter_ns()
        self._boundary = MessageBoundary()
        self._model = self._done_reason = ""
        self._metrics: Metrics | None = None
        self._chunks = self._content = self._thinking = self._calls = self._results = self._failures = 0
        self._write("info", "chat_started", {})

    def chunk(self, chunk: ChatChunk) -> None:
        """Take in a chunk, and write what is worth a line."""
        self._chunks += 1
        self._model = chunk.model or self._model
        message, boundary = chunk.message, self._boundary
        goes_on = self._told and message.role == boundary.role == "assistant"
        if goes_on and self._said is None and not (chunk.done or message.tool_calls):
            # Nearly all chunks are so: only their length counts.
            self._content += len(message.content)
            self._thinking += len(message.thinking)
            return
        if chunk.is_tool_progress:
            return
        boundary.changes(chunk)
        if boundary.role == "tool":
            self._returned(chunk)
        else:
            self._spoken(chunk)
        if chunk.done:
            boundary.restart()

    def _returned(self, chunk: ChatChunk) -> None:
        message, failed = chunk.message, chunk.tool_failed
        if not message.role:
            # It only goes on with a result, or ends it.
            return
        self._results += 1
        self._failures += failed
        fields: dict[str, Any] = {
            "model": self._model,
            "tool_name": message.tool_name,
            "tool_call_id": message.tool_call_id,
            "result_length": len(message.content),
        }
        if self._said is not None:
            fields["result"] = message.content
        self._write("warning" if failed else "info", "chat_tool_failed" if failed else "chat_tool_result", fields)

    def _spoken(self, chunk: ChatChunk) -> None:
        message = chunk.message
        self._content += len(message.content)
        self._thinking += len(message.thinking)
        if self._said is not None:
            self._said.content.write(message.content)
            self._said.thinking.write(message.thinking)
        if not self._told and chunk.visible:
            self._told = True
            kind = "thinking" if message.thinking else "content" if message.content else "tool_call"
            since = perf_counter_ns() - self._began
            self._write("info", "chat_first_token", {"model": self._model, "kind": kind, "time_to_first_token": since})
        for call in message.tool_calls:
            self._calls += 1
            self._write("info", "chat_tool_call", {"model": self._model, **self._call(call)})
        if chunk.done:
            self._done_reason = chunk.done_reason
            metrics = metrics_of(chunk)
            self._metrics = metrics if self._metrics is None else self._metrics + metrics
        elif self._done_reason and chunk != _NOTHING:
            self._done_reason = ""

    def finished(self) -> None:
        """Write the end."""
        self._end("info", "chat_finished", lambda: {"done_reason": self._done_reason} | _numbers(self._metrics))

    def failed(self, error: Exception) -> None:
        """Write the error, but the words of the server or of a callback only where what is said may be shown."""
        words = {"error_message": str(error)} if self._said is not None or _says_nothing(error) else {}
        self._end("error", "chat_failed", lambda: _circumstances(error) | words)

    def cancelled(self) -> None:
        """Write that it was broken off."""
        self._end("warning", "chat_cancelled", dict[str, Any])

    def _end(self, level: str, event: str, more: Callable[[], dict[str, Any]]) -> None:
        """Write a last line, unless there is one."""
        with self._lock:
            first, self._ended = not self._ended, True
        if first:
            self._write(level, event, self._received() | more())

    def _received(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "model": self._model,
            "chunk_count": self._chunks,
            "content_length": self._content,
            "thinking_length": self._thinking,
            "tool_call_count": self._calls,
            "wall_duration": perf_counter_ns() - self._began,
        }
        if self._results:
            fields |= {"tool_result_count": self._results, "tool_failure_count": self._failures}
        if self._said is not None:
            fields |= {"content": self._said.content.getvalue(), "thinking": self._said.thinking.getvalue()}
        return fields

    def _call(self, call: ToolCall) -> dict[str, Any]:
        fields: dict[str, Any] = {"tool_name": call.name, "tool_call_id": call.id}
        return fields if self._said is None else fields | {"arguments": call.arguments}

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        try:
            getattr(self._logger, level)(event, chat=self._id, **fields)
        except Exception as error:  # noqa: BLE001 - A log is no reason to lose an answer.
            if not self._broken:
                self._broken = True
                report_error("the logger of a chat failed", error)


class _Said:
    """Keep what was said, where it is to be logged."""

    def __init__(self) -> None:
        self.content, self.thinking = StringIO(), StringIO()


def _takes_fields(logger: object) -> bool:
    """Tell whether a logger can be called as structlog's are; those of `logging` look so, and cannot."""
    if isinstance(logger, (logging.Logger, logging.LoggerAdapter)):
        return False
    return all(_is_level(getattr(logger, level, None)) for level in ("info", "warning", "error"))


def _is_level(method: object) -> bool:
    if not callable(method) or iscoroutinefunction(method):
        return False
    try:
        takes = signature(method)
    except (TypeError, ValueError):
        # Some, such as those that are written in C, do not tell.
        return True
    try:
        takes.bind("event", chat="")
    except TypeError:
        return False
    return True


def _numbers(metrics: Metrics | None) -> dict[str, Any]:
    """Tell the numbers that are known, under the names of `Metrics`."""
    metrics = metrics or Metrics()
    fields = msgspec.structs.asdict(metrics)
    rounds = fields.pop("rounds")
    # The tools of all rounds are counted beside, also where nothing says how it went.
    del fields["tool_result_count"], fields["tool_failure_count"]
    fields |= {name: getattr(metrics, name) for name in _DERIVED}
    # Without a client, as in a test or a replay, what passed through here is all that was counted.
    fields |= {"chunk_count": metrics.chunk_count or None, "round_count": len(rounds) or None}
    return {name: value for name, value in fields.items() if value is not None}


def _circumstances(error: Exception) -> dict[str, Any]:
    """Tell the kind of an error, and of a request what it was."""
    fields: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, StreamError):
        known = {name: getattr(error, name, None) for name in ("model", "endpoint", "status", "phase", "retry_after")}
        fields |= {name: value for name, value in known.items() if value}
    return fields


def _says_nothing(error: Exception) -> bool:
    """
    Tell whether an error's words are the client's own, and quote nobody.

    A server may quote the model, as with a tool call that it cannot parse, and a callback anything. So does the error
    of a call that does not fit quote its arguments, and that of one that was not allowed who said so.
    """
    quotes = isinstance(error, (ToolArgumentsError, ToolDeniedError)) or bool(getattr(error, "detail", ""))
    return isinstance(error, StreamError) and not quotes
