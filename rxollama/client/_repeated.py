"""
An answer that survives a break: the requests of one answer, as one stream.

The law. Downstream receives one answer. If the connection breaks, the request is sent again, and the first visible
chunk of the new attempt is a restart (`Attempts`), or the server is asked for the rest of the answer and goes on where
it was (`_seam`). Either way, the sum of the chunks is what stands: no text is missing, and none is there twice. Before
anything visible was delivered, a repetition leaves no trace.

A break is what a server or a network did that had accepted the request: a lost connection, or a response that ended too
early. A timeout counts once the answer began, since before that the model may still be loading, and each request would
abort that. While the request is repeated, a server that is down or busy counts, too: it may be starting. A refusal, an
error record, a repetition guard or a closed client is not a break: the same request would end in the same way, or
nobody asks for it any more.

At most 3 attempts in a row may bring nothing new, and an answer takes at most 32 requests. With several hosts, 12 may
break before they bring more than was there: a host that dies tells nothing about the next one. The waits between
requests are a part of the next request, so that `dispose` and the client's `close` end them as they end a request.

What is sent. A request is encoded once, and every repetition sends the same `Request`, by which a transport with
several hosts knows which of them failed. A continuation is another request, which names the first one. Its last message
is the assistant's, with the thinking and the content that stand. The same serves for a thought that exceeds
`max_thinking` (https://github.com/ollama/ollama/issues/17978): its content is a line break. Templates close a thought
in front of any content, and strip the break. A model that thinks on nevertheless gets a second such request, with
`think=False`, and is then left alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from msgspec.structs import replace
from reactivex import Observable, abc

from rxollama._runtime import Attempts, Following, Stream, add_note
from rxollama.client._answer_clock import AnswerClock
from rxollama.client._seam import can_continue, watch_seam
from rxollama.client._source import RequestPlan, source
from rxollama.client._thinking_limit import ThoughtTooLongError, limit_thinking
from rxollama.errors import (
    BadRequestError,
    BusyError,
    ConnectionFailedError,
    ConnectionLostError,
    ServerFailureError,
    StatusError,
    StreamError,
    StreamTimeoutError,
    TruncatedError,
)
from rxollama.messages import (
    AfterBreak,
    ChatChunk,
    ChatRequest,
    ChatResponse,
    GenerateRequest,
    Message,
    Metrics,
    Restart,
)
from rxollama.transport import Transport

__all__ = ("repeated",)

_MOST_REQUESTS = 32
_MOST_FRUITLESS = 3
_MOST_SETBACKS = 12
_FIRST_WAIT = 0.25
_JITTER = 0.5
_LONGEST_ASKED = 60.0
_MOST_CUTS = 2

_BREAKS = (ConnectionLostError, TruncatedError)
_BREAKS_MEANWHILE = (BusyError, ConnectionFailedError, ServerFailureError, StreamTimeoutError)

PlanOf = Callable[[ChatRequest], RequestPlan[ChatChunk]]


def repeated(
    request: ChatRequest | GenerateRequest, plan: RequestPlan[ChatChunk], plan_of: PlanOf
) -> Stream[ChatChunk]:
    """
    Build the stream of an answer.

    Args:
        request: The request, with the client's own options.
        plan: What is sent for it.
        plan_of: Returns what is sent for another request.

    Returns:
        A cold stream. It is that of the one request itself if nothing asks for a repetition.
    """
    chat = request if isinstance(request, ChatRequest) else None
    offered = _offered_by(plan.transport)
    mode = (chat and chat.after_break) or offered or "raise"
    if mode == "raise" and offered is None and (chat is None or chat.max_thinking is None):
        return source(plan)

    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        clock = AnswerClock(observer)
        answer = _Answer(clock, chat, plan, plan_of, mode=mode, has_hosts=offered is not None)
        attempts = Attempts(clock.sink, scheduler, "request", answer.follow)
        attempts.begin(answer.first())
        return attempts.current

    return Stream(subscribe, items=ChatChunk, deltas=True)


def _offered_by(transport: Transport) -> AfterBreak | None:
    """Return what a transport with several hosts does after a break; None for any other transport."""
    return getattr(transport, "after_break", None)


class _Answer:
    """
    The requests of one answer.

    Args:
        clock: The measurements of the answer.
        chat: The request; None if it is not a chat, which can only be repeated.
        plan: What is sent for it.
        plan_of: Returns what is sent for another request.
        mode: What happens after a break.
        has_hosts: Whether the transport has other hosts.
    """

    def __init__(
        self,
        clock: AnswerClock,
        chat: ChatRequest | None,
        plan: RequestPlan[ChatChunk],
        plan_of: PlanOf,
        *,
        mode: AfterBreak,
        has_hosts: bool,
    ) -> None:
        self._clock = clock
        self._chat = chat
        self._whole_plan = self._plan = plan
        self._plan_of = plan_of
        self._mode = mode
        self._has_hosts = has_hosts
        # A second message of the assistant behind one that the caller gave is refused by some templates.
        self._is_extensible = chat is not None and bool(chat.messages) and chat.messages[-1].role != "assistant"
        self._may_continue = mode == "continue" and self._is_extensible and chat is not None and chat.format is None
        # What was delivered and stands, as far as requests have ended.
        self._stands = ChatChunk()
        # The content that the current request continues. None if it begins the answer; empty if it closes a thought.
        self._sent: str | None = None
        # Whether the current request replaces what stands as soon as it brings something.
        self._replaces = False
        self._longest = self._fruitless = self._setbacks = self._repeats = 0

    def first(self) -> Observable[ChatChunk]:
        """Return the stream of the first request."""
        return self._source(0.0)

    def follow(self, error: Exception, has_delivered: bool) -> Following | None:
        """Return the stream of the next request after an error; None for none."""
        if not isinstance(error, StreamError):
            return None
        is_new = self._read_partial(error)
        if isinstance(error, ThoughtTooLongError):
            return self._close_thought()
        if isinstance(error, BadRequestError) and self._sent == "":
            add_note(error, _NOT_CLOSED)
        mode = self._mode if has_delivered or not self._has_hosts else "restart"
        if mode == "raise" or not self._is_break(error, has_delivered) or not self._is_worth_it(error, is_new=is_new):
            return None
        wait = max(self._next_wait(), _asked_by(error))
        if self._sent and _is_refusal(error):
            self._may_continue = False
        elif not is_new:
            return Following(self._source(wait), "repeat" if self._replaces or not has_delivered else "continue")
        if self._may_continue and can_continue(self._stands.message):
            return self._go_on(self._stands.message.content, self._stands.message.content, wait)
        self._plan, self._sent, self._clock.thinking_cuts = self._whole_plan, None, 0
        self._replaces = True
        return Following(self._source(wait), "repeat")

    def _source(self, wait: float) -> Observable[ChatChunk]:
        """Return the stream of the current request, which is sent after a wait."""
        clock, chat = self._clock, self._chat
        clock.requests += 1
        found: Observable[ChatChunk] = source(self._plan, wait=wait)
        if self._sent:
            found = watch_seam(found, self._sent, self._begin_over)
        if chat is None or chat.max_thinking is None or not self._is_extensible:
            return found
        if clock.thinking_cuts == _MOST_CUTS or clock.requests == _MOST_REQUESTS:
            return found
        # A thought that was closed must not go on. One in front of content that was sent is that of a new answer.
        return limit_thinking(found, 0 if self._sent == "" else chat.max_thinking)

    def _begin_over(self) -> Restart:
        self._replaces, self._may_continue, self._clock.thinking_cuts = True, False, 0
        return Restart(_BEGAN_OVER, self._clock.requests)

    def _close_thought(self) -> Following:
        self._clock.thinking_cuts += 1
        return self._go_on("", "\n", 0.0)

    def _go_on(self, sent: str, content: str, wait: float) -> Following:
        """Return the stream of a request that goes on from what stands."""
        # Nothing else is extended.
        chat = cast("ChatRequest", self._chat)
        last = Message("assistant", content, self._stands.message.thinking)
        think = False if self._clock.thinking_cuts == _MOST_CUTS else chat.think
        plan = self._plan_of(replace(chat, messages=(*chat.messages, last), think=think))
        self._plan = replace(plan, request=replace(plan.request, continues=self._whole_plan.request))
        self._sent = sent
        return Following(self._source(wait), "continue")

    def _read_partial(self, error: StreamError) -> bool:
        """Add what the request delivered, put the whole into the error, and return whether it delivered anything."""
        partial, part = error.partial, ChatChunk()
        if partial is not None:
            part = ChatChunk(model=partial.model, message=partial.message, logprobs=partial.logprobs)
        if part.visible:
            self._add(part)
        if self._clock.requests > 1 and self._stands.visible:
            # An error about a complete answer, such as that of a cut prompt, leaves it complete.
            ended = partial or ChatResponse(metrics=Metrics(host=error.host))
            error.partial = ChatResponse(
                message=self._stands.message,
                metrics=self._clock.timing(ended.metrics),
                done=ended.done,
                done_reason=ended.done_reason,
                model=self._stands.model,
                logprobs=self._stands.logprobs,
            )
        return part.visible

    def _add(self, part: ChatChunk) -> None:
        self._stands = part if self._replaces else self._stands + part
        self._replaces = False

    def _is_break(self, error: StreamError, has_delivered: bool) -> bool:
        if isinstance(error, _BREAKS) or (has_delivered and isinstance(error, StreamTimeoutError)):
            return True
        if self._sent and isinstance(error, BadRequestError):
            return True
        return self._clock.requests > 1 and isinstance(error, _BREAKS_MEANWHILE)

    def _is_worth_it(self, error: StreamError, *, is_new: bool) -> bool:
        """Count a request that broke, and return whether another one may help."""
        message = self._stands.message
        length = len(message.thinking) + len(message.content) + len(message.tool_calls)
        # A continued answer may be shorter than one that was dropped.
        if length > self._longest or (is_new and self._sent is not None):
            self._longest = max(length, self._longest)
            self._fruitless = self._setbacks = self._repeats = 0
        elif is_new and self._has_hosts:
            self._setbacks, self._repeats = self._setbacks + 1, 0
        else:
            self._fruitless += 1
        has_left = self._fruitless < _MOST_FRUITLESS and self._setbacks < _MOST_SETBACKS
        return has_left and self._clock.requests < _MOST_REQUESTS and _asked_by(error) <= _LONGEST_ASKED

    def _next_wait(self) -> float:
        """Return the seconds to wait: none if another host can answer at once."""
        repeats, self._repeats = self._repeats, self._repeats + 1
        if self._has_hosts and not repeats:
            return 0.0
        shortened = 1 - _JITTER * random.random()  # noqa: S311 - It is not a secret.
        return _FIRST_WAIT * 2.0**repeats * shortened


def _is_refusal(error: StreamError) -> bool:
    """Return whether a server or a template may refuse a last message of the assistant in this way."""
    is_failure = isinstance(error, ServerFailureError) and error.status == HTTPStatus.INTERNAL_SERVER_ERROR
    return is_failure or isinstance(error, BadRequestError)


def _asked_by(error: StreamError) -> float:
    """Return the wait that the server asks for, in seconds; 0 if it asks for none."""
    return (error.retry_after if isinstance(error, StatusError) else None) or 0.0


_BEGAN_OVER = "the server began the answer over instead of going on with it"
_NOT_CLOSED = (
    "the thought exceeded max_thinking, and this server refused the message of the assistant that closes it; "
    "ask this model without max_thinking"
)
