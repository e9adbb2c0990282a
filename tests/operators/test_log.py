"""The log of a chat, which has texts only if they are asked for."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import msgspec
import orjson
import pytest
import reactivex
import structlog
from hypothesis import given
from hypothesis import strategies as st
from marbles import Quiet, play
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest
from reactivex.testing.subscription import Subscription
from recorded import recorded
from strategies import conversations, standing
from structlog.testing import CapturingLogger, LogCapture

from rxollama.errors import (
    InvalidValueError,
    NotFoundError,
    ReportedError,
    StreamTimeoutError,
    ToolArgumentsError,
    ToolDeniedError,
    ToolError,
    TruncatedError,
)
from rxollama.messages import ChatChunk, ClientTiming, Function, Message, ToolCall
from rxollama.messages._response import ResponseBuilder
from rxollama.operators import Logger, log

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

LOST = TruncatedError("the answer ended before it was done", model="qwen3", endpoint="POST /api/chat")
MINE = KeyError("mine")
CALL = ToolCall(Function("get_weather", {"city": "Oslo"}), "call_1")
HM = ChatChunk(model="qwen3", message=Message("assistant", thinking="Hm. "))
YES = ChatChunk(model="qwen3", message=Message("assistant", "Yes."))
ASKS = ChatChunk(model="qwen3", message=Message("assistant", tool_calls=(CALL,)))
DONE = ChatChunk(
    model="qwen3",
    message=Message("assistant"),
    done=True,
    done_reason="stop",
    total_duration=5_000_000_000,
    load_duration=1_000_000_000,
    prompt_eval_count=7,
    prompt_eval_duration=500_000_000,
    eval_count=20,
    eval_duration=2_000_000_000,
    client=ClientTiming(time_to_first_chunk=3, time_to_first_token=4, wall_duration=9, chunk_count=3),
)
RESULT = ChatChunk(message=Message.tool("3 °C, a secret", call=CALL))
FAILED = ChatChunk(message=Message.tool("no such city", call=CALL), tool_failed=True)
CLOCKED = {"wall_duration", "time_to_first_token", "chat"}


class Lines:
    """A logger that keeps its lines, and raises if it is given an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.lines: list[dict[str, Any]] = []
        self._error = error

    def _write(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        self.lines.append({"level": level, "event": event, **fields})
        if self._error is not None:
            raise self._error

    def info(self, event: str, **fields: Any) -> None:
        """Keep a line."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Keep a warning."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Keep an error."""
        self._write("error", event, fields)

    @property
    def events(self) -> list[str]:
        """The events of the lines."""
        return [line["event"] for line in self.lines]

    @property
    def steady(self) -> list[dict[str, Any]]:
        """The lines without the values that differ each time."""
        return [{key: value for key, value in line.items() if key not in CLOCKED} for line in self.lines]


def logged(*chunks: ChatChunk, error: Exception | None = None, content: bool = False) -> Lines:
    """Return the logger of a chat that has ended."""
    lines = Lines()
    end: Observable[ChatChunk] = reactivex.empty() if error is None else reactivex.throw(error)
    reactivex.concat(reactivex.from_iterable(chunks), end).pipe(log(lines, content=content)).subscribe(
        on_error=lambda _: None
    )
    return lines


# Items and ends.


def test_completes() -> None:
    """The chat is passed on unchanged, and the last line has everything that is known."""
    lines = Lines()
    played = play(log(lines), on_next(10, HM), on_next(20, YES), on_next(30, DONE), on_completed(40))

    assert played.messages == [on_next(210, HM), on_next(220, YES), on_next(230, DONE), on_completed(240)]
    assert played.subscriptions == [Subscription(200, 240)]
    assert lines.steady == [
        {"level": "info", "event": "chat_started"},
        {"level": "info", "event": "chat_first_token", "model": "qwen3", "kind": "thinking"},
        {
            "level": "info",
            "event": "chat_finished",
            "model": "qwen3",
            "done_reason": "stop",
            "content_length": 4,
            "thinking_length": 4,
            "tool_call_count": 0,
            "chunk_count": 3,
            "time_to_first_chunk": 3,
            "total_duration": 5_000_000_000,
            "load_duration": 1_000_000_000,
            "prompt_eval_count": 7,
            "prompt_eval_duration": 500_000_000,
            "eval_count": 20,
            "eval_duration": 2_000_000_000,
            "tokens_per_second": 10.0,
            "prompt_tokens_per_second": 14.0,
            "queue_duration": 1_500_000_000,
        },
    ]
    assert lines.lines[-1]["wall_duration"] == 9


@pytest.mark.parametrize("error", [None, LOST, MINE])
def test_one_time_to_first_token(error: Exception | None) -> None:
    """All lines of a chat have the same time to the first token, whatever the client measured."""
    first, *_, last = logged(HM, ASKS, DONE, error=error).lines[1:]

    assert first["event"] == "chat_first_token"
    assert first["time_to_first_token"] == last["time_to_first_token"]


def test_one_time_to_first_token_when_disposed() -> None:
    """The last line of a disposed chat has the time to the first token as well."""
    lines = Lines()
    source: Subject[ChatChunk] = Subject()
    subscription = source.pipe(log(lines)).subscribe()
    source.on_next(YES)
    subscription.dispose()

    assert lines.lines[1]["time_to_first_token"] == lines.lines[-1]["time_to_first_token"]


def test_errs() -> None:
    """An error is passed on, and is logged with what was received."""
    lines = Lines()
    played = play(log(lines), on_next(10, YES), on_error(20, LOST))

    assert played.messages == [on_next(210, YES), on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]
    assert lines.steady[2:] == [
        {
            "level": "error",
            "event": "chat_failed",
            "model": "qwen3",
            "endpoint": "POST /api/chat",
            "error": "TruncatedError",
            "error_message": str(LOST),
            "chunk_count": 1,
            "content_length": 4,
            "thinking_length": 0,
            "tool_call_count": 0,
        }
    ]


def test_never() -> None:
    """A silent chat is logged as started, and as cancelled when it is disposed."""
    lines = Lines()
    played = play(log(lines))

    assert played.messages == []
    assert played.subscriptions == [Subscription(200, 1000)]
    assert lines.events == ["chat_started", "chat_cancelled"]


def test_disposed() -> None:
    """What was received before dispose is logged once."""
    lines = Lines()
    played = play(log(lines), on_next(10, HM), on_next(20, YES), on_completed(30), disposed=215)

    assert played.messages == [on_next(210, HM)]
    assert played.subscriptions == [Subscription(200, 215)]
    assert lines.steady[2:] == [
        {
            "level": "warning",
            "event": "chat_cancelled",
            "model": "qwen3",
            "chunk_count": 1,
            "content_length": 0,
            "thinking_length": 4,
            "tool_call_count": 0,
        }
    ]


def test_disposed_twice() -> None:
    """A second dispose, or one after the end, is not logged."""
    lines = Lines()
    source: Subject[ChatChunk] = Subject()
    subscription = source.pipe(log(lines)).subscribe()
    subscription.dispose()
    subscription.dispose()
    finished = logged(DONE)

    assert lines.events == ["chat_started", "chat_cancelled"]
    assert finished.events == ["chat_started", "chat_finished"]


def test_one_end_from_threads() -> None:
    """A chat that ends on one thread and is disposed on others has one last line."""
    for _ in range(50):
        lines, gate = Lines(), threading.Barrier(3)
        source: Subject[ChatChunk] = Subject()
        subscription = source.pipe(log(lines)).subscribe()
        ends = (source.on_completed, subscription.dispose, subscription.dispose)
        threads = [threading.Thread(target=_at_once, args=(gate, end)) for end in ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(lines.lines) == 2


def _at_once(gate: threading.Barrier, act: Callable[[], None]) -> None:
    gate.wait(10)
    act()


def test_scheduler_is_passed_on() -> None:
    """The source is subscribed with the subscriber's scheduler."""
    seen: list[abc.SchedulerBase | None] = []

    def subscribe(_: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        seen.append(scheduler)
        return Disposable()

    scheduler = VirtualTimeScheduler()
    Observable(subscribe).pipe(log(Quiet())).subscribe(scheduler=scheduler)

    assert seen == [scheduler]


# The lines.


@pytest.mark.parametrize(("chunk", "kind"), [(HM, "thinking"), (YES, "content"), (ASKS, "tool_call")])
def test_first_token(chunk: ChatChunk, kind: str) -> None:
    """The first thinking, content or call is logged once, and an empty chunk does not count."""
    lines = logged(ChatChunk(model="qwen3"), chunk, HM, YES, DONE).steady

    first = [line for line in lines if line["event"] == "chat_first_token"]
    assert first == [{"level": "info", "event": "chat_first_token", "model": "qwen3", "kind": kind}]


def test_no_token() -> None:
    """An empty answer has no line for the first token."""
    assert logged(DONE).events == ["chat_started", "chat_finished"]


def test_tool_calls() -> None:
    """Each call is logged by name and id."""
    both = ChatChunk(model="qwen3", message=Message("assistant", tool_calls=(CALL, ToolCall(Function("get_time")))))
    lines = logged(both, ASKS, DONE).steady

    assert [line for line in lines if line["event"] == "chat_tool_call"] == [
        {"level": "info", "event": "chat_tool_call", "model": "qwen3", "tool_name": name, "tool_call_id": call_id}
        for name, call_id in (("get_weather", "call_1"), ("get_time", ""), ("get_weather", "call_1"))
    ]
    assert lines[-1]["tool_call_count"] == 3


def test_conversation() -> None:
    """A conversation with tools is one chat, with the numbers of all rounds and a line for each call."""
    lines = logged(HM, ASKS, DONE, RESULT, ChatChunk(done=True, eval_count=99), ASKS, DONE, FAILED, YES, DONE)

    assert lines.events == [
        "chat_started",
        "chat_first_token",
        "chat_tool_call",
        "chat_tool_result",
        "chat_tool_call",
        "chat_tool_failed",
        "chat_finished",
    ]
    end = lines.lines[-1]
    assert (end["tool_result_count"], end["tool_failure_count"]) == (2, 1)
    assert (end["eval_count"], end["round_count"], end["tokens_per_second"]) == (60, 3, 10.0)
    assert (end["content_length"], end["thinking_length"], end["tool_call_count"]) == (4, 4, 2)
    assert (end["chunk_count"], end["wall_duration"], end["time_to_first_chunk"]) == (9, 27, 3)


def test_tools() -> None:
    """Each tool result has a line, with its text only if that is asked for; tool progress has none."""
    half = ChatChunk(message=Message("tool", tool_name="get_weather"), tool_progress="half")
    lines = [logged(ASKS, DONE, half, RESULT, FAILED, content=content).steady[-3:-1] for content in (False, True)]
    result = {"event": "chat_tool_result", "level": "info", "result_length": 14}
    failed = {"event": "chat_tool_failed", "level": "warning", "result_length": 12}
    call = {"model": "qwen3", "tool_name": "get_weather", "tool_call_id": "call_1"}

    assert lines[0] == [result | call, failed | call]
    assert lines[1] == [result | call | {"result": "3 °C, a secret"}, failed | call | {"result": "no such city"}]


@given(conversation=conversations())
def test_numbers_are_the_responses(conversation: list[list[ChatChunk]]) -> None:
    """The numbers in the last line are those of the response."""
    chunks = [chunk for message in conversation for chunk in message]
    builder = ResponseBuilder()
    for chunk in chunks:
        builder.add(chunk)
    response = builder.snapshot()
    end = logged(*chunks).lines[-1]

    spoken = [message for message in response.messages if message.role != "tool"]
    assert end["model"] == response.model
    assert end["done_reason"] == response.done_reason
    assert end["content_length"] == sum(len(message.content) for message in spoken)
    assert end["thinking_length"] == sum(len(message.thinking) for message in spoken)
    assert end["tool_call_count"] == sum(len(message.tool_calls) for message in spoken)
    for name in ("total_duration", "eval_count", "prompt_eval_cached_count", "tokens_per_second", "queue_duration"):
        assert end.get(name) == getattr(response.metrics, name)
    assert end["chunk_count"] == (response.metrics.chunk_count or len(standing(chunks)))


def test_words_after_a_result() -> None:
    """Text without a role is the assistant's once a tool's message is done, and the tool's before."""
    tool, done = Message.tool("secret", name="f"), True
    ended = logged(ChatChunk(message=tool, done=done), ChatChunk(message=Message("", "Yes"))).lines[-1]
    goes_on = logged(ChatChunk(message=tool), ChatChunk(message=Message("", "more"))).lines[-1]

    assert ended["content_length"] == 3
    assert goes_on["content_length"] == 0


def test_without_numbers() -> None:
    """Unknown numbers are left out, and chunks are counted."""
    end = logged(YES).steady[-1]

    assert "tokens_per_second" not in end
    assert "time_to_first_chunk" not in end
    assert end["chunk_count"] == 1


def test_host() -> None:
    """The host that answered is in the last line, if it is known."""
    ended = msgspec.structs.replace(DONE, client=ClientTiming(host="http://gpu-box:11434"))

    assert "host" not in logged(YES, DONE).steady[-1]
    assert logged(YES, ended).steady[-1]["host"] == "http://gpu-box:11434"


def test_ids() -> None:
    """The lines of a subscription share a unique id."""
    lines = Lines()
    chat = reactivex.of(YES, DONE).pipe(log(lines))
    chat.subscribe()
    chat.subscribe()

    ids = [line["chat"] for line in lines.lines]
    assert ids[:3] == [ids[0]] * 3
    assert ids[3:] == [ids[3]] * 3
    assert ids[0] != ids[3]


def test_error_of_a_request() -> None:
    """An error before any chunk is logged with its model, host, endpoint, status and phase."""
    request = {"model": "qwen3", "host": "http://gpu-box:11434", "endpoint": "POST /api/chat"}
    missing = NotFoundError("no", status=404, detail="model 'qwen3' not found")
    missing.model, missing.host, missing.endpoint = request.values()
    slow = StreamTimeoutError("too slow", phase="first_chunk", model="qwen3")

    told = logged(error=missing).steady[-1].items()
    assert told >= {**request, "status": 404, "error": "NotFoundError"}.items()
    assert logged(error=slow).steady[-1].items() >= {"phase": "first_chunk", "error_message": str(slow)}.items()


def test_a_subscribers_error() -> None:
    """An exception of a subscriber is logged as a failure, by its type."""
    lines = Lines()

    def fail(_: ChatChunk) -> NoReturn:
        raise MINE

    reactivex.of(YES, DONE).pipe(log(lines)).subscribe(fail, lambda _: None)

    assert lines.events == ["chat_started", "chat_first_token", "chat_failed"]
    assert lines.lines[-1]["error"] == "KeyError"
    assert "error_message" not in lines.lines[-1]


# What is not logged.


@given(secret=st.text("§¶", min_size=3, max_size=8), ending=st.sampled_from(["finished", "cancelled", "lost", "mine"]))
def test_keeps_secrets(secret: str, ending: str) -> None:
    """No line quotes content, thinking, tool arguments, tool results or an error that may quote them."""
    lines = Lines()
    source: Subject[ChatChunk] = Subject()
    subscription = source.pipe(log(lines)).subscribe(on_error=lambda _: None)
    call = ToolCall(Function("f", {secret: [secret, {"a": secret}]}))
    for message in (Message("assistant", secret, secret, tool_calls=(call,)), Message.tool(secret, name="f")):
        source.on_next(ChatChunk(message=message))
    if ending == "finished":
        source.on_completed()
    elif ending == "cancelled":
        subscription.dispose()
    elif ending == "lost":
        source.on_error(ReportedError(f"the server reported: {secret}", detail=secret, body=secret))
    else:
        source.on_error(InvalidValueError(secret))

    assert lines.events[-1] in {"chat_finished", "chat_cancelled", "chat_failed"}
    assert secret not in repr(lines.lines)


def test_keeps_what_a_server_quotes() -> None:
    """An error in which the server quotes the model is logged by its type alone."""
    chunks, expect = recorded("tool-call-bad")
    error = ReportedError("error parsing tool call: raw='{\"city\": Oslo'", detail="error parsing tool call", model="m")
    end = logged(*chunks, error=error).lines[-1]

    assert expect
    assert end["error"] == "ReportedError"
    assert "error_message" not in end


@pytest.mark.parametrize("kind", [ToolArgumentsError, ToolDeniedError])
def test_keeps_what_a_call_quotes(kind: type[ToolError]) -> None:
    """An error that quotes tool arguments, or why a call was denied, is logged by its type alone."""
    end = logged(HM, error=kind("Invalid enum value 'secret' - at `$.unit`", model="m")).lines[-1]

    assert end["error"] == kind.__name__
    assert "secret" not in repr(end)


def test_content() -> None:
    """With `content=True` content, thinking, tool arguments and all error messages are logged."""
    finished = logged(HM, YES, ASKS, DONE, RESULT, YES, DONE, content=True).lines
    failed = logged(HM, error=MINE, content=True).lines[-1]

    assert [line["arguments"] for line in finished if line["event"] == "chat_tool_call"] == [{"city": "Oslo"}]
    assert (finished[-1]["content"], finished[-1]["thinking"]) == ("Yes.Yes.", "Hm. ")
    assert finished[-1]["content_length"] == len(finished[-1]["content"])
    assert (failed["thinking"], failed["error_message"]) == ("Hm. ", str(MINE))


# Loggers.


def test_failing_logger(reported: Callable[[], list[BaseException]]) -> None:
    """A logger that raises is reported once, and the chat is passed on unchanged."""
    heard: list[object] = []
    chat = reactivex.of(HM, YES, DONE).pipe(log(Lines(MINE)))
    chat.subscribe(heard.append, heard.append, lambda: heard.append("completed"))

    assert heard == [HM, YES, DONE, "completed"]
    assert reported() == [MINE]


class Asynchronous:
    """A logger with async methods, which nobody would await."""

    async def info(self, event: str, **fields: Any) -> None:
        """Log nothing."""

    warning = error = info


class Opaque:
    """A logger whose methods have no signature."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.info = self.warning = self.error = _Method(self.events)


class _Method:
    __signature__ = "none"

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def __call__(self, event: str, **_: object) -> None:
        self._events.append(event)


@pytest.mark.parametrize(
    "logger",
    [
        logging.getLogger("rxollama.tests"),
        logging.LoggerAdapter(logging.getLogger("rxollama.tests"), {}),
        structlog.PrintLogger(io.StringIO()),
        structlog.BytesLogger(io.BytesIO()),
        SimpleNamespace(info=repr, warning=repr, error=repr),
        print,
        "logger",
        object(),
    ],
    ids=lambda logger: type(logger).__name__,
)
def test_wrong_logger(logger: Any) -> None:
    """An object that cannot log with fields is refused at the call."""
    with pytest.raises(InvalidValueError, match=r"^logger: expected a logger of structlog, or of `logging` by"):
        log(logger)


ASYNC = (
    "logger: expected a synchronous logger of structlog, got {}: "
    "pass the `sync_bl` of an AsyncBoundLogger, or use wrapper_class=structlog.stdlib.BoundLogger"
)


def wrapped(written: io.StringIO) -> Any:
    """Return a logger of structlog whose methods are async; it is bound at its first use, in a running loop."""
    return structlog.wrap_logger(
        structlog.PrintLogger(written),
        processors=[structlog.processors.JSONRenderer()],
        wrapper_class=structlog.stdlib.AsyncBoundLogger,
    )


@pytest.mark.parametrize("logger", [Asynchronous(), wrapped(io.StringIO())], ids=["own", "structlog"])
def test_async_logger(logger: Any) -> None:
    """A logger whose methods are async is refused with what to pass instead, also without a running loop."""
    with pytest.raises(InvalidValueError) as refused:
        log(logger)

    assert str(refused.value) == ASYNC.format(type(logger).__name__)
    assert (refused.value.field, refused.value.allowed) == ("logger", "a synchronous logger of structlog")


async def test_async_bound_logger() -> None:
    """The same holds in a running loop, and what the error says to pass works."""
    written = io.StringIO()
    lazy = wrapped(written)
    bound = lazy.bind(user="anna")
    for logger in (lazy, bound):
        with pytest.raises(InvalidValueError) as refused:
            log(logger)

        assert str(refused.value) == ASYNC.format(type(logger).__name__)
    await reactivex.of(ASKS, DONE).pipe(log(bound.sync_bl))

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(line["event"], line["user"]) for line in lines] == [(event, "anna") for event in EVENTS]


@pytest.mark.usefixtures("_configured")
def test_async_default_logger() -> None:
    """The default logger is refused as well if structlog is configured to be async."""
    structlog.configure(wrapper_class=structlog.stdlib.AsyncBoundLogger)

    with pytest.raises(InvalidValueError, match="expected a synchronous logger of structlog"):
        log()


def test_opaque_logger() -> None:
    """A logger whose methods have no signature is accepted."""
    opaque = Opaque()
    reactivex.of(DONE).pipe(log(cast("Logger", opaque))).subscribe()

    assert opaque.events == ["chat_started", "chat_finished"]


EVENTS = ["chat_started", "chat_first_token", "chat_tool_call", "chat_finished"]


@pytest.fixture
def _configured() -> Iterator[None]:
    """Restore structlog's configuration after the test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("_configured")
def test_default_logger(capsys: pytest.CaptureFixture[str]) -> None:
    """The default is structlog's own logger, with the configuration at the time of the line."""
    chat = reactivex.of(ASKS, DONE).pipe(log())
    capture = LogCapture()
    structlog.configure(processors=[capture])
    chat.subscribe()

    assert [entry["event"] for entry in capture.entries] == EVENTS
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("_configured")
def test_json_lines() -> None:
    """A native logger with orjson writes valid JSON lines."""
    written = io.BytesIO()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(written),
    )
    reactivex.of(HM, YES, ASKS, DONE).pipe(log(content=True)).subscribe()

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["event"] for line in lines] == EVENTS
    assert all(key == key.lower() and " " not in key for line in lines for key in line)
    assert lines[-1]["content"] == "Yes."


def test_print_logger() -> None:
    """A native logger that prints works, bound values included."""
    written = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(written),
        processors=[structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    ).bind(user="anna")
    reactivex.of(ASKS, DONE).pipe(log(logger)).subscribe()

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["event"] for line in lines] == EVENTS
    assert {line["user"] for line in lines} == {"anna"}


