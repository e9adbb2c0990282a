"""The client."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from rxollama._checks import check_count
from rxollama._hosts import LazyTransport, base_url, header_fields, key_of
from rxollama._invalid_value import invalid_value
from rxollama._runtime import Stream, Streams
from rxollama._wire import (
    CHAT,
    GENERATE,
    MAX_LINE,
    BodyDecoder,
    Decoder,
    LineDecoder,
    encode_chat,
    encode_generate,
    read_running,
)
from rxollama.client._answer_check import expects_answer
from rxollama.client._chats import Chats
from rxollama.client._context_check import ContextCheck
from rxollama.client._prefixes import prefix_hashes
from rxollama.client._repeated import repeated
from rxollama.client._settings import check_estimates, check_http_client, check_transport
from rxollama.client._source import RequestPlan, source
from rxollama.client._wait_estimates import WaitEstimates
from rxollama.client._waits import Waits
from rxollama.messages import (
    ChatChunk,
    ChatRequest,
    GenerateRequest,
)
from rxollama.transport import Request, Transport

if TYPE_CHECKING:
    from rxollama._http import AsyncClient

__all__ = ("Ollama",)

T = TypeVar("T")


class Ollama(Chats):
    """
    A client for one Ollama server.

    It works in scripts, in threads, in coroutines on one event loop after another, and after a fork. A new client does
    not connect yet. Close it with `with`, `async with`, `close()` or `aclose()`. Otherwise its connections close with
    the event loop that they belong to.

    Args:
        host: The server, in any form that `OLLAMA_HOST` allows. None reads that variable. Without it, the server is
            `http://127.0.0.1:11434`.
        api_key: The key that is sent as a bearer token to this server, and to no other. None reads `OLLAMA_API_KEY`. An
            empty str sends none.
        headers: More headers for each request.
        http_client: An `httpx.AsyncClient` to use for requests. It is never closed here.
        transport: Something else that carries requests. It replaces *headers*, *api_key* and *http_client*.
        max_line: The size limit of a record, in bytes.
        wait_estimates: Where this client keeps how long first tokens took, for `op.meter`. None makes a new memory.

    Raises:
        InvalidValueError: If an argument is wrong.

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
        wait_estimates: WaitEstimates | None = None,
    ) -> None:
        check_http_client(http_client)
        check_transport(transport)
        if transport is not None and http_client is not None:
            raise invalid_value("http_client", http_client, "None beside transport=", show=False)
        check_count("max_line", max_line)
        self._base_url = base_url(host)
        self._max_line = max_line
        self._streams = Streams()
        self._windows: dict[tuple[str, str], int] = {}
        key = key_of(os.environ.get("OLLAMA_API_KEY", "") if api_key is None else api_key)
        self._default = LazyTransport(self._base_url, key, header_fields(headers), http_client)
        self._transport: Transport = transport or self._default
        # A transport of the caller's may lead anywhere: its host is known only if the caller names it.
        self._host = self._base_url if transport is None or host is not None else ""
        self._estimates = WaitEstimates() if wait_estimates is None else check_estimates(wait_estimates)
        # Without this client in it, which would then be a part of a cycle.
        running = self._observe(
            Request(method="GET", path="/api/ps"), lambda: BodyDecoder(read_running, max_line=max_line), ""
        )
        # A transport to several hosts may ask another one.
        has_one_host = getattr(transport, "after_break", None) is None
        self._waits = Waits(self._estimates.book, self._host, running if has_one_host else None)

    @property
    def base_url(self) -> str:
        """The server: scheme, host, port and path prefix."""
        return self._base_url

    def send(self, request: ChatRequest | GenerateRequest) -> Stream[ChatChunk]:
        """
        Send a request.

        Args:
            request: The request.

        Returns:
            A cold stream of chunks, see `chat`.

        Raises:
            InvalidValueError: At the call, if this is not a request.
            StreamError: To the subscriber, if the request fails. Its `partial` holds what arrived.

        .. versionadded:: 0.1
        """
        return repeated(request, self._plan_of(request), self._plan_of)

    def _plan_of(self, request: ChatRequest | GenerateRequest) -> RequestPlan[ChatChunk]:
        if isinstance(request, ChatRequest):
            kind, path, body = CHAT, "/api/chat", encode_chat(request)
        elif isinstance(request, GenerateRequest):
            kind, path, body = GENERATE, "/api/generate", encode_generate(request)
        else:
            raise invalid_value("request", request, "a ChatRequest or a GenerateRequest", show=False)
        prefixes = partial(prefix_hashes, request.messages) if isinstance(request, ChatRequest) else None
        sent = Request(method="POST", path=path, body=body, model=request.model, prefixes=prefixes)
        return RequestPlan(
            self._transport,
            sent,
            lambda: LineDecoder(kind, max_line=self._max_line),
            self._streams,
            request.model,
            self._host,
            ChatChunk,
            ContextCheck(request, self._transport, self._windows),
            self._waits,
            expects_answer(request),
        )

    def _observe(
        self, request: Request, decoder: Callable[[], Decoder[T]], model: str, items: type[T] | None = None
    ) -> Stream[T]:
        return source(RequestPlan(self._transport, request, decoder, self._streams, model, self._host, items))

    def close(self) -> None:
        """
        End every stream of this client with `ClientClosedError`, and close its connections.

        It works from any thread, and a second call does nothing. In a coroutine use `aclose`, which waits.
        """
        self._streams.close()
        self._default.close()
        self._estimates.close()

    async def aclose(self) -> None:
        """End every stream of this client with `ClientClosedError`, and close its connections."""
        await self._streams.aclose()
        await self._default.aclose()
        await self._estimates.aclose()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the client."""
        self.close()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the client."""
        await self.aclose()

    def __repr__(self) -> str:
        return f"Ollama({self._base_url!r})"
