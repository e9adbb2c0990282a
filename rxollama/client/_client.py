"""The client: chats and all other calls as observables."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from rxollama._invalid_value import invalid_value
from rxollama._runtime import Stream, Streams
from rxollama._tool_loop import RaiseOn, Through, ToolLoopOptions, converse
from rxollama._wire import CHAT, GENERATE, MAX_LINE, Decoder, LineDecoder, encode_chat, encode_generate
from rxollama.client._address import base_url
from rxollama.client._endpoints import Endpoints
from rxollama.client._lazy_transport import LazyTransport, http_transport
from rxollama.client._settings import check_http_client, check_size, check_transport, header_fields, key_of
from rxollama.client._source import RequestPlan, source
from rxollama.messages import (
    ChatChunk,
    ChatOptions,
    ChatRequest,
    Format,
    GenerateRequest,
    Image,
    KeepAlive,
    Messages,
    Options,
    Think,
)
from rxollama.tools import Approve, Tools, tools_of
from rxollama.transport import Request, Transport

if TYPE_CHECKING:
    from rxollama._http import AsyncClient

__all__ = ("Ollama",)

T = TypeVar("T")


class Ollama(Endpoints):
    """
    Be a client of one Ollama server.

    It works from scripts, threads, coroutines on several event loops one after another, and after a fork. Making one
    connects to nothing. Close it with `with`, `async with`, `close()` or `aclose()`; otherwise its connections close
    with the event loop they belong to.

    Args:
        host: The server, in any form that `OLLAMA_HOST` takes; None reads that variable, and without it means
            `http://127.0.0.1:11434`.
        api_key: Sent as Bearer to this server, and to no other; None reads `OLLAMA_API_KEY`, an empty text is none.
        headers: More headers for each request.
        http_client: An `httpx.AsyncClient` to use instead of an own one; it is never closed here.
        transport: Something else that carries requests; then *headers*, *api_key* and *http_client* are its own matter.
        max_line: The longest record taken, in bytes.

    Raises:
        InvalidValueError: When one of these is wrong.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        host: str | None = None,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        http_client: AsyncClient | None = None,
        transport: Transport | None = None,
        max_line: int = MAX_LINE,
    ) -> None:
        check_http_client(http_client)
        check_transport(transport)
        if transport is not None and http_client is not None:
            raise invalid_value("http_client", http_client, "None beside transport=", show=False)
        check_size("max_line", max_line)
        self._base_url = base_url(host)
        self._max_line = max_line
        self._streams = Streams()
        key = key_of(os.environ.get("OLLAMA_API_KEY", "") if api_key is None else api_key)
        self._default = LazyTransport(http_transport(self._base_url, key, header_fields(headers), http_client))
        self._transport: Transport = transport or self._default
        # A transport of the caller's may lead anywhere: its host is known only if the caller names it.
        self._host = self._base_url if transport is None or host is not None else ""

    @property
    def base_url(self) -> str:
        """The server: scheme, host, port and path prefix."""
        return self._base_url

    def chat(
        self,
        model: str,
        messages: Messages,
        *,
        tools: Tools | None = None,
        format: Format | None = None,  # noqa: A002 - Ollama's own name.
        options: Options | None = None,
        think: Think | None = None,
        keep_alive: KeepAlive | None = None,
        stream: bool = True,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
        truncate: bool | None = None,
        shift: bool | None = None,
        debug_render_only: bool | None = None,
    ) -> Stream[ChatChunk]:
        """
        Chat with a model; see `ChatRequest` for the arguments.

        Of *tools* that are functions only the description is sent: what the model calls is in the chunks, and
        `converse` is what runs it.

        Returns:
            A cold observable: each subscription sends the request once. Its chunks come as the server sends them, the
            last one `done` and with the numbers; with `stream=False` there is only that one. Disposing closes the
            request at once, from any thread and at any moment.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.
            StreamError: To the subscriber, when the request fails; `partial` holds what arrived.

        .. versionadded:: 0.1
        """
        return self.send(
            ChatRequest(
                model=model,
                messages=messages,
                tools=[tool.schema for tool in tools_of(tools)],
                format=format,
                options=options,
                think=think,
                keep_alive=keep_alive,
                stream=stream,
                logprobs=logprobs,
                top_logprobs=top_logprobs,
                truncate=truncate,
                shift=shift,
                debug_render_only=debug_render_only,
            )
        )

    def converse(
        self,
        model: str,
        messages: Messages,
        *,
        tools: Tools = (),
        max_rounds: int = 8,
        concurrency: int = 8,
        tool_timeout: float | None = None,
        approve: Approve | None = None,
        through: Through | None = None,
        raise_on: RaiseOn = (),
        **options: Unpack[ChatOptions],
    ) -> Stream[ChatChunk]:
        """
        Chat with a model, run the tools that it calls, and let it go on with their results, until it calls no more.

        A tool starts as soon as its call is complete. What goes wrong with one, be it unknown, called with arguments
        that do not fit, not allowed, too slow or broken, is told to the model as its result (`tool_failed`).

        Args:
            model: The model's name.
            messages: A user's text, a message, or several; see `ChatRequest`.
            tools: Functions, `Tool`s, or schemas with something to run.
            max_rounds: How many requests may be made.
            concurrency: How many tools may run at once.
            tool_timeout: Seconds that a tool may take once it runs; None for ever.
            approve: Asked before each call, one at a time: a function of the `ToolCall`, async or not, or one that
                returns an observable. It answers True, False, `Denied` with a reason, or other arguments.
            through: An operator that each round's request passes through, such as `op.retry()` or several in a
                `reactivex.compose`.
            raise_on: The errors of tools that end the stream instead of being told to the model: `ToolError` for any.
            options: What else `chat` takes, for each round.

        Returns:
            A cold observable of the chunks of all rounds: the assistant's as they stream; then a chunk with role `tool`
            for each result, whole, in the order of the calls; the assistant's again. Chunks that only tell how far a
            tool is (`tool_progress`) come between them. Disposing closes the request and cancels the tools; a function
            on a thread runs to its end, and its result is dropped.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.
            TooManyRoundsError: To the subscriber, when the model calls a tool in its last round.
            ToolError: To the subscriber, where *raise_on* asks for it.
            StreamError: To the subscriber, when a request fails; `partial` holds what was said in all rounds.

        .. versionadded:: 0.1
        """
        loop_options = ToolLoopOptions(
            tools=tools_of(tools),
            max_rounds=max_rounds,
            concurrency=concurrency,
            tool_timeout=tool_timeout,
            approve=approve,
            through=through,
            raise_on=raise_on,
        )
        offered = [tool.schema for tool in loop_options.tools]
        request = ChatRequest(model=model, messages=messages, tools=offered, **options)
        return converse(request, loop_options, self.send, self._streams, host=self._host)

    def generate(
        self,
        model: str,
        prompt: str,
        *,
        suffix: str | None = None,
        system: str | None = None,
        template: str | None = None,
        raw: bool | None = None,
        images: Iterable[Image] = (),
        format: Format | None = None,  # noqa: A002 - Ollama's own name.
        options: Options | None = None,
        think: Think | None = None,
        keep_alive: KeepAlive | None = None,
        stream: bool = True,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
        truncate: bool | None = None,
        shift: bool | None = None,
        debug_render_only: bool | None = None,
    ) -> Stream[ChatChunk]:
        """
        Let a model go on from a bare prompt; see `GenerateRequest` for the arguments.

        Returns:
            What `chat` returns, so that every operator works on it: what the server calls `response` is the content.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.
            StreamError: To the subscriber, as with `chat`.

        .. versionadded:: 0.1
        """
        return self.send(
            GenerateRequest(
                model=model,
                prompt=prompt,
                suffix=suffix,
                system=system,
                template=template,
                raw=raw,
                images=images,
                format=format,
                options=options,
                think=think,
                keep_alive=keep_alive,
                stream=stream,
                logprobs=logprobs,
                top_logprobs=top_logprobs,
                truncate=truncate,
                shift=shift,
                debug_render_only=debug_render_only,
            )
        )

    def send(self, request: ChatRequest | GenerateRequest) -> Stream[ChatChunk]:
        """
        Send a request that was made before.

        Args:
            request: The request.

        Returns:
            What `chat` returns.

        .. versionadded:: 0.1
        """
        if isinstance(request, ChatRequest):
            kind, path, body = CHAT, "/api/chat", encode_chat(request)
        elif isinstance(request, GenerateRequest):
            kind, path, body = GENERATE, "/api/generate", encode_generate(request)
        else:
            raise invalid_value("request", request, "a ChatRequest or a GenerateRequest", show=False)
        sent = Request(method="POST", path=path, body=body)
        return self._observe(sent, lambda: LineDecoder(kind, max_line=self._max_line), request.model, is_chat=True)

    def _observe(
        self, request: Request, decoder: Callable[[], Decoder[T]], model: str, *, is_chat: bool = False
    ) -> Stream[T]:
        return source(RequestPlan(self._transport, request, decoder, self._streams, model, self._host, is_chat))

    def close(self) -> None:
        """
        End every stream of this client with `ClientClosedError`, and close its connections.

        Works from any thread and may be repeated; within a coroutine prefer `aclose`, which waits.
        """
        self._streams.close()
        self._default.close()

    async def aclose(self) -> None:
        """End every stream of this client with `ClientClosedError`, and close its connections."""
        await self._streams.aclose()
        await self._default.aclose()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.aclose()

    def __repr__(self) -> str:
        return f"Ollama({self._base_url!r})"