def test_filtered_logger() -> None:
    """A level that is filtered out writes nothing and raises nothing."""
    written = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(written), wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )
    reactivex.of(DONE).pipe(log(logger)).subscribe()

    assert written.getvalue() == ""


def test_stdlib_logger(caplog: pytest.LogCaptureFixture) -> None:
    """A logger of structlog over `logging` writes records with the right levels."""
    logger: Any = structlog.wrap_logger(
        logging.getLogger("rxollama.tests"),
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    with caplog.at_level(logging.INFO, "rxollama.tests"):
        reactivex.of(ASKS, DONE).pipe(log(logger)).subscribe()
        reactivex.throw(LOST).pipe(log(logger)).subscribe(on_error=lambda _: None)

    assert [record.getMessage() for record in caplog.records] == [*EVENTS, "chat_started", "chat_failed"]
    assert caplog.records[-1].levelname == "ERROR"


def test_generic_logger() -> None:
    """A logger of structlog that forwards any method works."""
    captured = CapturingLogger()
    logger: Any = structlog.wrap_logger(
        captured, processors=[structlog.processors.EventRenamer("message")], wrapper_class=structlog.BoundLogger
    )
    reactivex.of(DONE).pipe(log(logger)).subscribe()

    assert [call.kwargs["message"] for call in captured.calls] == ["chat_started", "chat_finished"]
    assert sys.exc_info() == (None, None, None)


def test_numbers_that_no_float_holds() -> None:
    """A chat whose server sends impossible numbers completes, and its log has them."""
    ended: list[str] = []
    chat = reactivex.of(ChatChunk(done=True, eval_count=10**400, eval_duration=1))
    with structlog.testing.capture_logs() as lines:
        chat.pipe(log()).subscribe(on_completed=lambda: ended.append("end"))

    assert (["end"], 10**400) == (ended, lines[-1]["eval_count"])
