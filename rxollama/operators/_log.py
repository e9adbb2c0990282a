"""The operator `log`: a structured log of a chat."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, Protocol, cast
from uuid import uuid4

import msgspec
import structlog
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from .._runtime import Operator, Sink, Stream, batch_path, chunks_of, report_error
from ..errors import StreamError, ToolArgumentsError, ToolDeniedError
from ..messages import ChatChunk, ChunkBatch, MessageBoundary, Metrics, Restart, ToolCall, metrics_of
from ._log_counts import LogCounts
from ._logger_check import check_logger

__all__ = ("Logger", "log")

_EMPTY = ChatChunk()
_NO_ANSWER = ("empty", "load", "thinking_only", "unload")
_DERIVED = ("tokens_per_second", "prompt_tokens_per_second", "queue_duration")


class Logger(Protocol):
    """
    A synchronous logger of structlog, native or over `logging`.

    .. versionadded:: 0.1
    """

    def info(self, event: str, **fields: Any) -> Any:
        """Log an event."""
        ...

    def warning(self, event: str, **fields: Any) -> Any:
        """Log a chat that is cancelled, begins over or has no answer, or a failed tool."""
        ...

    def error(self, event: str, **fields: Any) -> Any:
        """Log a failed chat."""
        ...


def log(logger: Logger | None = None, *, content: bool = False) -> Operator[ChatChunk, ChatChunk]:
    """
    Log a chat to structlog, and pass its chunks on unchanged.

    There is one line for each event, with snake_case keys and a `chat` id shared by all lines of a subscription:
    `chat_started`; `chat_first_token`; `chat_tool_call` for each call; `chat_tool_result` or `chat_tool_failed` for
    each result; `chat_restarted` if the answer begins over, with the attempt and what was dropped; and at the end
    `chat_finished` with all metrics, `chat_failed` or `chat_cancelled`, with what was received and stands. Durations
    are in nanoseconds. Unknown numbers are left out. `chat_finished` is a warning if its `done_reason` shows that there
    is no answer: `empty`, `thinking_only`, `load` or `unload`.

    .. marbles::

        --a--b--c--|
        log(QUIET)
        --a--b--c--|

        a = ChatChunk(message=Message("assistant", "Hel"))
        b = ChatChunk(message=Message("assistant", "lo"))
        c = ChatChunk(message=Message("assistant"), done=True)

    Args:
        logger: A synchronous logger of structlog. The default is `structlog.get_logger()`. Pass a logger of `logging`
            through `structlog.wrap_logger()`, and instead of an `AsyncBoundLogger` its `sync_bl`.
        content: Whether to log content, thinking, tool arguments, tool results, and error messages that may quote
            them. By default only their lengths and names are logged.

    Returns:
        An operator from a chat to a chat. A logger that raises is reported once, and never breaks the stream.

    Raises:
        InvalidValueError: If *logger* cannot log with fields, or its methods are async; in `pipe`, if the source does
            not carry chunks.

    Completes: with the source, after the line.
    Errors: with the source, after the line.
    Disposed: the source is disposed, after the line.

    .. versionadded:: 0.1
    """
    chosen = cast("Logger", structlog.get_logger()) if logger is None else logger
    check_logger(chosen)

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "log()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            chat_log = _ChatLog(chosen, content=content)
            add, emit = chat_log.add, observer.on_next
            ready_below, absorb_below = batch_path(observer)

            def on_next(chunk: ChatChunk) -> None:
                add(chunk)
                emit(chunk)

            def ready(batch: ChunkBatch) -> bool:
                return chat_log.is_within_text and ready_below(batch)

            def absorb(batch: ChunkBatch) -> None:
                chat_log.extend(batch)
                absorb_below(batch)

            def on_error(error: Exception) -> None:
                chat_log.write_failed(error)
                observer.on_error(error)

            def on_completed() -> None:
                chat_log.write_finished()
                observer.on_completed()

            sink = Sink(on_next, on_error, on_completed, ready, absorb)
            subscription = source.subscribe(sink, scheduler=scheduler)

            def dispose() -> None:
                chat_log.write_cancelled()
                subscription.dispose()

            return Disposable(dispose)

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


class _ChatLog:
    """
    The log of one subscription: what was received so far, and the logger.

    Its clock starts with the subscription, and gives `time_to_first_token` in all lines.
    """

    def __init__(self, logger: Logger, *, content: bool) -> None:
        self._logger = logger
        self._counts = LogCounts(keep_texts=content)
        self._shows_content = content
        self._lock = threading.Lock()
        self._has_ended = self._has_raised = False
        self._id = uuid4().hex[:12]
        self._start = perf_counter_ns()
        self._first_token: int | None = None
        self._boundary = MessageBoundary()
        self._write("info", "chat_started", {})

    @property
    def is_within_text(self) -> bool:
        """Whether text of the assistant would only be counted."""
        return self._first_token is not None and not self._shows_content and self._boundary.role == "assistant"

    def extend(self, batch: ChunkBatch) -> None:
        """Count the chunks of a batch, within a text."""
        counts = self._counts.now
        counts.chunk_count += len(batch)
        counts.content_length += len(batch.content)
        counts.thinking_length += len(batch.thinking)
        counts.model = batch.model

    def add(self, chunk: ChatChunk) -> None:
        """Add a chunk, and write the lines of its events."""
        message, boundary, counts = chunk.message, self._boundary, self._counts.now
        continues = self._first_token is not None and message.role == boundary.role == "assistant"
        if continues and not (self._shows_content or chunk.done or message.tool_calls or chunk.restart is not None):
            # Nearly every chunk is like this: only its length counts.
            counts.model = chunk.model or counts.model
            counts.chunk_count += 1
            counts.content_length += len(message.content)
            counts.thinking_length += len(message.thinking)
            return
        if chunk.restart is not None:
            self._begin_over(chunk.restart)
        if not chunk.is_tool_progress and boundary.changes(chunk):
            self._counts.begin_message()
        counts = self._counts.now
        counts.model = chunk.model or counts.model
        counts.chunk_count += 1
        if chunk.is_tool_progress:
            return
        if boundary.role == "tool":
            self._add_result(chunk)
        else:
            self._add_answer(chunk)
        if chunk.done:
            boundary.restart()
            self._counts.begin_message()

    def _begin_over(self, restart: Restart) -> None:
        if self._boundary.role == "tool":
            # A result is not a part of the message that begins over, even if it does not say that it is done.
            self._counts.begin_message()
        self._boundary.restart()
        kind, _, _ = restart.reason.partition(":")
        fields: dict[str, Any] = {"model": self._counts.now.model, "attempt": restart.attempt, "scope": restart.scope}
        # The reason may quote what the model wrote.
        fields |= {"error": kind} | ({"error_message": restart.reason} if self._shows_content else {})
        self._write("warning", "chat_restarted", fields | self._counts.begin_over(restart))

    def _add_result(self, chunk: ChatChunk) -> None:
        message, failed = chunk.message, chunk.tool_failed
        if not message.role:
            # It continues or ends a result that has its line.
            return
        self._counts.now.tool_result_count += 1
        self._counts.now.tool_failure_count += failed
        fields: dict[str, Any] = {
            "model": self._counts.now.model,
            "tool_name": message.tool_name,
            "tool_call_id": message.tool_call_id,
            "result_length": len(message.content),
        }
        if self._shows_content:
            fields["result"] = message.content
        self._write("warning" if failed else "info", "chat_tool_failed" if failed else "chat_tool_result", fields)

    def _add_answer(self, chunk: ChatChunk) -> None:
        message, counts = chunk.message, self._counts.now
        self._counts.add_text(message.content, message.thinking)
        if self._first_token is None and chunk.visible:
            self._first_token = perf_counter_ns() - self._start
            kind = "thinking" if message.thinking else "content" if message.content else "tool_call"
            fields = {"model": self._counts.now.model, "kind": kind, "time_to_first_token": self._first_token}
            self._write("info", "chat_first_token", fields)
        for call in message.tool_calls:
            counts.tool_call_count += 1
            self._write("info", "chat_tool_call", {"model": self._counts.now.model, **self._call_fields(call)})
        if chunk.done:
            counts.done_reason = chunk.done_reason
            metrics = metrics_of(chunk)
            counts.metrics = metrics if counts.metrics is None else counts.metrics + metrics
        elif counts.done_reason and chunk != _EMPTY:
            counts.done_reason = ""

    def write_finished(self) -> None:
        """Write the last line of a chat that completed."""
        counts = self._counts.now
        level = "warning" if counts.done_reason in _NO_ANSWER else "info"
        self._write_end(level, "chat_finished", lambda: {"done_reason": counts.done_reason} | _known(counts.metrics))

    def write_failed(self, error: Exception) -> None:
        """Write the last line of a chat that failed, with the error's message if it may be shown."""
        message = {"error_message": str(error)} if self._shows_content or _quotes_nothing(error) else {}
        self._write_end("error", "chat_failed", lambda: _error_fields(error) | message)

    def write_cancelled(self) -> None:
        """Write the last line of a chat that was disposed."""
        self._write_end("warning", "chat_cancelled", dict[str, Any])

    def _write_end(self, level: str, event: str, more: Callable[[], dict[str, Any]]) -> None:
        # A chat may end on one thread while it is disposed on another.
        with self._lock:
            is_first, self._has_ended = not self._has_ended, True
        if is_first:
            first_token = {} if self._first_token is None else {"time_to_first_token": self._first_token}
            self._write(level, event, self._received() | more() | first_token)

    def _received(self) -> dict[str, Any]:
        counts, texts = self._counts.now, self._counts
        fields: dict[str, Any] = {
            "model": self._counts.now.model,
            "chunk_count": counts.chunk_count,
            "content_length": counts.content_length,
            "thinking_length": counts.thinking_length,
            "tool_call_count": counts.tool_call_count,
            "wall_duration": perf_counter_ns() - self._start,
        }
        if counts.tool_result_count:
            fields["tool_result_count"] = counts.tool_result_count
            fields["tool_failure_count"] = counts.tool_failure_count
        if texts.content is not None and texts.thinking is not None:
            fields |= {"content": texts.content.getvalue(), "thinking": texts.thinking.getvalue()}
        return fields

    def _call_fields(self, call: ToolCall) -> dict[str, Any]:
        fields: dict[str, Any] = {"tool_name": call.name, "tool_call_id": call.id}
        return fields | {"arguments": call.arguments} if self._shows_content else fields

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        try:
            getattr(self._logger, level)(event, chat=self._id, **fields)
        except Exception as error:  # noqa: BLE001 - A failing log must not cost the answer.
            if not self._has_raised:
                self._has_raised = True
                report_error("the logger of a chat failed", error)


