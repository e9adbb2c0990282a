"""The client: chats and all other calls as observables."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Self, TypeVar

from reactivex import Observable

from rxollama._calls import Calls
from rxollama._default import DefaultTransport, http_transport
from rxollama._host import base_url
from rxollama._refusal import refuse
from rxollama._source import Plan, Streams, source
from rxollama._wire import CHAT, GENERATE, MAX_LINE, Decoder, LineDecoder, encode_chat, encode_generate
from rxollama.messages import (
    ChatChunk,
    ChatRequest,
    Format,
    GenerateRequest,
    Image,
    KeepAlive,
    Messages,
    Options,
    Think,
    Tools,
)
from rxollama.messages._check import is_mapping
from rxollama.transport import Call, Transport

if TYPE_CHECKING:
    from rxollama._http import AsyncClient

__all__ = ("Ollama",)

T = TypeVar("T")

# What may stand in a header: https://www.rfc-editor.org/rfc/rfc9110#name-fields.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~]*")


class Ollama(Calls):
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
        _check_client(http_client, transport, max_line)
        self._base_url = base_url(host)
        self._max_line = max_line
        self._streams = Streams()
        key = _key(os.environ.get("OLLAMA_API_KEY", "") if api_key is None else api_key)
        self._default = DefaultTransport(http_transport(self._base_url, key, _headers(headers), http_client))
        self._transport: Transport = transport or self._default

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
    ) -> Observable[ChatChunk]:
        """
        Chat with a model; see `ChatRequest` for the arguments.

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
                tools=tools,
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
    ) -> Observable[ChatChunk]:
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

    def send(self, request: ChatRequest | GenerateRequest) -> Observable[ChatChunk]:
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
            raise refuse("request", request, "a ChatRequest or a GenerateRequest", show=False)
        call = Call(method="POST", path=path, body=body)
        return self._observe(call, lambda: LineDecoder(kind, max_line=self._max_line), request.model, is_chat=True)

    def _observe(
        self, call: Call, decoder: Callable[[], Decoder[T]], model: str, *, is_chat: bool = False
    ) -> Observable[T]:
        return source(Plan(self._transport, call, decoder, self._streams, model, is_chat))

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


def _key(key: object) -> str:
    if not isinstance(key, str) or not _VALUE.fullmatch(key.strip()):
        raise refuse("api_key", key, "a text of printable ASCII", show=False)
    return key.strip()


def _headers(headers: object) -> Mapping[str, str]:
    found: dict[str, str] = {}
    if headers is not None and not is_mapping(headers):
        raise refuse("headers", headers, "a dict of header names and values", show=False)
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise refuse("headers", name, "names such as 'x-team'")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise refuse("headers", value, f"a text of printable ASCII for {name!r}", show=False)
        found[name] = value
    return found


def _check_client(http_client: object, transport: object, max_line: object) -> None:
    if transport is not None and http_client is not None:
        raise refuse("http_client", http_client, "only one of transport= and http_client=", show=False)
    if http_client is not None and not iscoroutinefunction(getattr(http_client, "send", None)):
        raise refuse("http_client", http_client, "an httpx.AsyncClient", show=False)
    if transport is not None and not callable(getattr(transport, "open", None)):
        raise refuse("transport", transport, "a rxollama.transport.Transport", show=False)
    if not isinstance(max_line, int) or max_line < 1:
        raise refuse("max_line", max_line, "a number of bytes, 1 or more")
