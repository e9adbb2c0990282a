"""Where a stream lives: its event loop, its subscription, and the ways out of Rx."""

from rxollama._runtime._attempts import (
    AfterFirst,
    Attempts,
    Following,
    add_note,
    check_predicate,
    describe,
    is_answer,
)
from rxollama._runtime._batches import Absorb, Ready, Sink, always_ready, batch_path
from rxollama._runtime._chunks_of import chunks_of
from rxollama._runtime._consume import aiterate, iterate, run
from rxollama._runtime._end import emit_and_end, end_failed, end_safely
from rxollama._runtime._expectation import (
    Listener,
    WaitHub,
    WaitListener,
    current_listener,
    listening,
    take_listener,
)
from rxollama._runtime._iterate import AsyncIteration, Iteration, Overflow
from rxollama._runtime._loop import (
    Job,
    background,
    call_on,
    is_shutting_down,
    never_collect,
    report_error,
    run_jobs,
    run_jobs_blocking,
    running,
    start_jobs,
    stream_loop,
)
from rxollama._runtime._replace_file import replace_file
from rxollama._runtime._subscription import Streams, Subscription
from rxollama._runtime._warn import warn
from rxollama._runtime.stream import Operator, Stream

__all__ = (
    "Absorb",
    "AfterFirst",
    "AsyncIteration",
    "Attempts",
    "Following",
    "Iteration",
    "Job",
    "Listener",
    "Operator",
    "Overflow",
    "Ready",
    "Sink",
    "Stream",
    "Streams",
    "Subscription",
    "WaitHub",
    "WaitListener",
    "add_note",
    "aiterate",
    "always_ready",
    "background",
    "batch_path",
    "call_on",
    "check_predicate",
    "chunks_of",
    "current_listener",
    "describe",
    "emit_and_end",
    "end_failed",
    "end_safely",
    "is_answer",
    "is_shutting_down",
    "iterate",
    "listening",
    "never_collect",
    "replace_file",
    "report_error",
    "run",
    "run_jobs",
    "run_jobs_blocking",
    "running",
    "start_jobs",
    "stream_loop",
    "take_listener",
    "warn",
)
