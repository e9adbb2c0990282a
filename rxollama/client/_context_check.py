"""
The check of whether the server cut the prompt to the context window.

The law. A server that cuts a prompt keeps its first k tokens and half of what else the window W holds. It answers with
status 200, and no field says so (https://github.com/ollama/ollama/issues/3839). Its count of the prompt is exactly
`W - (W - k) // 2`, where k is `num_keep`, or one more if the model's prompts begin with a token of their own. With
`num_keep` 4 that is 2,050 or 2,051 of 4,096, and 16,386 or 16,387 of 32,768.

A whole prompt may have that count, too: two counts in 4,096 fit. So the text of the request must also be too long to be
so few tokens, whatever the tokenizer, see `fewest_tokens`. A weaker condition, that the text has at least W bytes since
a token has at least one, is met by any English prompt of a quarter of the window. Only texts count that a template
shows in any case: no thinking, images, tools and tool calls. They can make a prompt longer, never shorter. A text with
less than 3 letters per token, such as a table of numbers, is noticed only if it is longer than the window by a part.

The alternatives were to learn the tokens per byte from the answer, which may be in another language than the prompt,
and to take the count alone, which gives a false alarm for each 2,000 answers or so.

Servers also drop the oldest messages until the rest fits. That has no signature in one answer, and if it coincides with
one, the text that was dropped is what makes the alarm right. `Conversation` compares the answers of turns for it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from rxollama._hosts import full_name
from rxollama._runtime import warn
from rxollama._wire import read_running
from rxollama.errors import ContextTruncatedError, ContextTruncatedWarning
from rxollama.messages import ChatChunk, ChatRequest, GenerateRequest, fewest_tokens
from rxollama.transport import Request, Transport

__all__ = ("ContextCheck", "is_cut", "is_too_long_for", "plausible_window")

_KEPT = 4
# The server rounds the window of a model up to a multiple of this.
_STEP = 256
_LEAST = 512
_ASK_SECONDS = 2.0


def is_cut(count: int, window: int, num_keep: int = _KEPT) -> bool:
    """
    Return whether a prompt that was cut to a window has this many tokens.

    Args:
        count: The server's count of the prompt.
        window: The context window in tokens.
        num_keep: The tokens at the start of the prompt that a server keeps.

    Returns:
        Whether it fits. Never if *num_keep* is negative, which keeps the whole prompt.
    """
    return 0 <= num_keep < window - 1 and count in {window - (window - kept) // 2 for kept in (num_keep, num_keep + 1)}


def plausible_window(count: int, num_keep: int = _KEPT) -> int | None:
    """Return the window to which a prompt of this many tokens may have been cut. None if no server has such a one."""
    twice = 2 * count - num_keep
    window = twice - twice % _STEP
    return window if window >= _LEAST and is_cut(count, window, num_keep) else None


def is_too_long_for(request: ChatRequest | GenerateRequest, count: int) -> bool:
    """Return whether the text of a request has more tokens than the server counted, whatever the tokenizer."""
    if isinstance(request, GenerateRequest):
        texts = [request.prompt]
    else:
        # Some templates drop the thinking that an answer holds in tags.
        texts = [message.content for message in request.messages if "</think>" not in message.content]
    return fewest_tokens(texts, enough=count + 1) > count


class ContextCheck:
    """
    The check of one request's answer.

    Args:
        request: The request.
        transport: The transport, to ask the server for its window if the request does not set it.
        windows: The windows as servers named them, by host and model. Answers of servers are added.
    """

    __slots__ = ("_request", "_transport", "_windows")

    def __init__(
        self, request: ChatRequest | GenerateRequest, transport: Transport, windows: dict[tuple[str, str], int]
    ) -> None:
        self._request = request
        self._transport = transport
        self._windows = windows

    def window(self, host: str) -> int | None:
        """Return the context window: what the request sets, or what a host last said. None if neither is known."""
        return max(0, self._option("num_ctx")) or self._windows.get((host, self._request.model))

    async def run(self, last: ChatChunk) -> None:
        """
        Check the answer, and do what the request's `on_truncated` says.

        Args:
            last: The last chunk of the answer.

        Raises:
            ContextTruncatedError: If the prompt was cut and the request says "raise".
        """
        request = self._request
        # The server refuses a prompt that it may not cut.
        if request.on_truncated == "ignore" or request.truncate is False:
            return
        count, host = last.prompt_eval_count, "" if last.client is None else last.client.host
        window = await self._cut_to(count, host)
        if window is None:
            return
        text = _CUT.format(window=window, count=count)
        if request.on_truncated == "raise":
            raise ContextTruncatedError(text)
        warn(f"{text} (model {request.model!r})", ContextTruncatedWarning)

    async def _cut_to(self, count: int, host: str) -> int | None:
        """Return the window to which the prompt was cut. None if it was not, or if that is not known."""
        num_keep = self._option("num_keep", _KEPT)
        window = max(0, self._option("num_ctx")) or None
        fits = is_cut(count, window, num_keep) if window else plausible_window(count, num_keep) is not None
        if not fits or not is_too_long_for(self._request, count):
            return None
        if window is None:
            window = await self._ask(host)
        return window if window and is_cut(count, window, num_keep) else None

    def _option(self, name: str, default: int = 0) -> int:
        request = self._request
        options: dict[str, Any] = {**(request.options or {}), **(request.extra or {})}
        value = options.get(name)
        return default if value is None else int(value)

    async def _ask(self, host: str) -> int | None:
        """Return the window with which a host has loaded the model. None if it cannot be asked."""
        # Whatever a transport or a server does wrong here, the answer is complete.
        with suppress(Exception):
            request = Request(method="GET", path="/api/ps", model=self._request.model)
            async with asyncio.timeout(_ASK_SECONDS), self._transport.open(request) as response:
                # A transport with several hosts may have asked another one.
                if response.status == HTTPStatus.OK and (getattr(response, "host", "") or host) == host:
                    body = b"".join([data async for data in response])
                    sizes = {full_name(model.model or model.name): model.context_length for model in read_running(body)}
                    if window := sizes.get(full_name(self._request.model)):
                        self._windows[host, self._request.model] = window
                        return window
        return None


_CUT = (
    "the prompt was longer than the context window of {window} tokens, and the model read only {count} tokens of it; "
    "set num_ctx in options= to a larger window, send less text, or pass truncate=False to have such a prompt refused"
)
