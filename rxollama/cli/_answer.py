"""One answer: asked for, shown while it comes, and summed up."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from time import perf_counter_ns
from types import TracebackType
from typing import Protocol, Self

from reactivex import Observable
from reactivex import operators as rx

from rxollama import RxOllamaError, iterate
from rxollama import operators as op
from rxollama.cli._numbers import known, summary
from rxollama.cli._output import Output
from rxollama.cli._view import View
from rxollama.messages import ChatChunk, ChatResponse, ClientTiming
from rxollama.messages._response import ResponseBuilder
