"""Where a stream lives: its event loop, its subscription, and the ways out of Rx."""

from rxollama._runtime._consume import aiterate, iterate, run
from rxollama._runtime._end import end_failed, end_safely
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
from rxollama._runtime._subscription import Streams, Subscription
from rxollama._runtime.stream import Operator, Stream, chunks_of

__all__ = (
    "AsyncIteration",
    "Iteration",
    "Job",
    "Operator",
    "Overflow",
    "Stream",
    "Streams",
    "Subscription",
    "aiterate",
    "background",
    "call_on",
    "chunks_of",
    "end_failed",
    "end_safely",
    "is_shutting_down",
    "iterate",
    "never_collect",
    "report_error",
    "run",
    "run_jobs",
    "run_jobs_blocking",
    "running",
    "start_jobs",
    "stream_loop",
)