def _known(metrics: Metrics | None) -> dict[str, Any]:
    """Return the numbers that are known, under the names of `Metrics`."""
    metrics = metrics or Metrics()
    fields = msgspec.structs.asdict(metrics)
    rounds = fields.pop("rounds")
    # The log counts the tools of all rounds itself, also for a chat that did not finish.
    del fields["tool_result_count"], fields["tool_failure_count"]
    fields |= {name: getattr(metrics, name) for name in _DERIVED}
    # Without a client, as in a test or a replay, the log's own count is the only one.
    fields |= {"chunk_count": metrics.chunk_count or None, "round_count": len(rounds) or None}
    fields |= {name: getattr(metrics, name) or None for name in ("host", "repeat_count", "thinking_cut_count")}
    return {name: value for name, value in fields.items() if value is not None}


def _error_fields(error: Exception) -> dict[str, Any]:
    fields: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, StreamError):
        names = ("model", "host", "endpoint", "status", "phase", "retry_after")
        known = {name: getattr(error, name, None) for name in names}
        fields |= {name: value for name, value in known.items() if value}
    return fields


def _quotes_nothing(error: Exception) -> bool:
    """
    Return whether an error's message is the client's own.

    A server may quote the model, such as a tool call that it cannot parse, and a callback's error may quote anything.
    The error of a call that does not fit quotes its arguments; that of a denied call, the reason that was given.
    """
    quotes = isinstance(error, (ToolArgumentsError, ToolDeniedError)) or bool(getattr(error, "detail", ""))
    return isinstance(error, StreamError) and not quotes
